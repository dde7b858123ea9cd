"""Masks stored as crops: an organ fills a small part of a whole-body grid.

Work on the crop costs a small part of work on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid, Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridMask:
    """A mask on a grid: the crop that holds all of its voxels, and where the crop lies.

    The crop of an empty mask has the shape (0, 0, 0).
    """

    grid: Grid
    #: C-ordered bool; every voxel outside the crop is outside the mask
    array: NDArray[np.bool_]
    #: index on the grid of the crop's first voxel
    offset: Index

    @property
    def empty(self) -> bool:
        """No voxel is in the mask."""
        return self.array.size == 0

    @property
    def voxel_count(self) -> int:
        """The number of voxels in the mask."""
        return int(np.count_nonzero(self.array))

    @property
    def end(self) -> Index:
        """Index on the grid behind the crop's last voxel."""
        i, j, k = (c + n for c, n in zip(self.offset, self.array.shape, strict=True))
        return i, j, k

    def contains(self, index: Index) -> bool:
        """Whether this voxel of the grid is in the mask; False outside the grid."""
        in_crop = tuple(i - c for i, c in zip(index, self.offset, strict=True))
        within = all(0 <= i < n for i, n in zip(in_crop, self.array.shape, strict=True))
        return within and bool(self.array[in_crop])

    def to_array(self) -> NDArray[np.uint8]:
        """The mask on its full grid, 0 and 1; it needs a byte for every voxel of the grid."""
        return self.crop((0, 0, 0), self.grid.shape).view(np.uint8)

    def crop(self, low: Index, high: Index) -> NDArray[np.bool_]:
        """The mask in the half-open box from ``low`` to ``high`` of the grid, as a new array."""
        shape = tuple(h - l for l, h in zip(low, high, strict=True))
        out = np.zeros(shape, dtype=np.bool_)
        ends = [c + n for c, n in zip(self.offset, self.array.shape, strict=True)]
        first = [max(l, c) for l, c in zip(low, self.offset, strict=True)]
        last = [min(h, e) for h, e in zip(high, ends, strict=True)]
        if all(f < e for f, e in zip(first, last, strict=True)):
            target = tuple(slice(f - l, e - l) for f, e, l in zip(first, last, low, strict=True))
            source = tuple(
                slice(f - c, e - c) for f, e, c in zip(first, last, self.offset, strict=True)
            )
            out[target] = self.array[source]
        return out


def common_region(*masks: GridMask) -> tuple[Index, Index]:
    """The half-open box of the grid that holds all of these masks.

    The box has no voxel if all masks are empty.
    """
    filled = [mask for mask in masks if not mask.empty]
    if not filled:
        return (0, 0, 0), (0, 0, 0)
    low = np.min([mask.offset for mask in filled], axis=0)
    high = np.max([mask.end for mask in filled], axis=0)
    (li, lj, lk), (hi, hj, hk) = low.tolist(), high.tolist()
    return (li, lj, lk), (hi, hj, hk)


def empty_mask(grid: Grid) -> GridMask:
    """The mask without a voxel."""
    return GridMask(grid=grid, array=np.zeros((0, 0, 0), dtype=np.bool_), offset=(0, 0, 0))


def crop_mask(mask: NDArray[Any], grid: Grid, offset: Index = (0, 0, 0)) -> GridMask:
    """Crop an array to the voxels of its mask.

    Args:
        mask: (i, j, k), any number type; what is not 0 is in the mask.
        grid: the grid on which the mask lies.
        offset: index on the grid of the array's first voxel.
    """
    window = mask if mask.dtype == np.bool_ else mask != 0
    low = list(offset)
    # the axis that is slowest in memory comes first, so the others are searched in a small window
    for axis in sorted(range(3), key=lambda axis: -abs(mask.strides[axis])):
        rest = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(window.any(axis=rest))
        if not filled.size:
            return empty_mask(grid)
        first, last = int(filled[0]), int(filled[-1])
        low[axis] += first
        window = window[(slice(None),) * axis + (slice(first, last + 1),)]
    i, j, k = low
    return GridMask(grid=grid, array=np.array(window, order="C"), offset=(i, j, k))


def interior_of(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a crop whose six neighbours are all in the mask.

    Voxels beyond the crop are not in the mask.
    """
    padded = np.pad(array, 1)
    interior = array.copy()
    for axis in range(3):
        for shift in (0, 2):
            neighbour = tuple(
                slice(shift, shift + n) if a == axis else slice(1, -1)
                for a, n in enumerate(array.shape)
            )
            interior &= padded[neighbour]
    return interior
