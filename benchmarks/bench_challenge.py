"""The queue of a challenge under load: submissions of a null image, some workers, both databases.

    make bench-challenge        # or: PYTHONPATH=. python benchmarks/bench_challenge.py [--write]

A null image takes no time: its evaluation is replaced by links to a run that was made once. What is
measured is everything else: intake, claims, leases, scores, signatures, log and database. Workers
are processes. A submission is handed in when its turn comes, one after another, before the workers
start. ``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables import command, machine, table, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.challenges.opening import OpenChallenge

#: of the run whose files every submission gets
MODEL, RUN = "ellipsoid", "null"
UMD = Path(sys.executable).with_name("umd")


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--submissions", type=int, nargs="+", default=(100, 500))
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument(
        "--databases", nargs="+", default=("sqlite", "postgresql"), choices=("sqlite", "postgresql")
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.run)
        return
    host, rows = machine(), []
    with tempfile.TemporaryDirectory(prefix="umd-bench-") as folder:
        run = make_run(Path(folder))
        for kind in arguments.databases:
            for count in arguments.submissions:
                place = Path(folder) / f"{kind}-{count}"
                with database(kind) as url:
                    rows.append(measure(place, url, run, kind, count, arguments.workers))
                shutil.rmtree(place)
                print(rows[-1], flush=True)
    titles = (
        "database", "submissions", "hand in, ms each", "evaluate, ms each", "first quarter",
        "last quarter", "scored", "results", "leaderboard, s",
    )  # fmt: skip
    text = "\n".join([f"`{command()}`, {host}.", "", table(titles, rows)])
    print(text)
    if arguments.write:
        write("bench-challenge", text)


def make_run(folder: Path) -> Path:
    """A finished run of two SYNTHETIC subjects."""
    environment = os.environ | {"UMD_RUNS": str(folder)}
    words = [
        "run", "-m", MODEL, "-d", "phantom-toy", "-p", "box", "--engine", "local",
        "--recheck", "0", "--name", RUN,
    ]  # fmt: skip
    subprocess.run([UMD, "-qq", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    return folder / RUN


@contextmanager
def database(kind: str) -> Iterator[str | None]:
    """The URL of an empty database; None is SQLite in the challenge's folder."""
    if kind == "sqlite":
        yield None
        return
    from tests.challenges.postgres import PostgresServer

    server = PostgresServer.in_new_folder()
    try:
        yield server.create("bench")
    finally:
        server.close()


def measure(
    place: Path, url: str | None, run: Path, kind: str, count: int, workers: int
) -> tuple[str, ...]:
    """One row of the table."""
    from evaluator.challenges.leaderboard import write_leaderboard
    from evaluator.challenges.opening import init_challenge, open_challenge
    from evaluator.challenges.submitting import submit

    init_challenge(place)
    if url:
        os.environ["UMD_CHALLENGE_DATABASE"] = url
    challenge = open_challenge(place)
    try:
        start = time.perf_counter()
        for number in range(count):
            submit(challenge, MODEL, team=f"team-{number:04d}", track="box")
        handed_in = time.perf_counter() - start
        start = time.perf_counter()
        words = [sys.executable, __file__, "--work", str(place), "--run", str(run)]
        processes = [subprocess.Popen(words) for _ in range(workers)]
        codes = [process.wait() for process in processes]
        evaluated = time.perf_counter() - start
        if any(codes):
            raise SystemExit(f"a worker ended with {codes}")
        start = time.perf_counter()
        write_leaderboard(challenge, place / "site")
        ranked = time.perf_counter() - start
        return (
            kind,
            str(count),
            f"{1000 * handed_in / count:.0f}",
            f"{1000 * evaluated / count:.0f}",
            *(f"{1000 * seconds:.0f}" for seconds in quarters(challenge)),
            *map(str, ended(challenge)),
            f"{ranked:.1f}",
        )
    finally:
        challenge.close()
        os.environ.pop("UMD_CHALLENGE_DATABASE", None)


def quarters(challenge: OpenChallenge) -> tuple[float, float]:
    """Seconds for each submission in the first and in the last quarter of the results."""
    events = challenge.folder.log.events()
    times = [datetime.fromisoformat(e.time) for e in events if e.event == "scored"]
    size = max(len(times) // 4, 2)
    first, last = times[:size], times[-size:]
    return tuple((part[-1] - part[0]).total_seconds() / (size - 1) for part in (first, last))


def ended(challenge: OpenChallenge) -> tuple[int, int]:
    """Submissions that are scored, and files of results: as many, if none was scored twice."""
    from evaluator.challenges.queries import statuses

    scored = [entry.id for entry in statuses(challenge) if entry.state == "scored"]
    results = sum(len(challenge.folder.submission(name).results()) for name in scored)
    return len(scored), results


def work(place: Path, run: Path) -> None:
    """A worker whose evaluations take no time."""
    from evaluator.challenges import evaluation
    from evaluator.challenges.opening import open_challenge
    from evaluator.challenges.records import AttemptEnd
    from evaluator.challenges.worker import Worker, WorkerOptions
    from evaluator.runs.json_types import write_typed

    class NullAttempt:
        """Stands for ``AttemptProcess``."""

        exit_status, seconds = 0, 0.0

        def __init__(self, folder, submission, claim, _gpus, _runtime="") -> None:
            hidden = folder.runs / submission.run_name(claim.job, "hidden")
            # tables have the name of the run, and are made again
            tables = shutil.ignore_patterns("*.parquet", "*.csv")
            shutil.copytree(run, hidden, copy_function=os.link, dirs_exist_ok=True, ignore=tables)
            path = submission.attempt_path(claim.job, claim.attempt)
            write_typed(path, AttemptEnd(ended="done", step="all cases"))

        def watch(self, **_options: object) -> str:
            return "by itself"

    evaluation.AttemptProcess = NullAttempt  # type: ignore[assignment,misc]
    challenge = open_challenge(place)
    try:
        Worker(challenge, WorkerOptions(until_empty=True, pause=0.05)).run()
    finally:
        challenge.close()


if __name__ == "__main__":
    main()
