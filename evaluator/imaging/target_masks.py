"""Masks of targets from a label volume: one pass over the volume finds all crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.imaging.grid_masks import GridMask, empty_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid


def crop_targets(
    labels: NDArray[Any], grid: Grid, targets: Mapping[str, tuple[int, ...]]
) -> dict[str, GridMask]:
    """The mask of each target.

    Args:
        labels: label volume (i, j, k) of the grid's shape, any integers.
        grid: the grid of the labels.
        targets: the label values of each target.
    """
    largest = max((max(values, default=0) for values in targets.values()), default=0)
    lows, highs = label_boxes(labels, largest)
    return {
        name: _crop_target(labels, grid, values, lows, highs) for name, values in targets.items()
    }


def label_boxes(labels: NDArray[Any], largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last + 1 index of every label up to ``largest``, (largest + 1, 3) each.

    The first index is larger than the last where a label is absent.
    """
    # the pass runs in the order of memory: in volumes of nibabel the first index is the fastest
    reversed_axes = labels.flags.f_contiguous and not labels.flags.c_contiguous
    lows, highs = _boxes(labels.T if reversed_axes else np.ascontiguousarray(labels), largest)
    return (lows[:, ::-1], highs[:, ::-1]) if reversed_axes else (lows, highs)


def _crop_target(
    labels: NDArray[Any],
    grid: Grid,
    values: tuple[int, ...],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
) -> GridMask:
    present = [value for value in values if highs[value, 0] > lows[value, 0]]
    if not present:
        return empty_mask(grid)
    low, high = lows[present].min(axis=0), highs[present].max(axis=0)
    crop = labels[tuple(slice(l, h) for l, h in zip(low, high, strict=True))]
    array = crop == present[0]
    for value in present[1:]:
        array |= crop == value
    i, j, k = (int(l) for l in low)
    return GridMask(grid=grid, array=np.ascontiguousarray(array), offset=(i, j, k))


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
