"""Faults that are injected into a small run, and whether its scores stay what they were.

    make faults                 # or: PYTHONPATH=. python benchmarks/faults.py [--only NAME]

Each fault gets a folder of runs of its own. A run of four SYNTHETIC subjects is disturbed, as a
user's machine would disturb it; then the same command is given again, and the tables are compared
with those of a run without a fault. The engine is ``local``, but for the faults of containers.
Needs root, for small file systems.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tables import ROOT, command, machine, table
from evaluator.runs.names import open_run
from evaluator.runs.tables import read_predictions, read_scores
from tests.tiny import PAINTER, make_dataset, make_project

UMD = Path(sys.executable).with_name("umd")
#: no other run has it, as containers are found by the run's name
NAME = f"faults-{os.getpid()}"
MODEL = "faults-slow"
#: a request takes long enough to be disturbed
SLOW = PAINTER.replace(
    "    def predict(self, request):",
    "    def predict(self, request):\n        import time; time.sleep(0.5)",
)
#: s; a busy machine needs minutes to build an image
PATIENCE = 900.0


@dataclass(slots=True)
class Bench:
    """A project, a dataset, and a folder of runs in which one fault is tried."""

    folder: Path
    runs: Path
    variables: dict[str, str] = field(default_factory=dict)
    #: exit statuses of umd, in the order of the calls
    statuses: list[int] = field(default_factory=list)
    engine: str = "local"
    begun: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.runs / NAME

    def begin(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start ``umd run``."""
        words = [UMD, "run", "-m", MODEL, "-d", self.folder / "data" / "tiny.toml", "-p", "box"]
        words += ["--engine", self.engine, "--name", NAME, *options]
        environment = os.environ | self.variables | {"UMD_RUNS": str(self.runs)}
        environment |= variables
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                words, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self.begun.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of ``umd run``; its exit status."""
        self.statuses.append(process.wait(PATIENCE))
        return self.statuses[-1]

    def call(self, *options: str, **variables: str) -> int:
        """Do ``umd run`` to its end."""
        return self.end(self.begin(*options, **variables))

    def records(self) -> list[Path]:
        """The records of scans that are done."""
        return sorted(self.run.glob("records/*/*.json"))

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: {self.log()}")
            time.sleep(0.05)

    def wait_for_records(self, count: int = 1) -> None:
        """Wait until so many scans are done."""
        self.wait_for(lambda: len(self.records()) >= count, f"no {count} scans are done")

    def log(self) -> str:
        """What umd printed."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def results(self) -> tuple[object, ...]:
        """What must equal the results of an undisturbed run."""
        os.environ["UMD_RUNS"] = str(self.runs)
        run = open_run(NAME)
        frame = read_predictions(run)
        # times differ, and the detail tells of a request that was sent again
        same = [name for name in frame if "seconds" not in name and name not in ("notes", "detail")]
        text = (run.path / "scores.csv").read_text()
        return read_scores(run).to_csv(), frame[same].to_csv(), text, run.missing_scans()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: how it is injected, and what is expected of the command that meets it."""

    name: str
    expected: str
    #: disturbs a run; returns whether the command that met the fault behaved as expected
    inject: Callable[[Bench], bool]


def children_of(pid: int) -> Iterator[tuple[int, str]]:
    """All processes below a process, with their command lines."""
    for entry in Path("/proc").glob(f"{pid}/task/*/children"):
        try:
            below = [int(word) for word in entry.read_text().split()]
        except OSError:
            continue
        for child in below:
            try:
                line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            yield child, line
            yield from children_of(child)


def kill_child(process: subprocess.Popen[bytes], part: str) -> bool:
    """Kill the processes below umd whose command line contains a text."""
    found = [pid for pid, line in children_of(process.pid) if part in line]
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


@contextmanager
def mounted(path: Path, size: str) -> Iterator[None]:
    """A file system in memory of a limited size."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "umd", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(path: Path, options: str) -> None:
    """Change the options of a file system of ``mounted``."""
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def main() -> None:
    from benchmarks.fault_cases import FAULTS, RUN_BY_TESTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="faults whose name contains this text")
    parser.add_argument("--no-tests", action="store_true", help="leave out what pytest does")
    arguments = parser.parse_args()
    host, rows = machine(), []
    with tempfile.TemporaryDirectory(prefix="umd-faults-") as name:
        folder = Path(name)
        variables = prepare(folder)
        quiet = Bench(folder, folder / "undisturbed", variables)
        quiet.call()
        expected = quiet.results()
        for number, fault in enumerate(FAULTS):
            if arguments.only in fault.name:
                bench = Bench(folder, folder / f"runs-{number}", variables)
                rows.append(tried(fault, bench, expected))
                print(*rows[-1], sep=" | ", flush=True)
    for name, expectation, test in RUN_BY_TESTS:
        if arguments.only in name and not arguments.no_tests:
            rows.append([name, expectation, by_test(test), "compared by the test"])
            print(*rows[-1], sep=" | ", flush=True)
    wrong = [row[0] for row in rows if "NOT" in row[2] or "NOT" in row[3]]
    titles = ("fault", "expected", "seen", "scores after the same command again")
    print(f"{table(titles, rows)}\n\n{len(rows)} faults; {command()}; {host}.")
    if wrong:
        raise SystemExit(f"not as expected: {', '.join(wrong)}")


def prepare(folder: Path) -> Mapping[str, str]:
    """A project with a slow model, and a dataset of four subjects; variables for umd."""
    project = make_project(folder / "project", {MODEL: SLOW})
    make_dataset(folder / "data", list("abcd"))
    return {
        "UMD_PROJECT": str(project),
        "UMD_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "models" / "sdk")]),
    }


def tried(fault: Fault, bench: Bench, expected: tuple[object, ...]) -> list[str]:
    """The row of a fault."""
    try:
        good = fault.inject(bench)
        seen = "as expected" if good else "NOT as expected"
        statuses = "".join(f", status {status}" for status in bench.statuses)
        if bench.call() != 0:
            return [fault.name, fault.expected, seen + statuses, "NOT done: the command fails"]
        equal = bench.results() == expected
    except Exception as error:
        return [fault.name, fault.expected, f"NOT as expected: {error!r}"[:300], "NOT compared"]
    finally:
        for process in bench.begun:
            process.terminate()
            process.wait(PATIENCE)
    return [fault.name, fault.expected, seen + statuses, "equal" if equal else "NOT equal"]


def by_test(test: str) -> str:
    """How a test ended."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", test], cwd=ROOT, capture_output=True, check=False,
        env=os.environ | {"CI": "true"},
    )  # fmt: skip
    return "as expected" if done.returncode == 0 else "NOT as expected"


if __name__ == "__main__":
    main()
