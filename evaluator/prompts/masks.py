"""Masks held as crops: an organ fills a small part of a whole-body grid, and so does the work on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid, Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridMask:
    """A mask on a grid: the crop that holds all of its voxels, and where the crop lies. Empty: a crop of no size."""

    grid: Grid
    #: C-ordered bool; every voxel outside the crop is outside the mask
    inside: NDArray[np.bool_]
    #: index on the grid of the crop's first voxel
    corner: Index

    @property
    def empty(self) -> bool:
        """No voxel is in the mask."""
        return self.inside.size == 0

    @property
    def voxels(self) -> int:
        """How many voxels are in the mask."""
        return int(np.count_nonzero(self.inside))

    def contains(self, index: Index) -> bool:
        """Is this voxel of the grid in the mask."""
        at = tuple(i - c for i, c in zip(index, self.corner, strict=True))
        within = all(0 <= i < n for i, n in zip(at, self.inside.shape, strict=True))
        return within and bool(self.inside[at])

    def region(self, low: Index, high: Index) -> NDArray[np.bool_]:
        """The mask in the half-open box from ``low`` to ``high`` of the grid, as a new array."""
        shape = tuple(h - l for l, h in zip(low, high, strict=True))
        out = np.zeros(shape, dtype=np.bool_)
        ends = [c + n for c, n in zip(self.corner, self.inside.shape, strict=True)]
        first = [max(l, c) for l, c in zip(low, self.corner, strict=True)]
        last = [min(h, e) for h, e in zip(high, ends, strict=True)]
        if all(f < e for f, e in zip(first, last, strict=True)):
            here = tuple(slice(f - l, e - l) for f, e, l in zip(first, last, low, strict=True))
            there = tuple(slice(f - c, e - c) for f, e, c in zip(first, last, self.corner, strict=True))
            out[here] = self.inside[there]
        return out


def empty_mask(grid: Grid) -> GridMask:
    """The mask without a voxel."""
    return GridMask(grid=grid, inside=np.zeros((0, 0, 0), dtype=np.bool_), corner=(0, 0, 0))


def crop_mask(mask: NDArray[Any], grid: Grid, corner: Index = (0, 0, 0)) -> GridMask:
    """Crop a mask (bool, or 0 and 1) that covers the grid, or a part of it that starts at ``corner``."""
    bits = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    crop = _crop_target(bits, grid, (1,), *label_boxes(bits, 1))
    i, j, k = (c + o for c, o in zip(crop.corner, corner, strict=True))
    return crop if crop.empty else GridMask(grid=grid, inside=crop.inside, corner=(i, j, k))


def crop_targets(labels: NDArray[Any], grid: Grid, targets: Mapping[str, tuple[int, ...]]) -> dict[str, GridMask]:
    """Each target's mask out of one label volume of the grid's shape; one pass over the volume finds all crops."""
    largest = max((value for values in targets.values() for value in values), default=0)
    lows, highs = label_boxes(labels, largest)
    return {name: _crop_target(labels, grid, values, lows, highs) for name, values in targets.items()}


def label_boxes(labels: NDArray[Any], largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last + 1 index of every label up to ``largest``, (largest + 1, 3) each; low > high where absent."""
    # the pass runs in the order of memory, whichever that is
    turned = labels.flags.f_contiguous and not labels.flags.c_contiguous
    lows, highs = _boxes(labels.T if turned else np.ascontiguousarray(labels), largest)
    return (lows[:, ::-1], highs[:, ::-1]) if turned else (lows, highs)


def interior_of(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a crop whose six neighbours are all in the mask; beyond the crop nothing is."""
    padded = np.pad(inside, 1)
    kept = inside.copy()
    for axis in range(3):
        for shift in (0, 2):
            neighbour = tuple(
                slice(shift, shift + n) if a == axis else slice(1, -1) for a, n in enumerate(inside.shape)
            )
            kept &= padded[neighbour]
    return kept


def _crop_target(
    labels: NDArray[Any], grid: Grid, values: tuple[int, ...], lows: NDArray[np.int64], highs: NDArray[np.int64]
) -> GridMask:
    present = [value for value in values if highs[value, 0] > lows[value, 0]]
    if not present:
        return empty_mask(grid)
    low, high = lows[present].min(axis=0), highs[present].max(axis=0)
    crop = labels[tuple(slice(l, h) for l, h in zip(low, high, strict=True))]
    inside = crop == present[0]
    for value in present[1:]:
        inside |= crop == value
    i, j, k = (int(l) for l in low)
    return GridMask(grid=grid, inside=np.ascontiguousarray(inside), corner=(i, j, k))


def _find_boxes(labels: NDArray[Any], largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ni, nj, nk = labels.shape
    lows = np.full((largest + 1, 3), 2**62, dtype=np.int64)
    highs = np.zeros((largest + 1, 3), dtype=np.int64)
    for i in range(ni):
        for j in range(nj):
            k = 0
            while k < nk:
                value = labels[i, j, k]
                start = k
                while k < nk and labels[i, j, k] == value:
                    k += 1
                if 0 < value <= largest:
                    lows[value, 0] = min(lows[value, 0], i)
                    lows[value, 1] = min(lows[value, 1], j)
                    lows[value, 2] = min(lows[value, 2], start)
                    highs[value, 0] = max(highs[value, 0], i + 1)
                    highs[value, 1] = max(highs[value, 1], j + 1)
                    highs[value, 2] = max(highs[value, 2], k)
    return lows, highs


_boxes: Any = njit(cache=True, nogil=True)(_find_boxes)
