"""A worker outlives what goes wrong with one submission."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from evaluator.challenges import evaluation, queue
from evaluator.challenges.opening import init_challenge, open_challenge
from evaluator.challenges.queries import status_of, view_submission
from evaluator.challenges.quotas import submissions_left
from evaluator.challenges.records import AttemptEnd
from evaluator.challenges.submitting import submit
from evaluator.challenges.tables import SubmissionRow
from evaluator.challenges.worker import Worker, WorkerOptions
from evaluator.errors import HostError
from evaluator.runs.json_types import write_typed


class CompleteAttempt:
    """Stands for the process of an attempt that has masks of all cases."""

    exit_status, seconds = 0, 0.0

    def __init__(self, folder, submission, claim, _gpus, _runtime="") -> None:
        path = submission.attempt_path(claim.job, claim.attempt)
        write_typed(path, AttemptEnd(ended="done", step="all cases"))

    def watch(self, **_options: object) -> str:
        return "by itself"


@pytest.fixture
def challenge(tmp_path, monkeypatch):
    """An open challenge whose attempts take no time, and end as complete."""
    opened = open_challenge(init_challenge(tmp_path / "challenge").path)
    monkeypatch.setattr(evaluation, "AttemptProcess", CompleteAttempt)
    monkeypatch.setattr(queue, "HOST_PAUSE_SECONDS", -1.0)
    yield opened
    opened.close()


def work(challenge):
    return Worker(challenge, WorkerOptions(until_empty=True, pause=0.01)).run()


def test_a_bug_is_a_fault_of_the_host_and_other_submissions_go_on(challenge, monkeypatch, caplog):
    first, second = (submit(challenge, "ellipsoid", team=t, track="box") for t in ("blue", "red"))

    def write_result(_challenge, submission, _job):
        if submission.id == first:
            raise ZeroDivisionError("a bug of the scorer")
        return SimpleNamespace(version=1)

    monkeypatch.setattr(evaluation, "write_result", write_result)
    assert work(challenge) == 2
    status = status_of(challenge, first)
    assert (status.state, status.fault) == ("failed", "host")
    assert status.detail == "ZeroDivisionError: a bug of the scorer"
    assert status_of(challenge, second).state == "scored"
    events = [event.event for event in challenge.folder.log.events() if event.submission == first]
    assert events.count("host fault") == 1 + challenge.definition.limits.host_retries
    folder = challenge.folder.submission(first)
    for attempt in folder.attempts(1):
        text = folder.attempt_log(1, attempt).read_text()
        assert "Traceback" in text
        assert "in write_result" in text
    assert "in write_result" in caplog.text
    per_day = challenge.definition.phases[0].quota.per_day
    assert submissions_left(challenge, team="blue", track="box")[0] == per_day
    seen = view_submission(challenge, first, organiser=False)
    assert "scorer" not in seen.status.detail


def test_a_damaged_file_of_one_submission_stops_no_other(challenge, monkeypatch):
    monkeypatch.setattr(evaluation, "write_result", lambda *_: SimpleNamespace(version=1))
    first, second = (submit(challenge, "ellipsoid", team=t, track="box") for t in ("blue", "red"))
    path = challenge.folder.submission(first).path / "check.json"
    path.write_bytes(path.read_bytes()[:20])
    assert work(challenge) == 2
    status = status_of(challenge, first)
    assert (status.state, status.fault) == ("failed", "host")
    assert str(path) in status.detail
    assert status_of(challenge, second).state == "scored"


def test_an_outcome_that_cannot_be_read_is_set_aside_and_the_evaluation_goes_on(
    challenge, monkeypatch, caplog
):
    """As after a loss of power: the file is there, and the database does not know of it."""
    monkeypatch.setattr(evaluation, "write_result", lambda *_: SimpleNamespace(version=1))
    first, second = (submit(challenge, "ellipsoid", team=t, track="box") for t in ("blue", "red"))
    path = challenge.folder.submission(first).path / "evaluations" / "1" / "outcome.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"state": "sco')
    assert work(challenge) == 2
    assert [status_of(challenge, name).state for name in (first, second)] == ["scored", "scored"]
    assert challenge.folder.submission(first).outcome(1).state == "scored"
    assert path.with_name("outcome.json.damaged").read_bytes() == b'{"state": "sco'
    assert str(path) in caplog.text
    events = [event.event for event in challenge.folder.log.events() if event.submission == first]
    assert (events.count("host fault"), events.count("scored")) == (1, 1)


def test_a_damaged_log_lets_submissions_wait_until_it_is_restored(challenge, monkeypatch, caplog):
    monkeypatch.setattr("evaluator.challenges.worker.LOG_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(queue, "WAIT_SECONDS", -1.0)
    first, second = (submit(challenge, "ellipsoid", team=t, track="box") for t in ("blue", "red"))
    log, intact, pauses = challenge.folder.log_path, [], []

    def damage(*_arguments):
        """The log is damaged while the first submission is scored."""
        if not intact:
            intact.append(log.read_bytes())
            log.write_bytes(intact[0][:-40] + b"\n")
        return SimpleNamespace(version=1)

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout == 0.01 and intact and log.read_bytes() != intact[0]:
                pauses.append(status_of(challenge, first).state)
                log.write_bytes(intact[0])
            return super().wait(timeout)

    monkeypatch.setattr(evaluation, "write_result", damage)
    worker = Worker(challenge, WorkerOptions(until_empty=True, pause=0.01), stop=Stop())
    assert worker.run() == 2
    assert pauses == ["queued"]
    assert [status_of(challenge, name).state for name in (first, second)] == ["scored", "scored"]
    events = [event.event for event in challenge.folder.log.events()]
    assert (events.count("scored"), events.count("host fault")) == (2, 0)
    assert "could not be noted" in caplog.text
    assert "until the log can be read" in caplog.text


@pytest.mark.parametrize(("host_faults", "state"), [(0, "failed"), (3, "scored")])
def test_attempts_that_ended_by_faults_of_the_host_took_no_worker(
    challenge, monkeypatch, host_faults, state
):
    monkeypatch.setattr(evaluation, "write_result", lambda *_: SimpleNamespace(version=1))
    name = submit(challenge, "ellipsoid", team="blue", track="box")
    with challenge.database.writing() as session:
        values = {"attempts": evaluation.MOST_ATTEMPTS, "host_faults": host_faults}
        session.execute(update(SubmissionRow).where(SubmissionRow.id == name).values(**values))
    assert work(challenge) == 1
    assert status_of(challenge, name).state == state


def test_a_fault_of_the_host_is_counted_when_the_database_answers_again(challenge, monkeypatch):
    name = submit(challenge, "ellipsoid", team="blue", track="box")
    answers = iter([OperationalError("", {}, Exception("restarting"))])
    count = queue.host_faults

    def host_faults(database, submission):
        for error in answers:
            raise error
        return count(database, submission)

    def write_result(*_arguments):
        raise HostError("the disk is full")

    monkeypatch.setattr(evaluation, "write_result", write_result)
    monkeypatch.setattr(queue, "host_faults", host_faults)
    assert work(challenge) == 1
    assert status_of(challenge, name).fault == "host"
