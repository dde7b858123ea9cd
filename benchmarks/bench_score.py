"""How long scoring one pair of label maps takes, against others that use the same data in the same run.

    python benchmarks/bench_score.py [--shape 400 400 350] [--rounds 3] [--bad]

Prints a Markdown table of medians over interleaved rounds, after one round that is not counted; imports, compiling and
making the data are excluded. All scorers work on crops and give Dice, NSD, HD95 and mean distances for 13 organs.
"""

from __future__ import annotations

import argparse
import os
import platform
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK
from scipy import ndimage

from evaluator.metrics import METRICS, measure_labels, score
from evaluator.metrics.areas import surfel_areas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ORGANS = 13
SPACING = (1.5, 1.5, 2.0)
TOLERANCE_MM = 2.0
NAMES = tuple(METRICS)


def make_pair(shape: Sequence[int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A synthetic reference and a prediction off by 1 to 2 voxels: wavy ellipsoids, in nibabel's memory order."""
    rng = np.random.default_rng(seed)
    pair = tuple(np.zeros(shape, dtype=np.uint8, order="F") for _ in range(2))
    for label in range(1, ORGANS + 1):
        centre = rng.uniform(0.25, 0.75, 3) * shape
        radii = rng.uniform(15, 60, 3) * np.array(shape) / 400
        for volume, phase in zip(pair, (0.0, 0.5), strict=True):
            off = rng.normal(0, 1.5, 3) if phase else np.zeros(3)
            draw_organ(volume, centre + off, radii * (rng.uniform(0.97, 1.03, 3) if phase else 1), phase, label)
    return pair


def draw_organ(volume: NDArray[np.uint8], centre: Any, radii: Any, phase: float, label: int) -> None:
    low = np.maximum(0, (centre - 1.3 * radii).astype(int))
    high = np.minimum(volume.shape, (centre + 1.3 * radii).astype(int) + 2)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    a, b, c = ((g - m) / r for g, m, r in zip(np.ogrid[box], centre, radii, strict=True))
    wave = np.sin(6 * a + phase + label) * np.cos(5 * b) * np.sin(7 * c)
    volume[box][a**2 + b**2 + c**2 + 0.15 * wave < 1] = label


def make_bad(reference: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Predictions that are wrong in ways that make a nearest search slow."""
    rng = np.random.default_rng(1)
    permuted = np.r_[0, rng.permutation(ORGANS) + 1].astype(np.uint8)[prediction]
    salt = prediction.copy(order="F")
    few = prediction.size // 1000
    salt[tuple(rng.integers(0, n, few) for n in salt.shape)] = rng.integers(0, ORGANS + 1, few)
    island = prediction.copy(order="F")
    island[:5, :5, :5] = 3
    return {
        "the reference itself": reference.copy(order="F"),
        "far island": island,
        "mirrored": np.asfortranarray(prediction[::-1]),
        "labels permuted": np.asfortranarray(permuted),
        "0.1 % salt": salt,
        "all foreground": np.ones_like(prediction),
        "empty": np.zeros_like(prediction),
    }


def ours(threads: int) -> Callable[[Any, Any], Any]:
    targets = {str(label): (label,) for label in range(1, ORGANS + 1)}
    tolerances = dict.fromkeys(targets, TOLERANCE_MM)

    def run(reference: Any, prediction: Any) -> list[float | None]:
        measured = measure_labels(reference, prediction, targets, SPACING, tolerances, threads=threads)
        rows = {name: {one.metric: one.value for one in score(each, NAMES)} for name, each in measured.items()}
        return [rows[name]["hd95"] for name in targets]

    return run


def crops(reference: Any, prediction: Any) -> Any:
    """Every organ's two masks in the box that holds both, one voxel wider."""
    boxes = [ndimage.find_objects(volume, max_label=ORGANS) for volume in (reference, prediction)]
    for label in range(1, ORGANS + 1):
        found = [each[label - 1] for each in boxes if each[label - 1]]
        if not found:
            continue
        box = tuple(slice(min(b[i].start for b in found), max(b[i].stop for b in found)) for i in range(3))
        yield [np.pad(volume[box] == label, 1) for volume in (reference, prediction)]


def dense(reference: Any, prediction: Any) -> list[float | None]:
    """DeepMind's definitions with scipy's distance transform, the way their package does it."""
    areas, out = surfel_areas(SPACING), []
    for masks in crops(reference, prediction):
        kernel = 2 ** np.arange(8, dtype=np.uint8).reshape(2, 2, 2)[::-1, ::-1, ::-1]
        codes = [ndimage.correlate(mask.astype(np.uint8), kernel, mode="constant") for mask in masks]
        borders = [(code != 0) & (code != 255) for code in codes]
        if not all(border.any() for border in borders):
            out.append(None)
            continue
        far = [ndimage.distance_transform_edt(~border, sampling=SPACING) for border in borders]
        worst = 0.0
        for own, other in ((0, 1), (1, 0)):
            distances, weights = far[other][borders[own]], areas[codes[own][borders[own]]]
            order = np.argsort(distances)
            share = np.cumsum(weights[order]) / weights.sum()
            worst = max(worst, distances[order][min(np.searchsorted(share, 0.95), order.size - 1)])
            _ = weights[distances <= TOLERANCE_MM].sum() + (weights * distances).sum()
        _ = (masks[0] & masks[1]).sum()
        out.append(worst)
    return out


def simple_itk(reference: Any, prediction: Any) -> list[float | None]:
    """SimpleITK's distance maps and contours; its surface is voxels, so its numbers differ by definition."""
    out: list[float | None] = []
    for masks in crops(reference, prediction):
        images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8).transpose()) for mask in masks]
        for image in images:
            image.SetSpacing(SPACING)
        if not all(mask.any() for mask in masks):
            out.append(None)
            continue
        maps = [
            SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True) for image in images
        ]
        views = [np.abs(SimpleITK.GetArrayViewFromImage(each)) for each in maps]
        edges = [SimpleITK.GetArrayViewFromImage(SimpleITK.LabelContour(image)) != 0 for image in images]
        distances = [views[1][edges[0]], views[0][edges[1]]]
        _ = [((each <= TOLERANCE_MM).sum(), each.mean()) for each in distances]
        _ = (masks[0] & masks[1]).sum()
        out.append(max(float(np.percentile(each, 95)) for each in distances))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(400, 400, 350))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bad", action="store_true", help="bad predictions too, scored by ours alone")
    arguments = parser.parse_args()
    reference, prediction = make_pair(arguments.shape)
    # the most that this process may use is what its threads get
    threads = len(os.sched_getaffinity(0))
    scorers: dict[str, Callable[[Any, Any], Any]] = {
        "ours, 1 thread": ours(1),
        f"ours, {threads} threads": ours(threads),
    }
    work = {name: (run, prediction) for name, run in scorers.items()}
    work |= {"scipy's distance transform on crops": (dense, prediction), "SimpleITK on crops": (simple_itk, prediction)}
    if arguments.bad:
        for kind, bad in make_bad(reference, prediction).items():
            work |= {f"{name}: {kind}": (run, bad) for name, run in scorers.items()}
    print(f"{tuple(arguments.shape)} uint8, {ORGANS} organs, {threads} cores of {platform.machine()}, "
          f"medians of {arguments.rounds} interleaved rounds\n")  # fmt: skip
    answers = {name: run(reference, other) for name, (run, other) in work.items()}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(arguments.rounds):
        for name, (run, other) in work.items():
            start = perf_counter()
            run(reference, other)
            seconds[name].append(perf_counter() - start)
    print("| scorer | seconds | times ours with 1 thread | largest difference in HD95, mm |\n|---|---|---|---|")
    base, expected = median(seconds["ours, 1 thread"]), answers["ours, 1 thread"]
    for name, taken in seconds.items():
        gaps = [abs(a - b) for a, b in zip(answers[name], expected, strict=False) if a is not None and b is not None]
        apart = f"{max(gaps):.2g}" if gaps and work[name][1] is prediction else ""
        print(f"| {name} | {median(taken):.3f} | {median(taken) / base:.1f} | {apart} |")


if __name__ == "__main__":
    main()
