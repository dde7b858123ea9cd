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
from evaluator.analysis.comparison import compare
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
    where, rows = machine(), []

    def timed(what: str, work: Callable[[], Any]) -> Any:
        started, cpu = time.perf_counter(), time.process_time()
        result = work()
        rows.append(
            (what, f"{time.perf_counter() - started:.1f}", f"{time.process_time() - cpu:.1f}")
        )
        return result

    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for protocol, model in product(("paper", "point-3"), MODELS):
            run = simulate_run(Path(folder), model, protocol, pet_ct=pet_ct, pet_mr=pet_mr)
            runs.append(run)
        results = timed("load, from the gathered tables", lambda: evaluator.load(runs))
        timed("compare", lambda: compare(results))
        timed("rank", lambda: rank(results))
        for run in runs:
            for gathered in run.path.glob("*.parquet"):
                gathered.unlink()
        timed("load, from the records", lambda: evaluator.load(runs))
    rows.append(
        (
            "largest memory, GiB",
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}",
            "",
        )
    )
    subjects = f"{pet_ct + pet_mr} SIMULATED subjects"
    what = f"{len(results.scores):,} scores of {subjects}, {len(MODELS)} models, 2 protocols"
    text = f"{where}.\n\n{table((what, 'seconds', 'of processor time'), rows)}"
    print(text)
    if arguments.write:
        write("bench-compare", text)


if __name__ == "__main__":
    main()
