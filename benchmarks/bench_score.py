"""Time of scoring one pair of label maps, beside other scorers on the same arrays.

    make bench-score        # or: PYTHONPATH=. python benchmarks/bench_score.py [--rounds 3]
    [--small] [--write]

Medians over interleaved rounds, after one warm-up round; imports, compiling and making the data are
excluded. Dice, NSD, HD95 and mean distances for every label. The other scorers run on crops
(tests/oracles/peers.py), in a separate process that times itself. ``--write`` puts the tables into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables import machine, table, write
from benchmarks.volumes import ORGANS, SPACING, make_bad, make_noise, make_pair, real_pairs
from evaluator.imaging.geometry import make_grid
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import labels_in, measure_labels
from evaluator.scoring.file_pairs import Pair
from evaluator.scoring.files import Settings, score_pair
from evaluator.volumes import LabelFile, write_volume
from tests.oracles.client import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE_MM = 2.0
NAMES = ("dice", "nsd", "hd95", "assd", "masd")
PEERS = {
    "deepmind": "DeepMind",
    "monai": "MONAI",
    "panoptica": "panoptica",
    "simpleitk": "SimpleITK",
    "medpy": "MedPy (no NSD)",
}
#: number of threads: the cores that this process may use
THREADS = len(os.sched_getaffinity(0))
#: bad predictions on which DeepMind's package runs, once: on the others its boxes are the complete
#: volume, and it takes minutes
BESIDE = ("as good as it should be", "mirrored", "all foreground")
SIZES = {"400 × 400 × 350": (400, 400, 350), "512 × 512 × 700": (512, 512, 700)}

MEMORY = """
import sys, numpy as np
from pathlib import Path
from benchmarks.bench_score import memory_kb, ours, reset
tiny = np.ones((8, 8, 8), np.uint8, order="F")
ours(tiny, tiny, [1], (1, 1, 1), int(sys.argv[3]))
reset()
before = memory_kb("VmRSS")
pair = [np.load(path) for path in sys.argv[1:3]]
size = sum(array.nbytes for array in pair)
ours(*pair, list(range(1, 14)), (1.5, 1.5, 2), int(sys.argv[3]))
print((memory_kb("VmHWM") - before) * 1024 / size)
"""


def memory_kb(field: str) -> int:
    """This process's memory now (VmRSS) or at most since ``reset`` (VmHWM), kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def ours(
    reference: Any, prediction: Any, labels: list[int], spacing: Any, threads: int
) -> dict[int, Any]:
    targets = {str(label): (label,) for label in labels}
    tolerances = dict.fromkeys(targets, TOLERANCE_MM)
    measured = measure_labels(reference, prediction, targets, spacing, tolerances, threads)
    scores = {}
    for name, measures in measured.items():
        scores[int(name)] = {row.metric: row.value for row in score(measures, NAMES)}
    return scores


def timed(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def make_cases(small: bool) -> dict[str, tuple[Any, Any, Any]]:
    """Name -> reference, prediction, spacing."""
    sizes = {"100 × 100 × 80": (100, 100, 80)} if small else SIZES
    return {name: (*make_pair(shape), SPACING) for name, shape in sizes.items()} | real_pairs()


def beside_peers(cases: dict[str, Any], rounds: int, peers: Peers) -> str:
    """Seconds of every scorer on every case, and the difference of their HD95."""
    seconds: dict[tuple[str, str], list[float]] = {}
    differences: dict[tuple[str, str], float] = {}
    for name, (reference, prediction, _) in cases.items():
        peers.load(name, reference, prediction)
    for count in range(rounds + 1):
        for name, (reference, prediction, spacing) in cases.items():
            labels = sorted(set(labels_in(reference)) & set(labels_in(prediction)))
            expected: dict[int, Any] = {}
            for threads in (1, THREADS):
                start = perf_counter()
                expected = ours(reference, prediction, labels, spacing, threads)
                seconds.setdefault((f"ours, {threads}", name), []).append(perf_counter() - start)
            for peer in PEERS:
                result = peers.score(peer, name, labels, spacing, TOLERANCE_MM)
                seconds.setdefault((peer, name), []).append(result["seconds"])
                gaps = [
                    abs(result["scores"][label]["hd95"] - expected[label]["hd95"])
                    for label in labels
                ]
                differences[peer, name] = max(gaps)
            print(f"round {count} {name}", file=sys.stderr)
    scorers = [f"ours, {threads}" for threads in (1, THREADS)]
    rows = []
    for name in cases:
        took = {scorer: median(seconds[scorer, name][1:]) for scorer in (*scorers, *PEERS)}
        single, many = (took[scorer] for scorer in scorers)
        cells = [
            f"{took[peer]:.2f} ({took[peer] / single:.0f}×, {took[peer] / many:.0f}×)"
            for peer in PEERS
        ]
        rows.append([name, f"{single:.3f}", f"{many:.3f}", *cells])
    largest = dict.fromkeys(PEERS, 0.0)
    for (peer, _), difference in differences.items():
        largest[peer] = max(largest[peer], difference)
    cells = [f"{difference:.2g}" for difference in largest.values()]
    rows.append(["largest difference in HD95, mm", "", "", *cells])
    return table(["seconds", "ours, 1 thread", f"ours, {THREADS} threads", *PEERS.values()], rows)


def bad_predictions(reference: Any, prediction: Any, rounds: int, peers: Peers) -> str:
    """Seconds on bad predictions, in every round; DeepMind's package on some of them once."""
    cases = {"as good as it should be": prediction} | make_bad(prediction)
    labels = list(range(1, ORGANS + 1))
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        for name, bad in cases.items():
            for threads in (1, THREADS):
                took = timed(partial(ours, reference, bad, labels, SPACING, threads))
                seconds.setdefault((name, threads), []).append(took)
    base = {
        threads: median(seconds["as good as it should be", threads][1:]) for threads in (1, THREADS)
    }
    rows = []
    for name, bad in cases.items():
        cells = []
        for threads in (1, THREADS):
            middle = median(seconds[name, threads][1:])
            cells.append(f"{middle:.3f} ({middle / base[threads]:.1f}×)")
        peer_cell = ""
        if name in BESIDE:
            peers.load("bad", reference, bad)
            peer_cell = (
                f"{peers.score('deepmind', 'bad', labels, SPACING, TOLERANCE_MM)['seconds']:.1f}"
            )
        rows.append([name, *cells, peer_cell])
        print(f"bad: {name}", file=sys.stderr)
    noise = make_noise(reference.shape)
    took = timed(lambda: ours(reference, noise, labels, SPACING, THREADS))
    rows.append(["a random label in every voxel (once)", "", f"{took:.1f}", ""])
    return table(["seconds", "ours, 1 thread", f"ours, {THREADS} threads", "DeepMind, once"], rows)


def from_files(cases: dict[str, Any], rounds: int, folder: Path) -> str:
    """Seconds from two files to their scores, beside reading and decompressing them alone."""
    rows = []
    for name, (reference, prediction, spacing) in cases.items():
        grid = make_grid(reference.shape, np.diag([*spacing, 1.0]))
        paths = [folder / f"{which}.nii.gz" for which in ("reference", "prediction")]
        for path, array in zip(paths, (reference, prediction), strict=True):
            write_volume(path, array, grid)
        seconds: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds + 1):
            for threads in (1, THREADS):
                seconds.setdefault(("read", threads), []).append(
                    timed(partial(read_pair, paths, threads))
                )
                seconds.setdefault(("score", threads), []).append(
                    timed(partial(score_files, paths, threads))
                )
        took = {key: median(values[1:]) for key, values in seconds.items()}
        shares = [(took["score", threads], took["read", threads]) for threads in (1, THREADS)]
        rows.append(
            [name, *(f"{score:.3f} / {read:.3f} = {score / read:.1f}" for score, read in shares)]
        )
    return table(
        ["files to scores / reading and unpacking, seconds", "1 thread", f"{THREADS} threads"], rows
    )


def read_pair(paths: list[Path], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda path: LabelFile(path, untrusted=False).read(), paths))


def score_files(paths: list[Path], threads: int) -> None:
    settings = Settings(tolerance_mm=lambda _: TOLERANCE_MM)
    score_pair(
        Pair(name="pair", reference=paths[0], prediction=paths[1]), settings, threads=threads
    )


def memory(cases: dict[str, Any], folder: Path) -> str:
    """Peak memory in a separate process, in multiples of the two volumes (included)."""
    rows = []
    for name, (reference, prediction) in cases.items():
        files = [str(folder / f"{which}.npy") for which in "rp"]
        for file, array in zip(files, (reference, prediction), strict=True):
            np.save(file, array)
        cells = [
            subprocess.run(
                [sys.executable, "-c", MEMORY, *files, str(threads)],
                capture_output=True,
                text=True,
                check=True,
            )
            for threads in (1, THREADS)
        ]
        rows.append([name, *(f"{float(done.stdout):.2f}" for done in cells)])
    return table(["peak memory / the two volumes", "1 thread", f"{THREADS} threads"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="small volumes, to see that it works")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    host = machine()
    cases = make_cases(arguments.small)
    synthetic = {name: case for name, case in cases.items() if "×" in name}
    reference, prediction, _ = next(iter(synthetic.values()))
    with tempfile.TemporaryDirectory() as name, Peers(Path(name)) as peers:
        versions = ", ".join(
            f"{PEERS[peer]} {number}" for peer, number in peers.ask("versions").items()
        )
        about = (
            f"{host}; medians of {arguments.rounds} interleaved rounds, in brackets how many "
            f"times ours with 1 and with {THREADS} threads. The volumes with × in their names are "
            f"synthetic, uint8, {ORGANS} organs; (moved): the prediction is the reference, moved "
            f"by two voxels. {versions}; all on crops."
        )
        parts = [
            about,
            beside_peers(cases, arguments.rounds, peers),
            "Predictions that are wrong (the first volume; in brackets, times a good one):",
            bad_predictions(reference, prediction, arguments.rounds, peers),
            from_files(synthetic, arguments.rounds, Path(name)),
            memory(
                {name: case[:2] for name, case in synthetic.items()}
                | {
                    f"first volume, {kind}": (reference, bad)
                    for kind, bad in make_bad(prediction).items()
                    if kind != "empty"
                }
                | {
                    "first volume, a random label in every voxel": (
                        reference,
                        make_noise(reference.shape),
                    )
                },
                Path(name),
            ),
        ]
    text = "\n\n".join(parts)
    print(text)
    if arguments.write:
        write("bench-score", text)


if __name__ == "__main__":
    main()
