"""Half a million simulated scores: time and memory of loading, comparing and ranking.

954 subjects (490 PET/CT, 464 PET/MR), 6 models, 13 organs, 2 protocols, Dice and RVE; 2 % of the
predictions crashed.

    make bench-compare
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import evaluator
from benchmarks.simulate import simulate_run
from benchmarks.tables import machine, table, write
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.ranking import rank

MODELS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--subjects", type=int, nargs=2, default=(490, 464), metavar=("PET_CT", "PET_MR")
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    pet_ct, pet_mr = arguments.subjects
    host, rows = machine(), []

    def timed(step: str, work: Callable[[], Any]) -> Any:
        started, cpu = time.perf_counter(), time.process_time()
        result = work()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        rows.append((step, f"{seconds:.1f}", f"{cpu_seconds:.1f}"))
        return result

    with tempfile.TemporaryDirectory() as folder:
        runs = [
            simulate_run(Path(folder), model, protocol, pet_ct=pet_ct, pet_mr=pet_mr)
            for protocol, model in product(("paper", "point-3"), MODELS)
        ]
        results = timed("load, from the gathered tables", lambda: evaluator.load(runs))
        timed("compare", lambda: compare(results))
        timed("rank", lambda: rank(results))
        for run in runs:
            for gathered in run.path.glob("*.parquet"):
                gathered.unlink()
        timed("load, from the records", lambda: evaluator.load(runs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows.append(("largest memory, GiB", f"{peak:.2f}", ""))
    title = (
        f"{len(results.scores):,} scores of {pet_ct + pet_mr} SIMULATED subjects, "
        f"{len(MODELS)} models, 2 protocols"
    )
    text = f"{host}.\n\n{table((title, 'seconds', 'of processor time'), rows)}"
    print(text)
    if arguments.write:
        write("bench-compare", text)


if __name__ == "__main__":
    main()
