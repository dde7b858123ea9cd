"""Pairs of files that ``umd score`` processes in a minute, by threads, volume and labels.

    make bench-folder       # or: PYTHONPATH=. python benchmarks/bench_folder.py [--cases 200]
    [--write]

The folders hold synthetic phantoms (20 different bodies, copied), with predictions that are off by
a
voxel. The command is run as a user runs it, its start included; medians over interleaved rounds.
``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.tables import machine, table, write
from evaluator.datasets.phantom.anatomy import ORGANS, random_body
from evaluator.datasets.phantom.grids import grids_of
from evaluator.datasets.phantom.render import render_labels
from evaluator.volumes import write_volume

UMD = Path(sys.executable).with_name("umd")
BODIES = 20
SMALL, MIDDLE, LARGE = (96, 72, 160), (200, 150, 333), (400, 400, 350)


def make_folders(folder: Path, size: tuple[int, ...], cases: int) -> None:
    """Write references and predictions of ``cases`` cases."""
    for side in ("p", "r"):
        (folder / side).mkdir(parents=True)
    for number in range(min(BODIES, cases)):
        grid = next(iter(grids_of(size, "CT", number).values()))
        labels = render_labels(random_body(np.random.default_rng([1, number])), grid)
        labels = np.asfortranarray(labels * (labels <= len(ORGANS)))
        write_volume(folder / "r" / f"{number:03d}.nii.gz", labels, grid)
        write_volume(
            folder / "p" / f"{number:03d}.nii.gz",
            np.asfortranarray(np.roll(labels, 1, axis=0)),
            grid,
        )
    for number in range(BODIES, cases):
        for side in ("p", "r"):
            shutil.copyfile(
                folder / side / f"{number % BODIES:03d}.nii.gz",
                folder / side / f"{number:03d}.nii.gz",
            )


def seconds(folder: Path, labels: int, threads: int) -> float:
    """The time of one run of the command."""
    names = folder / "labels.json"
    names.write_text(json.dumps({name: value for value, name in enumerate(ORGANS[:labels], 1)}))
    command = [UMD, "score", "--prediction", folder / "p", "--reference", folder / "r", "--json"]
    start = perf_counter()
    done = subprocess.run(
        [*command, "--labels", names, "--threads", str(threads)],
        capture_output=True,
        text=True,
        check=True,
    )
    took = perf_counter() - start
    assert len(done.stdout.splitlines()) == len(list((folder / "r").iterdir()))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    host, few = machine(), max(1, arguments.cases // 5)
    many = arguments.cases
    runs = [
        (SMALL, many, 13, 1),
        (SMALL, many, 13, 2),
        (MIDDLE, many, 13, 1),
        (MIDDLE, many, 13, 2),
        (MIDDLE, many, 4, 2),
        (MIDDLE, many, 1, 2),
        (LARGE, few, 13, 1),
        (LARGE, few, 13, 2),
    ]
    with tempfile.TemporaryDirectory() as name:
        folders = {size: Path(name) / str(size[0]) for size, _, _, _ in runs}
        for size, cases in {size: cases for size, cases, _, _ in runs}.items():
            make_folders(folders[size], size, cases)
        took: dict[int, list[float]] = {n: [] for n in range(len(runs))}
        for _ in range(arguments.rounds):
            for n, (size, _, labels, threads) in enumerate(runs):
                took[n].append(seconds(folders[size], labels, threads))
    rows = []
    for n, (size, cases, labels, threads) in enumerate(runs):
        middle = median(took[n])
        rows.append(
            [
                " × ".join(map(str, size)),
                str(labels),
                str(threads),
                str(cases),
                f"{middle:.1f}",
                f"{cases / middle * 60:.0f}",
            ]
        )
    text = (
        f"{host}; medians of {arguments.rounds} interleaved rounds; synthetic phantoms.\n\n"
        + table(["volume", "labels", "threads", "pairs", "seconds", "pairs a minute"], rows)
    )
    print(text)
    if arguments.write:
        write("bench-folder", text)


if __name__ == "__main__":
    main()
