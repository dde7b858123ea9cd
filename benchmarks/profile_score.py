"""Where the scorer's time goes: processor time by stage, beside what the memory allows.

    make profile-score      # or: PYTHONPATH=. python benchmarks/profile_score.py [--rounds 5]
    [--small] [--write]

One thread scores pairs of NIfTI files, from reading to rows. Medians of the thread's processor time
over rounds, after one warm-up round. "Bytes" are those that a stage must read and write at least
once. "Of the stream" compares bytes a second with the rate at which this machine reads memory in
one thread; a stage near 100 % cannot be faster. ``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib

from benchmarks.bench_score import NAMES, SIZES, TOLERANCE_MM
from benchmarks.tables import machine, table, write
from benchmarks.volumes import SPACING, make_pair, real_pairs
from evaluator.imaging.geometry import make_grid
from evaluator.metrics import label_content, pair_measurement
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import labels_in, measure_labels
from evaluator.volumes import LabelFile, write_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STAGES = {
    "read": "read, unpack and check the files",
    "labels": "list the labels",
    "count": "count voxels",
    "corners": "find surface corners",
    "sort": "sort corners by target",
    "nearest 0": "nearest search, from the reference",
    "nearest 1": "nearest search, from the prediction",
    "summary": "sums and percentiles",
    "rows": "rows of metrics, and the rest",
}
LARGE = {"800 × 512 × 512": (800, 512, 512)}


class Profile:
    """Processor seconds and bytes by stage, of one round."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.bytes = dict.fromkeys(STAGES, 0)
        #: seconds of reading and unpacking both files at once, with nothing checked
        self.floor = 0.0

    def timed(
        self, stage: Callable[..., str], function: Callable[..., Any], size: Callable[..., int]
    ) -> Callable[..., Any]:
        """The function, which adds its time and ``size(result, *arguments)`` to a stage."""

        def call(*arguments: Any) -> Any:
            start = thread_time()
            result = function(*arguments)
            name = stage(*arguments)
            self.seconds[name] += thread_time() - start
            self.bytes[name] += size(result, *arguments)
            return result

        return call


def stream_rate(size: int = 2**29) -> float:
    """Bytes a second at which one thread reads memory, the best of five."""
    words = np.ones(size // 8, dtype=np.uint64)
    best = np.inf
    for _ in range(5):
        start = thread_time()
        words.max()
        best = min(best, thread_time() - start)
    return size / best


@contextmanager
def instrumented(profile: Profile) -> Iterator[None]:
    """The stages of ``measure_labels`` add their time to the profile."""
    sources: dict[int, int] = {}
    search = pair_measurement._nearest_squares  # noqa: SLF001

    def with_sources(directed: Any, *arguments: Any) -> Any:
        for (_, source), surface in directed.items():
            sources[_address(surface.positions)] = source
        return search(directed, *arguments)

    replaced = [
        (label_content, "count_targets", lambda *_: "count", _bytes_of_slab),
        (label_content, "count_shared", lambda *_: "count", lambda *_: 0),
        (label_content, "find_corners", lambda *_: "corners", _bytes_of_rows),
        (label_content, "_sort_slabs", lambda *_: "sort", lambda result, *_: 2 * _sizes(result)),
        (
            pair_measurement,
            "nearest_squares",
            lambda positions, *_: f"nearest {sources[_address(positions)]}",
            lambda result, positions, others, *_: result.nbytes + positions.nbytes + others.nbytes,
        ),
        (pair_measurement, "summarise", lambda *_: "summary", lambda _, c, s, *__: _sizes((c, s))),
    ]
    before = [(module, name, getattr(module, name)) for module, name, *_ in replaced]
    try:
        for module, name, stage, size in replaced:
            setattr(module, name, profile.timed(stage, getattr(module, name), size))
        pair_measurement._nearest_squares = with_sources  # noqa: SLF001
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)
        pair_measurement._nearest_squares = search  # noqa: SLF001


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _sizes(arrays: Any) -> int:
    return sum(int(array.nbytes) for array in arrays)


def _bytes_of_slab(_: Any, voxels: Any, __: Any, planes: tuple[int, int], *___: Any) -> int:
    return int(voxels[planes[0] : planes[1]].nbytes)


def _bytes_of_rows(_: Any, voxels: Any, __: Any, low: Any, high: Any, *___: Any) -> int:
    """The bytes between the first and last column of each row's targets."""
    return int(np.maximum(high - low, 0).sum()) * int(voxels.itemsize)


def profile_pair(files: tuple[Path, Path], spacing: Any) -> Profile:
    """Score one pair of files and take the time of each stage."""
    profile = Profile()
    start = thread_time()
    unpacked = [isal_zlib.decompress(path.read_bytes(), 31) for path in files]
    profile.floor = thread_time() - start
    del unpacked
    start = thread_time()
    pair = [LabelFile(path, untrusted=False).read() for path in files]
    profile.seconds["read"] = thread_time() - start
    profile.bytes["read"] = _sizes(pair) + sum(path.stat().st_size for path in files)
    start = thread_time()
    labels = [set(labels_in(volume)) for volume in pair]
    profile.seconds["labels"], profile.bytes["labels"] = thread_time() - start, _sizes(pair)
    targets = {str(label): (label,) for label in sorted(labels[0] & labels[1])}
    tolerances = dict.fromkeys(targets, TOLERANCE_MM)
    start = thread_time()
    measured_before = sum(profile.seconds.values())
    with instrumented(profile):
        measured = measure_labels(*pair, targets, spacing, tolerances, 1)
        for measures in measured.values():
            score(measures, NAMES)
    in_stages = sum(profile.seconds.values()) - measured_before
    profile.seconds["rows"] = thread_time() - start - in_stages
    return profile


def make_cases(small: bool) -> dict[str, tuple[Any, Any, Any]]:
    """Name -> reference, prediction, spacing."""
    sizes = {"100 × 100 × 80": (100, 100, 80)} if small else SIZES | LARGE
    return {name: (*make_pair(shape), SPACING) for name, shape in sizes.items()} | real_pairs()


def profiles_of(pair: tuple[Any, Any, Any], rounds: int, folder: Path) -> list[Profile]:
    """The profiles of one pair of arrays, written to files first."""
    reference, prediction, spacing = pair
    grid = make_grid(reference.shape, np.diag([*spacing, 1.0]))
    files = (folder / "reference.nii.gz", folder / "prediction.nii.gz")
    for path, volume in zip(files, (reference, prediction), strict=True):
        write_volume(path, volume, grid)
    return [profile_pair(files, spacing) for _ in range(rounds + 1)][1:]


def report(cases: dict[str, Any], rounds: int) -> str:
    """A table of stages for each pair."""
    rate = stream_rate()
    text = (
        f"{machine()}; one thread; processor milliseconds, medians of {rounds} rounds. One thread "
        f"reads memory at {rate / 1e9:.1f} GB/s. In brackets: a stage's bytes a second as a share "
        "of this rate. Names with × are synthetic volumes."
    )
    columns = {}
    for name, pair in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            columns[name] = profiles_of(pair, rounds, Path(folder))
    rows = []
    for stage, title in STAGES.items():
        cells = []
        for profiles in columns.values():
            seconds = median(profile.seconds[stage] for profile in profiles)
            size = profiles[0].bytes[stage]
            share = f" ({size / seconds / rate:.0%})" if size and seconds > 1e-4 else ""
            cells.append(f"{1000 * seconds:.1f}{share}")
        rows.append([title, *cells])
    totals, floors = [], []
    for profiles in columns.values():
        seconds = median(sum(profile.seconds.values()) for profile in profiles)
        floor = median(profile.floor for profile in profiles)
        totals.append(f"{1000 * seconds:.1f} ({seconds / floor:.1f} × the floor)")
        floors.append(f"{1000 * floor:.1f}")
    rows += [["all", *totals], ["floor: both files read and unpacked by isal", *floors]]
    return f"{text}\n\n{table(['', *columns], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="one tiny volume instead of three")
    parser.add_argument("--write", action="store_true", help="write into docs/benchmarks.md")
    options = parser.parse_args()
    text = report(make_cases(options.small), options.rounds)
    print(text)
    if options.write:
        write("profile-score", text)


if __name__ == "__main__":
    main()
