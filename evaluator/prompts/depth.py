"""How deep a voxel lies in a mask, and which one lies deepest.

Depth is the Euclidean distance in millimetres from a voxel's centre to the centre of the nearest voxel that is not in
the mask; what is beyond the crop is not in the mask, and so is what is beyond the volume: its border counts as outside.
Distances are taken along the grid's axes, which is exact for every affine without shear.

The exact transform goes axis by axis, as in Felzenszwalb & Huttenlocher, "Distance Transforms of Sampled Functions"
(2012), but looks for each minimum outwards from the voxel and stops where no farther one is less: organs are shallow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: depths that differ by less are equal, so that the last bits of a float never choose a voxel; millimetres
TIE_MM = 1e-6


def squared_depth(inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Squared depth in mm² of every voxel of the crop (i, j, k); 0 outside the mask."""
    return np.asarray(_transform(np.ascontiguousarray(inside), *spacing_mm))


def first_deepest(squared: NDArray[np.float64]) -> tuple[int, int, int]:
    """Index of the largest value; of those within TIE_MM of it (after the root) the first in C order."""
    least = max(float(np.sqrt(squared.max())) - TIE_MM, 0.0)
    i, j, k = np.unravel_index(int(np.argmax(squared >= least * least)), squared.shape)
    return int(i), int(j), int(k)


def squared_distance_to(
    index: tuple[int, int, int], shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Squared distance in mm² of every voxel of the crop to one of its voxels."""
    i, j, k = (((np.arange(n) - c) * s) ** 2 for n, c, s in zip(shape, index, spacing_mm, strict=True))
    squared: NDArray[np.float64] = i[:, None, None] + j[None, :, None] + k[None, None, :]
    return squared


def _along_rows(inside: NDArray[np.bool_], sk: float) -> NDArray[np.float64]:
    ni, nj, nk = inside.shape
    out = np.zeros((ni, nj, nk), dtype=np.float64)
    for i in range(ni):
        for j in range(nj):
            count = 0
            for k in range(nk):
                count = count + 1 if inside[i, j, k] else 0
                out[i, j, k] = count
            count = 0
            for k in range(nk - 1, -1, -1):
                count = count + 1 if inside[i, j, k] else 0
                near = min(out[i, j, k], count) * sk
                out[i, j, k] = near * near
    return out


def _across(lines: NDArray[np.float64], out: NDArray[np.float64], s: float) -> None:
    """Minimum over the first axis of value + (distance)²; beyond either end the value is 0."""
    n, width = lines.shape
    for a in range(n):
        for b in range(width):
            best = lines[a, b]
            step = 1
            far = s * s
            while far < best:
                below = lines[a - step, b] if step <= a else 0.0
                above = lines[a + step, b] if a + step < n else 0.0
                best = min(best, far + min(below, above))
                step += 1
                far = (step * s) * (step * s)
            out[a, b] = best


def _squared_depth(inside: NDArray[np.bool_], si: float, sj: float, sk: float) -> NDArray[np.float64]:
    squared: NDArray[np.float64] = _rows(inside, sk)
    for i in range(inside.shape[0]):
        _columns(squared[i].copy(), squared[i], sj)
    for j in range(inside.shape[1]):
        _columns(squared[:, j].copy(), squared[:, j], si)
    return squared


_rows: Any = njit(cache=True, nogil=True)(_along_rows)
_columns: Any = njit(cache=True, nogil=True)(_across)
_transform: Any = njit(cache=True, nogil=True)(_squared_depth)
