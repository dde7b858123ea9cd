"""How deep a voxel lies in a mask, and which one lies deepest.

Depth is the Euclidean distance in millimetres from a voxel's centre to the centre of the nearest
voxel that is not in the mask. Voxels beyond the crop are not in the mask, nor are voxels beyond the
volume, so the border of the volume counts as outside. Distances are taken along the grid's axes,
which is exact for every affine without shear (``sheared_depth`` is for all).

The transform is exact and linear in the voxels: axis by axis, the lower envelope of parabolas of
Felzenszwalb & Huttenlocher, "Distance Transforms of Sampled Functions" (Theory of Computing
2012;8:415-428).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: depths that differ by less count as equal, so rounding never chooses a voxel; millimetres
TIE_MM = 1e-6


def squared_depth(
    inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Squared depth of every voxel.

    Args:
        inside: mask (i, j, k).
        spacing_mm: distance between neighbouring voxels along each axis.

    Returns:
        mm², of the mask's shape; 0 outside the mask.
    """
    return np.asarray(_transform(np.ascontiguousarray(inside), *spacing_mm))


def first_deepest(squared: NDArray[np.float64]) -> tuple[int, int, int]:
    """Index of the deepest voxel; of those within TIE_MM of it the first in C order."""
    least = max(float(np.sqrt(squared.max())) - TIE_MM, 0.0)
    i, j, k = np.unravel_index(int(np.argmax(squared >= least * least)), squared.shape)
    return int(i), int(j), int(k)


def squared_distance_to(
    index: tuple[int, int, int], shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Squared distance in mm² of every voxel of the crop to one of its voxels."""
    i, j, k = (
        ((np.arange(n) - c) * s) ** 2 for n, c, s in zip(shape, index, spacing_mm, strict=True)
    )
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


def _envelope(
    line: NDArray[np.float64], n: int, s: float, site: NDArray[np.int64], start: NDArray[np.float64]
) -> None:
    """Lower envelope of the parabolas value + (distance)², in place on line[1..n].

    line[0] and line[n + 1] are 0.
    """
    last = 0
    site[0] = 0
    start[0] = -np.inf
    for q in range(1, n + 2):
        while True:
            p = site[last]
            meet = ((line[q] - line[p]) / (s * s) + q * q - p * p) / (2 * (q - p))
            if meet > start[last] or last == 0:
                break
            last -= 1
        last += 1
        site[last] = q
        start[last] = meet
    start[last + 1] = np.inf
    # a site may lie behind the voxel that is written
    values = line[: n + 2].copy()
    last = 0
    for q in range(1, n + 1):
        while start[last + 1] < q:
            last += 1
        step = (q - site[last]) * s
        line[q] = values[site[last]] + step * step


def _across(values: NDArray[np.float64], s: float) -> None:
    """The pass along the first axis, in place.

    A voxel outside the mask has the value 0, so each run between two such voxels is independent.
    """
    n, width = values.shape
    line = np.zeros(n + 2)
    site = np.zeros(n + 2, dtype=np.int64)
    start = np.zeros(n + 3)
    for b in range(width):
        a = 0
        while a < n:
            if values[a, b] == 0.0:
                a += 1
                continue
            length = 0
            while a + length < n and values[a + length, b] > 0.0:
                length += 1
                line[length] = values[a + length - 1, b]
            line[length + 1] = 0.0
            _line_envelope(line, length, s, site, start)
            for q in range(length):
                values[a + q, b] = line[q + 1]
            a += length


_line_envelope: Any = njit(cache=True, nogil=True)(_envelope)


def _squared_depth(
    inside: NDArray[np.bool_], si: float, sj: float, sk: float
) -> NDArray[np.float64]:
    squared: NDArray[np.float64] = _rows(inside, sk)
    for i in range(inside.shape[0]):
        _columns(squared[i], sj)
    for j in range(inside.shape[1]):
        _columns(squared[:, j], si)
    return squared


_rows: Any = njit(cache=True, nogil=True)(_along_rows)
_columns: Any = njit(cache=True, nogil=True)(_across)
_transform: Any = njit(cache=True, nogil=True)(_squared_depth)
