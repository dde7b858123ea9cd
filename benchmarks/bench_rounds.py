"""Six rounds of prompts in one session, against one container for each scan and round, which loads the model each time.

SYNTHETIC subjects, 13 organs, protocol box-clicks-5; a model whose load takes 3 s and whose answer takes 0.2 s. The
single containers are timed on a sample of the same requests and scaled up; both ways in this one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

MODEL = """
import time
import numpy as np
from zoo_sdk import each_target, read_mask

class Adapter:
    def setup(self):
        time.sleep(3)

    def predict(self, request):
        time.sleep(0.2)
        def paint(target):
            mask = read_mask(target.previous, request.grid).astype(np.uint8) if target.previous else np.zeros(request.grid.shape, np.uint8)
            if target.box and not target.previous:
                low, high = np.array(target.box.low), np.array(target.box.high)
                mask[tuple(slice(l, h) for l, h in zip(low, high))] = 1
            for point in target.points:
                mask[tuple(slice(max(i - 2, 0), i + 3) for i in point.index)] = point.foreground
            return mask
        return each_target(request, paint)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=10)
    options.add_argument("--size", type=int, nargs=3, default=(96, 72, 160))
    asked = options.parse_args()
    from evaluator import places

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"UMD_RUNS": folder + "/runs", "UMD_CACHE": str(places.cache())}
        from tests.tiny import make_project

        os.environ["UMD_PROJECT"] = str(make_project(Path(folder, "project"), {"slow": MODEL}))
        from evaluator.datasets.phantom import generate
        from evaluator.execute import Order, drive, run_model
        from evaluator.manifests.datasets import DatasetManifest, PhantomPlan

        plan = PhantomPlan(cases=asked.cases, size=tuple(asked.size), seed=1)
        facts = {"title": "bench", "license": "CC0-1.0", "citation": "none", "reference_origin": "generated"}
        path = Path(folder, "data")
        generate(DatasetManifest(path=path, sha256="", name="bench", synthetic=True, phantom=plan, **facts), path)

        def run(name: str, **more: object) -> tuple[float, list[dict]]:
            order = Order(model="slow", dataset=str(path / "bench.toml"), protocol="box-clicks-5", name=name, **more)
            begun = time.perf_counter()
            made = run_model(order, say=lambda _: None, progress=lambda *_: None)
            return time.perf_counter() - begun, [entry for record in made.records() for entry in record["rounds"]]

        warm = Order(model="slow", dataset="phantom-toy", protocol="point-1", name="warm")
        run_model(warm, say=lambda _: None, progress=lambda *_: None)
        session, entries = run("session")
        drive.SCANS_A_BATCH = 1
        _, singles = run("single", batch=True, cases=("phantom-001",))
        each = statistics.median(entry["seconds"] for entry in singles)
        own = sum(entry["seconds"] for entry in entries)
        load = sum(entry["load_seconds"] or 0 for entry in entries)
        model = 0.2 * len(entries)
        print(
            f"{asked.cases} synthetic subjects ({asked.cases * 2} scans of {asked.size}), 13 organs, {len(entries)} requests"
        )
        print(
            f"one session: {session:.1f} s in all: load {load:.1f}, waiting for answers {own:.1f} (of which the model's sleep {model:.1f})"
        )
        print(
            f"  evaluator beyond load and answers: {session - load - own:.1f} s, {100 * (session - load - own) / own:.0f} % of the answers' time"
        )
        print(
            f"one container a scan and round: {each:.2f} s each (median of {len(singles)}), {each * len(entries):.0f} s for all of them"
        )
        print(f"ratio: {each * len(entries) / session:.1f}")


if __name__ == "__main__":
    main()
