"""What the evaluator adds to a model that answers at once: one session for all scans, and one container for each scan.

30 SYNTHETIC subjects (60 scans, 13 organs); both ways in this one run. The floor is reading each image and reference and
writing each mask, without anything else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=30)
    options.add_argument("--size", type=int, nargs=3, default=(96, 72, 160))
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_RUNS"] = folder + "/runs"
        from evaluator.datasets import load_dataset
        from evaluator.datasets.phantom import generate
        from evaluator.execute import Order, drive, run_model
        from evaluator.manifests.datasets import DatasetManifest, PhantomPlan
        from evaluator.tables import read_scores

        plan = PhantomPlan(cases=asked.cases, size=tuple(asked.size), seed=1)
        facts = {"title": "bench", "license": "CC0-1.0", "citation": "none", "reference_origin": "generated"}
        path = Path(folder, "data")
        generate(DatasetManifest(path=path, sha256="", name="bench", synthetic=True, phantom=plan, **facts), path)
        dataset = load_dataset(path / "bench.toml")
        scans = sum(len(case.scans) for case in dataset.cases)

        def run(name: str) -> tuple[float, object]:
            order = Order(
                model="ellipsoid", dataset=str(path / "bench.toml"), protocol="box", name=name, batch=name != "session"
            )
            begun = time.perf_counter()
            made = run_model(order, say=lambda _: None, progress=lambda *_: None)
            return time.perf_counter() - begun, made

        warm = Order(model="ellipsoid", dataset="phantom-toy", protocol="box", name="warm")
        run_model(warm, say=lambda _: None, progress=lambda *_: None)  # builds the image, compiles the kernels
        floor = read_and_write(dataset, Path(folder))
        session, made = run("session")
        drive.SCANS_A_BATCH = 1
        single, other = run("container-per-scan")
        own = sum(entry["seconds"] for record in made.records() for entry in record["rounds"])
        same = read_scores(made).drop(columns="run").equals(read_scores(other).drop(columns="run"))
        print(
            f"{scans} synthetic scans of {' x '.join(map(str, asked.size))}, 13 organs, model ellipsoid; seconds a scan"
        )
        print(f"reading images and references, writing masks, nothing else: {floor / scans:.3f}")
        print(f"the model in its session, as the evaluator waits for it:   {own / scans:.3f}")
        print(f"one session:             {session / scans:.3f} ({session:.1f} in all)")
        print(f"one container a scan:    {single / scans:.3f} ({single:.1f} in all)")
        print(f"session beyond floor and model: {(session - floor - own) / scans:.3f}; scores equal both ways: {same}")


def read_and_write(dataset: object, folder: Path) -> float:
    from evaluator.volumes import read_image, read_labels, stage_image, write_mask

    begun = time.perf_counter()
    for case in dataset.cases:
        for scan in case.scans.values():
            stage_image(scan.image, folder / "staged.nii.gz")
            read_image(folder / "staged.nii.gz")
            labels, grid = read_labels(scan.references[0].path)
            for value in range(1, 14):
                write_mask(folder / "mask.nii.gz", labels == value, grid)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
