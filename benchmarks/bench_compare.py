"""Half a million simulated scores: how long loading, comparing and ranking take, and how much memory.

954 subjects (490 PET/CT, 464 PET/MR), 6 models, 13 organs, 2 protocols, Dice and RVE; 2 % of the predictions crashed.

    python benchmarks/bench_compare.py
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluator
from benchmarks.simulate import simulate_run
from evaluator.compare import compare
from evaluator.rank import rank

MODELS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, nargs=2, default=(490, 464), metavar=("PET_CT", "PET_MR"))
    pet_ct, pet_mr = parser.parse_args().subjects
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        runs = [
            simulate_run(Path(folder), model, protocol, pet_ct=pet_ct, pet_mr=pet_mr)
            for protocol in ("paper", "point-3")
            for model in MODELS
        ]
        print(f"{len(runs)} runs simulated in {time.perf_counter() - started:.1f} s")
        results = timed("load, from the gathered tables", lambda: evaluator.load(runs))
        print(f"{len(results.scores)} scores, {len(results.predictions)} predictions")
        made = timed("compare", lambda: compare(results))
        print(", ".join(f"{name} {len(frame)} rows" for name, frame in made.frames().items()))
        timed("rank", lambda: rank(results))
        for run in runs:
            for table in run.path.glob("*.parquet"):
                table.unlink()
        timed("load, from the records", lambda: evaluator.load(runs))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def timed(what: str, work: Callable[[], Any]) -> Any:
    started, cpu = time.perf_counter(), time.process_time()
    made = work()
    print(f"{what}: {time.perf_counter() - started:.1f} s ({time.process_time() - cpu:.1f} s of processor time)")
    return made


if __name__ == "__main__":
    main()
