"""Surfaces on grids whose axes are not at right angles, as scans with a tilted gantry have them.

The surface of a neighbourhood consists of flat patches
(``evaluator.metrics.kernels.surface_area``). A linear map A of indices to millimetres changes a
patch's area vector v to det(A) A^-T v, and a piece of contour t to A t. Distances are between the
world positions of corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.metrics.kernels.surface_area import components_of_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.surface_area import Voxel

    Vector = NDArray[np.float64]


def sheared_surfel_areas(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Surface in a neighbourhood of each code, as ``surfel_areas``.

    Args:
        axes: (3, 3) or (3, 2), a column in millimetres for each axis of the array.

    Returns:
        (256,) mm^2 for three axes; (16,) mm of contour for two.
    """
    count = axes.shape[1]
    to_world = _cofactors(axes) if count == 3 else axes
    areas = []
    for components in components_of_codes(count):
        patches = [patch for component in components for patch in _patches(component, count)]
        areas.append(sum(float(np.linalg.norm(to_world @ patch)) for patch in patches))
    # the hexagon of a path of four voxels is not flat: inside and outside cut it differently, which
    # changes its area on sheared grids alone; the mean does not depend on which is which
    table: NDArray[np.float64] = (np.array(areas) + np.array(areas)[::-1]) / 2
    table.flags.writeable = False
    return table


def voxel_size(axes: NDArray[np.float64]) -> float:
    """Volume of a voxel in mm^3; of a pixel its area in mm^2."""
    return float(np.sqrt(np.linalg.det(axes.T @ axes)))


def index_reach(axes: NDArray[np.float64], radius_mm: float) -> list[int]:
    """How many steps along each axis a ball of this radius extends from a voxel's centre."""
    rows = np.linalg.norm(np.linalg.pinv(axes), axis=1)
    return [int(radius_mm * length * (1 + 1e-9)) for length in rows]


def sheared_squares(
    queries: NDArray[np.int64], others: NDArray[np.int64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance of each query corner to the nearest of the others, mm^2.

    Args:
        queries: positions of corners (``find_corners``), not empty.
        others: positions of corners, not empty.
        axes: (3, 3), columns in millimetres of plane, row and column.
    """
    from scipy.spatial import cKDTree

    from_index, to_index = _indices(queries), _indices(others)
    _, nearest = cKDTree(to_index @ axes.T).query(from_index @ axes.T)
    # equal steps give equal distances, to the last bit
    steps = (from_index - to_index[nearest]) @ axes.T
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", steps, steps)
    return squares


def _indices(positions: NDArray[np.int64]) -> NDArray[np.float64]:
    parts = [positions >> 42, (positions >> 21) & 0x1FFFFF, positions & 0x1FFFFF]
    return np.stack(parts, axis=1).astype(np.float64)


def _cofactors(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    cofactors: NDArray[np.float64] = np.abs(np.linalg.det(axes)) * np.linalg.inv(axes).T
    return cofactors


def _patches(component: Sequence[Voxel], count: int) -> list[Vector]:
    """The area vectors of one component's patches, in voxels; their signs have no meaning."""
    voxels = np.array(component)
    if count == 2:
        return [_contour(voxels)]
    # away from a voxel, along each axis
    away = 1.0 - 2.0 * voxels
    fixed = (voxels == voxels[0]).all(axis=0)
    if len(voxels) == 1:
        return [away[0] / 8]
    if len(voxels) == 2:
        return [away[0] * fixed / 2]
    normal = fixed.astype(np.float64)
    if len(voxels) == 3:
        missing = voxels.sum(axis=0) % 2  # of a square's four corners, the sum is even
        towards = np.where(fixed, away[0], 2.0 * missing - 1)
        return [normal / 2, towards * 3 / 8]
    if fixed.any():  # four in a plane
        return [normal]
    return _four_in_space(voxels, away)


def _four_in_space(voxels: NDArray[np.int64], away: NDArray[np.float64]) -> list[Vector]:
    """Four voxels that are not in a plane: one with three neighbours, or a path of three steps."""
    steps = np.abs(voxels[:, None] - voxels[None]).sum(axis=2) == 1
    neighbours = steps.sum(axis=1)
    if neighbours.max() == 3:
        return [away[int(neighbours.argmax())] * 6 / 8]
    first = int(np.flatnonzero(neighbours == 1)[0])
    path = [first]
    while len(path) < 4:
        path += [n for n in np.flatnonzero(steps[path[-1]]).tolist() if n not in path]
    end, inner, other_inner, other_end = voxels[path]
    # the three axes of the path, each towards the end that it leads to
    directions = np.array([end - inner, other_inner - inner, other_end - other_inner])
    canonical = [(0, -1, -1), (-1, 1, 0), (-1, 1, -1), (-1, -1, -1)]
    return [np.array(patch) @ directions / 4 for patch in canonical]


def _contour(pixels: NDArray[np.int64]) -> Vector:
    """The contour that cuts off one pixel, or two neighbours, of four."""
    if len(pixels) == 2:
        return np.asarray(pixels[1] - pixels[0], dtype=np.float64)
    sides = 1.0 - 2.0 * pixels[0]
    return np.array([sides[0], -sides[1]]) / 2
