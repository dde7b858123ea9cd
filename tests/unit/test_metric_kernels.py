"""The kernels of corners and of sums against plain Python, equal to the last bit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluator.metrics.kernels.dense_surface import dense_surfaces
from evaluator.metrics.kernels.label_grid import make_voxel_grid, to_label_grid
from evaluator.metrics.kernels.present_labels import present_labels
from evaluator.metrics.kernels.surface_area import surfel_areas
from evaluator.metrics.kernels.surface_corners import find_corners
from evaluator.metrics.kernels.surface_statistics import AreaByDistance
from evaluator.metrics.kernels.voxel_counts import count_targets
from evaluator.metrics.target_measurement import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Corner = tuple[int, int, int]


def corners_by_definition(targets: NDArray[np.int32], flat: bool) -> list[Corner]:
    """Position, code and target of each corner whose neighbourhood is partly in a target."""
    padded = np.pad(targets, ((0, 0) if flat else (1, 1), (1, 1), (1, 1)))
    depth, height, width = targets.shape
    planes = [0] if flat else range(depth + 1)
    full = 15 if flat else 255
    corners: list[Corner] = []
    for z in planes:
        for y in range(height + 1):
            for x in range(width + 1):
                around = padded[z : z + 2, y : y + 2, x : x + 2].ravel().tolist()
                position = (z << 42) | (y << 21) | x
                # targets in the order of their first voxel
                for target in dict.fromkeys(value for value in around if value):
                    bits = "".join("1" if value == target else "0" for value in around)
                    code = int(bits, 2)
                    if code != full:
                        corners.append((position, code, target))
    return corners


def label_volume(rng: np.random.Generator, flat: bool) -> NDArray[Any]:
    """Blocks of labels with noise: alone, side by side, at the border, in every voxel."""
    shape = tuple(rng.integers(1, 12, 3))
    if flat:
        shape = (1, *shape[1:])
    dtype = (np.uint8, np.uint16)[int(rng.integers(2))]
    highest = int(rng.choice([1, 2, 5, 200]))
    volume = np.zeros(shape, dtype=dtype)
    for _ in range(rng.integers(0, 6)):
        low = [int(rng.integers(0, n)) for n in shape]
        block = tuple(
            slice(start, start + int(rng.integers(1, n + 1)))
            for start, n in zip(low, shape, strict=True)
        )
        volume[block] = rng.integers(0, highest + 1)
    noise = rng.random(shape) < rng.choice([0, 0.02, 0.5])
    volume[noise] = rng.integers(0, highest + 1, noise.sum())
    return volume


@pytest.mark.parametrize("seed", range(200))
def test_corners_are_those_of_the_definition_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flat = seed % 3 == 0
    volume = label_volume(rng, flat)
    table = np.zeros(256 if volume.dtype == np.uint8 else 2**16, dtype=np.int32)
    # some labels are no target, and some share one
    table[1:201] = rng.integers(0, 6, 200)
    low, high = (np.zeros(volume.shape[:2], dtype=np.int32) for _ in range(2))
    count_targets(volume, table, (0, volume.shape[0]), low, high)
    planes = 1 if flat else volume.shape[0] + 1
    middle = int(rng.integers(0, planes + 1))
    corners: list[Corner] = []
    for slab in ((0, middle), (middle, planes)):
        *columns, complete = find_corners(
            volume, table, low, high, slab, flat, np.array([2**20], dtype=np.int64)
        )
        assert complete
        corners += zip(*(column.tolist() for column in columns), strict=True)
    assert corners == corners_by_definition(table[volume], flat)


def test_corners_beyond_the_budget_are_not_listed() -> None:
    volume = np.random.default_rng(0).integers(0, 9, (20, 30, 40)).astype(np.uint8)
    table = np.arange(256, dtype=np.int32)
    low, high = (np.zeros(volume.shape[:2], dtype=np.int32) for _ in range(2))
    count_targets(volume, table, (0, 20), low, high)
    budget = np.array([5000], dtype=np.int64)
    positions, codes, targets, complete = find_corners(
        volume, table, low, high, (0, 21), False, budget
    )
    assert not complete
    assert not positions.size
    assert not codes.size
    assert not targets.size


def sums_by_definition(
    codes: NDArray[np.uint8], squares: NDArray[np.float64], areas: NDArray[np.float64]
) -> dict[float, tuple[float, float]]:
    """Neumaier's sum of area at each squared distance: the sum, and the digits that it lost."""
    sums: dict[float, tuple[float, float]] = {}
    for code, square in zip(codes.tolist(), squares.tolist(), strict=True):
        total, lost = sums.get(square, (0.0, 0.0))
        term = float(areas[code])
        new = total + term
        lost += (total - new) + term if abs(total) >= abs(term) else (term - new) + total
        sums[square] = new, lost
    return sums


@pytest.mark.parametrize("distinct", [1, 2, 511, 512, 513, 2048, 2049, 30000])
def test_area_by_distance_is_the_plain_sum_to_the_last_bit(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    squares = rng.choice(rng.uniform(0, 100, distinct), 40000)
    codes = rng.integers(1, 255, squares.size).astype(np.uint8)
    areas = surfel_areas((0.7, 1.3, 2.9))
    area_by_distance = AreaByDistance(areas)
    area_by_distance.add(codes[:700], squares[:700])
    area_by_distance.add(codes[700:], squares[700:])
    keys, sums, losses = area_by_distance.sums()
    gathered = dict(
        zip(keys.tolist(), zip(sums.tolist(), losses.tolist(), strict=True), strict=True)
    )
    assert gathered == sums_by_definition(codes, squares, areas)


def test_area_of_no_corner_is_empty() -> None:
    area_by_distance = AreaByDistance(surfel_areas((1, 1, 1)))
    area_by_distance.add(np.empty(0, np.uint8), np.empty(0))
    assert [part.size for part in area_by_distance.sums()] == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_labels_are_found_at_any_length_and_address(dtype):
    rng = np.random.default_rng(0)
    for length in (0, 1, 7, 8, 9, 63, 64, 65, 511, 1025):
        for first in range(9):
            line = np.repeat(rng.integers(0, 2**63, 40).astype(dtype), rng.integers(1, 90, 40))
            voxels = np.resize(line, first + length)[first:]
            expected = np.unique(np.append(voxels, np.zeros(1, dtype)))
            np.testing.assert_array_equal(np.sort(present_labels(voxels, 2**16)), expected)
    unaligned = np.frombuffer(b"x" + voxels.tobytes(), dtype=dtype, offset=1)
    np.testing.assert_array_equal(np.sort(present_labels(unaligned, 2**16)), expected)


def test_the_search_for_labels_ends_when_there_are_too_many():
    assert 10 < len(present_labels(np.arange(10**6), 10)) < 100


@pytest.mark.parametrize("columns", [1, 62, 63, 64, 65, 127, 128, 140])
@pytest.mark.parametrize("planes", [0, 1, 9])
@pytest.mark.parametrize("kind", ["noise", "far", "none"])
def test_surfaces_from_bits_equal_surfaces_from_corners(columns: int, planes: int, kind: str):
    """Rows end before, at and after a word of 64 bits; a flat volume has no planes."""
    rng = np.random.default_rng(columns)
    shape = (planes, 11, columns) if planes else (11, columns)
    spacing = (2.5, 0.8, 1.3)[-len(shape) :]
    reference = (rng.random(shape) < 0.3).astype(np.uint8)
    prediction = (rng.random(shape) < 0.3).astype(np.uint8)
    if kind != "noise":
        prediction[:] = 0
    if kind == "far":
        prediction[..., -1:] = 1
    grid = make_voxel_grid(reference, spacing)
    maps = [to_label_grid(volume, grid, [(1,)]) for volume in (reference, prediction)]
    listed = measure(reference, prediction, spacing, 1.0)
    surfaces = dense_surfaces(maps[0], maps[1], 1, grid, 1.0)
    for dense, expected in zip(surfaces, (listed.reference, listed.prediction), strict=True):
        assert asdict(dense) == pytest.approx(asdict(expected), rel=1e-13)
