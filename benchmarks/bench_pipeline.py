"""How busy the evaluator keeps a model: full-size scans, a model that sleeps for each request.

    make bench-pipeline         # or: PYTHONPATH=. python benchmarks/bench_pipeline.py [--cases 4]

SYNTHETIC bodies, 13 organs, protocol box; the model (``known_model``) loads for 3 s and sleeps for
1 s a request, in the place of a GPU, with realistic masks (engine ``local``). A slot is one session
of the model. The busy share is the time that the slots spent in requests, by the slots' time from
the first request to the end of the last one, and from the start of the command ("of all"). One
after another: one thread and one open scan, so reading, model and scoring do not overlap. Floors
and ceilings, which are computed once for a dataset when the model has ended, are left out.
``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import known_model
from benchmarks.bench_rounds import make_data, make_project
from benchmarks.tables import command, machine, table, write

SECONDS = 1.0


class Slots:
    """An executor with so many sessions of one model, without GPUs."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, tasks, work) -> None:
        from evaluator.evaluation.executors.local import SharedIterator

        shared = SharedIterator(tasks)
        with ThreadPoolExecutor(self._count) as pool:
            for future in [pool.submit(work, shared, None) for _ in range(self._count)]:
                future.result()


class Clock:
    """Records when each request began and ended, and how long a session loaded."""

    def __init__(self) -> None:
        from evaluator.containers.session import ModelSession

        self.spans, self.loads, self._lock = [], [], threading.Lock()
        ask = ModelSession._ask  # noqa: SLF001 - each attempt is timed

        def timed(session, request):
            outcome = ask(session, request)
            ended = time.perf_counter()
            with self._lock:
                self.spans.append((ended - outcome.seconds, ended))
                self.loads += [outcome.load_seconds] if outcome.load_seconds else []
            return outcome

        ModelSession._ask = timed  # noqa: SLF001


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=25)
    parser.add_argument("--size", type=int, nargs=3, default=(400, 400, 350))
    parser.add_argument("--slots", type=int, nargs="+", default=(1, 2, 4))
    parser.add_argument("--protocol", default="box")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    host = machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"UMD_RUNS": folder + "/runs", "UMD_CACHE": folder + "/cache"}
        path = make_data(Path(folder, "data"), arguments.cases, tuple(arguments.size))
        project = make_project(Path(folder, "project"), str(path))
        adapter = project / "models/known/adapter.py"
        times = f"LOAD, ANSWER = {known_model.LOAD}, {known_model.ANSWER}"
        changed = f"LOAD, ANSWER = {known_model.LOAD}, {SECONDS}"
        assert times in adapter.read_text()
        adapter.write_text(adapter.read_text().replace(times, changed))
        os.environ["UMD_PROJECT"] = str(project)
        rows = compare(path, arguments)
    size = " × ".join(map(str, arguments.size))
    title = (
        f"{2 * arguments.cases} SYNTHETIC scans ({size}, PET coarser), 13 organs, protocol "
        f"{arguments.protocol}, a model that sleeps {SECONDS:g} s a request, engine local."
    )
    titles = (
        "", "busy share", "of all", "requests", "seconds", "processor s of the evaluator a request",
    )  # fmt: skip
    text = "\n".join([f"`{command()}`, {host}.", "", title, "", table(titles, rows)])
    print(text)
    if arguments.write:
        write("bench-pipeline", text)


def compare(path: Path, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """One row for each way to run."""
    from evaluator.evaluation import model_connection, run

    run.complete_limits = lambda _: ""
    clock, at_once = Clock(), model_connection.OPEN
    measure(clock, str(path), arguments, Slots(1), "warm", limit=1)  # compiles the kernels
    model_connection.OPEN = 1
    label = "one after another, 1 slot"
    rows = [measure(clock, str(path), arguments, Slots(1), label, threads=1)]
    model_connection.OPEN = at_once
    for count in arguments.slots:
        label = f"overlapped, {count} slot{'s' if count > 1 else ''}"
        rows.append(measure(clock, str(path), arguments, Slots(count), label, slots=count))
    return rows


def measure(
    clock: Clock,
    dataset: str,
    arguments: argparse.Namespace,
    executor: Slots,
    label: str,
    *,
    slots: int = 1,
    threads: int | None = None,
    limit: int | None = None,
) -> tuple[str, ...]:
    """Run once; a row of the table."""
    from evaluator.evaluation.resolve import resolve
    from evaluator.evaluation.run import execute
    from evaluator.evaluation.run_config import RunConfig

    clock.spans.clear()
    config = RunConfig(
        model="known",
        dataset=dataset,
        protocol=arguments.protocol,
        name=label.replace(" ", "-").replace(",", ""),
        engine="local",
        recheck=0,
        threads=threads,
        limit=limit,
    )
    resolved = resolve(config)
    used, begun = _processor(), time.perf_counter()
    execute(resolved, executor)
    seconds, used = time.perf_counter() - begun, _processor() - used
    busy = sum(end - start for start, end in clock.spans)
    between = max(end for _, end in clock.spans) - min(start for start, _ in clock.spans)
    return (
        label,
        f"{100 * busy / between / slots:.1f} %",
        f"{100 * busy / seconds / slots:.1f} %",
        f"{len(clock.spans)}",
        f"{seconds:.1f}",
        f"{used / len(clock.spans):.2f}",
    )


def _processor() -> float:
    """Processor seconds of this process, without the model's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
