"""A mask and its surface as rows of bits: memory for crowded surfaces, an eighth of a byte a voxel.

Column x of a row is bit ``x + 64`` of the row's words, so that the word before and the word after
each column exist. Corner x of the corner grid lies before voxel x and has the same bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator.compilation import njit

FIRST_BIT = 64
"""Bit of column 0."""


def words_of(columns: int) -> int:
    """Words of 64 bits in a row of so many voxels."""
    return columns // 64 + 3


@njit(cache=True, nogil=True)
def fill_mask_bits(voxels: Any, table: Any, target: int, bits: Any) -> None:
    """Set the bit of each voxel of a target.

    Args:
        voxels: (planes, rows, columns), the label map.
        table: target of each label.
        target: index of the target.
        bits: (planes, rows, words) uint64, all 0.
    """
    columns = voxels.shape[2]
    for z in range(voxels.shape[0]):
        for y in range(voxels.shape[1]):
            row, out = voxels[z, y], bits[z, y]
            for first in range(0, columns, 64):
                word = np.uint64(0)
                for x in range(first, min(first + 64, columns)):
                    word |= np.uint64(table[row[x]] == target) << np.uint64(x - first)
                out[first // 64 + 1] = word


@njit(cache=True, nogil=True)
def rows_around(bits: Any, empty: Any, z: int, y: int, flat: bool) -> Any:
    """The four rows of voxels about row y of plane z of the corner grid; ``empty`` where none is.

    The order is that of a code's bits: plane before, plane after; row before, row after. A flat
    volume has no plane before.
    """
    depth, height = bits.shape[0], bits.shape[1]
    before, after = not flat and z > 0, z < depth
    a = bits[z - 1, y - 1] if before and y > 0 else empty
    b = bits[z - 1, y] if before and y < height else empty
    c = bits[z, y - 1] if after and y > 0 else empty
    d = bits[z, y] if after and y < height else empty
    return a, b, c, d


@njit(cache=True, nogil=True)
def voxels_around(rows: Any, word: int) -> Any:
    """The eight voxels about each corner of a word: eight words in the order of a code's bits."""
    a, b, c, d = rows
    after, before, one, last = np.uint64(word), np.uint64(word - 1), np.uint64(1), np.uint64(63)
    return (
        (a[after] << one) | (a[before] >> last),
        a[after],
        (b[after] << one) | (b[before] >> last),
        b[after],
        (c[after] << one) | (c[before] >> last),
        c[after],
        (d[after] << one) | (d[before] >> last),
        d[after],
    )


@njit(cache=True, nogil=True)
def surface_word(voxels: Any, flat: bool) -> Any:
    """The corners of a word where at least one voxel is in the mask and at least one is not."""
    a0, a1, b0, b1, c0, c1, d0, d1 = voxels
    union = a0 | a1 | b0 | b1 | c0 | c1 | d0 | d1
    common = c0 & c1 & d0 & d1
    if not flat:
        common &= a0 & a1 & b0 & b1
    return union & ~common


@njit(cache=True, nogil=True)
def code_at(voxels: Any, bit: Any) -> Any:
    """The code of a corner (``evaluator.metrics.kernels.surface_area``); ``bit`` is a uint64."""
    a0, a1, b0, b1, c0, c1, d0, d1 = voxels
    one = np.uint64(1)
    code = ((a0 >> bit) & one) << np.uint64(7)
    code |= ((a1 >> bit) & one) << np.uint64(6)
    code |= ((b0 >> bit) & one) << np.uint64(5)
    code |= ((b1 >> bit) & one) << np.uint64(4)
    code |= ((c0 >> bit) & one) << np.uint64(3)
    code |= ((c1 >> bit) & one) << np.uint64(2)
    code |= ((d0 >> bit) & one) << np.uint64(1)
    return code | ((d1 >> bit) & one)


@njit(cache=True, nogil=True)
def fill_surface_bits(mask: Any, flat: bool, surface: Any) -> None:
    """Set the bit of each surface corner of a mask.

    Args:
        mask: (planes, rows, words) of voxels.
        flat: whether the volume has two axes.
        surface: (planes, rows, words) of the corner grid, all 0.
    """
    empty = np.zeros(mask.shape[2], dtype=np.uint64)
    for z in range(surface.shape[0]):
        for y in range(surface.shape[1]):
            rows = rows_around(mask, empty, z, y, flat)
            for word in range(1, empty.size):
                surface[z, y, word] = surface_word(voxels_around(rows, word), flat)
