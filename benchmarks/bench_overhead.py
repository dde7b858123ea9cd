"""The evaluator's overhead with a fast model: one session for all scans, or one container for each.

30 SYNTHETIC subjects (60 scans, 13 organs), the inscribed ellipsoid as the model; both ways in one
run. The unavoidable work is timed beside it: reading each image and each reference, and writing
each image for the model and each mask.

    python benchmarks/bench_overhead.py [--cases 30] [--size 96 72 160]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import chain
from pathlib import Path

from benchmarks.tables import command, machine, table, write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--size", type=int, nargs=3, default=(96, 72, 160))
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    host = machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_RUNS"] = folder + "/runs"
        from benchmarks.bench_rounds import make_data

        path = make_data(Path(folder, "data"), arguments.cases, tuple(arguments.size))
        text = "\n".join([f"`{command()}`, {host}.", "", *compare(path, Path(folder), arguments)])
    print(text)
    write("bench-overhead", text)


def compare(path: Path, folder: Path, arguments: argparse.Namespace) -> list[str]:
    from evaluator.datasets import load_dataset
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.runs.tables import read_scores

    def run(name: str, dataset: str = str(path), **options: object) -> tuple[float, object]:
        order = RunConfig(
            model="ellipsoid",
            dataset=dataset,
            protocol="box",
            name=name,
            engine=arguments.engine,
            recheck=0,
            **options,
        )
        begun = time.perf_counter()
        result = run_model(order, progress=lambda *_: None)
        return time.perf_counter() - begun, result

    run("warm", "phantom-toy")  # builds the image, compiles the kernels
    dataset = load_dataset(path)
    scans = sum(len(case.scans) for case in dataset.cases)
    files = read_and_write(dataset, folder)
    session, in_session = run("session")
    single, in_batches = run("container-per-scan", batch=True, scans_per_batch=1)
    rounds = chain.from_iterable(record.rounds for record in in_session.records())
    waited = sum(entry.seconds for entry in rounds)
    scores = [read_scores(store).drop(columns="run") for store in (in_session, in_batches)]
    same = scores[0].equals(scores[1])

    def row(what: str, seconds: float) -> tuple[str, str, str]:
        return what, f"{seconds / scans:.3f}", f"{seconds / arguments.cases:.3f}"

    size = " × ".join(map(str, arguments.size))
    title = f"{arguments.cases} synthetic cases, {scans} scans of {size} (PET coarser), 13 organs"
    return [
        f"{title}, model ellipsoid; scores equal both ways: {'yes' if same else 'NO'}.",
        "",
        table(
            ("seconds", "a scan", "a case"),
            [
                row("reading and writing the files, nothing else", files),
                row("one session, everything", session),
                row("of it the wait for the model's answers", waited),
                row("**one session, beyond reading and writing the files**", session - files),
                row("one container for each scan, everything", single),
                row(
                    "**one container for each scan, beyond reading and writing the files**",
                    single - files,
                ),
            ],
        ),
    ]


def read_and_write(dataset: object, folder: Path) -> float:
    from evaluator.imaging.grid_masks import crop_mask
    from evaluator.volumes import read_image, read_labels, stage_image, write_mask

    begun = time.perf_counter()
    for case in dataset.cases:
        for scan in case.scans.values():
            stage_image(scan.image, folder / "staged.nii.gz")
            read_image(folder / "staged.nii.gz")
            labels, grid = read_labels(scan.references[0].path)
            for value in range(1, 14):
                write_mask(folder / "mask.nii.gz", crop_mask(labels == value, grid), grid)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
