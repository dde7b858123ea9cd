"""The queue, quotas and migrations, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, update

from evaluator.challenges import queue
from evaluator.challenges.database import Database, hide_password
from evaluator.challenges.definition import Quota
from evaluator.challenges.quotas import QuotaError, charge, recount, refund
from evaluator.challenges.records import SubmissionRecord
from evaluator.challenges.states import derive_status
from evaluator.challenges.submitting import new_row
from evaluator.challenges.tables import Base, QuotaRow, SubmissionRow, WorkerRow
from evaluator.errors import HostError, UserError


def add(database: Database, *names: str, checked: bool = True, quota: Quota | None = None) -> None:
    for name in names:
        with database.writing() as session:
            row = new_row(
                SubmissionRecord(
                    id=name,
                    team="blue",
                    track="box",
                    phase="test",
                    received="2027-01-31T12:00:00+00:00",
                    source="image",
                )
            )
            row.checked = checked
            session.add(row)
            session.flush()
            if quota:
                charge(session, quota, row)


def state(database: Database, name: str) -> str:
    with database.reading() as session:
        row = session.scalar(select(SubmissionRow).where(SubmissionRow.id == name))
        return derive_status(row, session.scalar(select(database.now))).state


def test_the_migrations_make_the_tables_of_the_code(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.upgrade()  # a second time does nothing


def test_a_database_of_a_newer_version_is_refused(database):
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="use a newer umd"):
        database.upgrade()


def test_submissions_are_taken_in_the_order_of_arrival(database):
    add(database, "a", "b")
    first, second = (queue.claim_next(database, "w") for _ in range(2))
    assert (first.submission, second.submission) == ("a", "b")
    assert queue.claim_next(database, "w") is None
    assert state(database, "a") == "running"


def test_many_threads_never_take_the_same_submission(database):
    names = [f"s{number:03}" for number in range(60)]
    add(database, *names)
    ready = threading.Barrier(8)

    def take(worker: int) -> list[str]:
        ready.wait()
        taken = []
        while claim := queue.claim_next(database, f"w{worker}"):
            taken.append(claim.submission)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [name for part in pool.map(take, range(8)) for name in part]
    assert sorted(taken) == names


TAKE = """
import sys
from evaluator.challenges import queue
from evaluator.challenges.database import Database
database = Database(sys.argv[1])
while claim := queue.claim_next(database, sys.argv[2]):
    print(claim.submission)
"""


def test_many_processes_never_take_the_same_submission(database, url):
    names = [f"s{number:03}" for number in range(40)]
    add(database, *names)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, url, f"w{number}"], stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    taken = " ".join(process.communicate()[0] for process in processes).split()
    assert sorted(taken) == names


def test_a_dead_workers_submission_is_taken_over_and_the_dead_one_changes_nothing(database):
    add(database, "a")
    dead = queue.claim_next(database, "dead", lease=-1.0)
    assert state(database, "a") == "queued"
    alive = queue.claim_next(database, "alive")
    assert (alive.submission, alive.attempt) == ("a", dead.attempt + 1)
    assert not queue.renew(database, dead)
    assert not queue.release(database, dead)
    assert queue.holds(database, alive)
    assert queue.renew(database, alive)


def test_the_states_follow_from_the_row_and_the_time(database):
    add(database, "a", checked=False)
    assert state(database, "a") == "received"
    with database.writing() as session:
        session.execute(update(SubmissionRow).values(checked=True))
    claim = queue.claim_next(database, "w")
    assert queue.release(database, claim, queued=False)
    assert state(database, "a") == "checked"
    assert queue.enqueue(database, "a") == 1
    assert queue.enqueue(database, "a") is None
    assert state(database, "a") == "queued"
    queue.claim_next(database, "w")
    queue.end(database, "a", 1, outcome="failed", fault="team", detail="no mask")
    assert state(database, "a") == "failed"
    assert queue.enqueue(database, "a", again=True) == 2
    queue.end(database, "a", 1, outcome="scored")  # of the former evaluation
    assert state(database, "a") == "queued"


def test_a_fault_of_the_host_makes_a_submission_wait(database):
    add(database, "a")
    queue.release(database, queue.claim_next(database, "w"), host_fault=True)
    assert queue.claim_next(database, "w") is None
    assert queue.waiting_count(database) == (1, 0)
    assert queue.host_faults(database, "a") == 1


def test_a_withdrawn_submission_is_not_renewed(database):
    add(database, "a")
    claim = queue.claim_next(database, "w")
    with database.writing() as session:
        session.execute(update(SubmissionRow).values(withdrawn=True, queued=False))
    assert not queue.renew(database, claim)


def test_quotas_hold_against_many_at_once(database):
    quota = Quota(per_day=5, per_phase=7)

    def hand_in(number: int) -> bool:
        try:
            add(database, f"s{number}", quota=quota)
        except QuotaError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = Counter(pool.map(hand_in, range(24)))
    assert accepted[True] == 5
    with database.reading() as session:
        assert len(session.scalars(select(SubmissionRow)).all()) == 5
        used = {row.day: row.used for row in session.scalars(select(QuotaRow))}
    assert used == {"2027-01-31": 5, "all": 5}


def test_a_refund_counts_once_and_a_recount_gives_the_same(database):
    quota = Quota(per_day=2)
    add(database, "a", "b", quota=quota)
    with database.writing() as session:
        assert refund(session, "a")
        assert not refund(session, "a")
    add(database, "c", quota=quota)
    with pytest.raises(QuotaError, match="has handed in 2 submissions"):
        add(database, "d", quota=quota)
    with database.writing() as session:
        recount(session)
    with database.reading() as session:
        used = {row.day: row.used for row in session.scalars(select(QuotaRow))}
    assert used["2027-01-31"] == 2


def test_work_goes_on_when_postgresql_is_restarted(postgres):
    database = Database(postgres.create("restart"))
    database.upgrade()
    add(database, "a")
    postgres.stop()
    restart = threading.Timer(1.0, postgres.start)
    restart.start()
    try:
        claim = database.insist(lambda: queue.claim_next(database, "w"))
    finally:
        restart.join()
        database.close()
    assert claim.submission == "a"


def test_a_database_that_does_not_answer_is_the_hosts_fault(tmp_path):
    url = f"postgresql://me:secret@/none?host={tmp_path}"
    with pytest.raises(HostError, match="does not answer") as raised:
        Database(url).upgrade()
    assert "secret" not in str(raised.value)
    assert hide_password("postgresql://a:b@c/d") == "postgresql://a:***@c/d"
    for bad in ("nonsense", "mysql://a/b"):
        with pytest.raises(UserError, match="write sqlite:///FILE"):
            Database(bad)


def test_workers_are_listed_while_they_live(database):
    queue.register_worker(database, "first", 1, "all")
    queue.register_worker(database, "first", 1, "all")
    queue.register_worker(database, "killed", 2, "0 1")
    with database.writing() as session:
        silent = WorkerRow.seen - queue.FORGET_SECONDS - 1
        session.execute(update(WorkerRow).where(WorkerRow.name == "killed").values(seen=silent))
    queue.register_worker(database, "second", 1, "none")
    with database.reading() as session:
        assert set(session.scalars(select(WorkerRow.name))) == {"first", "second"}
    queue.remove_worker(database, "second")
    with database.reading() as session:
        assert set(session.scalars(select(WorkerRow.name))) == {"first"}
