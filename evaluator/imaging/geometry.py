"""Voxel grids in the world: indices as nibabel shows them, millimetres in RAS+.

An affine maps the index (i, j, k) of a voxel's centre to world millimetres; +x is Right, +y
Anterior, +z Superior.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from zoo_sdk.wire import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zoo_sdk.wire import Index

#: files of one grid may differ by this much: affines are stored in 32 bits, or as a quaternion
TOLERANCE_MM = 1e-3

GRID_TOLERANCE_VOXELS = 0.25
GRID_TOLERANCE_MM = 0.25
"""Two files lie on one grid if no voxel is displaced by more than a quarter of a voxel's shortest
side, and by no more than 0.25 mm.

Writers round positions to a few decimals, so an image and its mask can differ by micrometres. Up to
half a voxel, the nearest voxel of the other grid has the same index. A quarter leaves a margin. A
larger distance in millimetres has another cause than rounding.
"""


LEAST_SHEAR = 1e-4
"""Cosine of the angle of two axes above which a grid is treated as sheared.

Below, distances and volumes differ by less than the rounding of direction cosines to four digits.
"""


def make_grid(shape: Sequence[int], affine: Any) -> Grid:
    """Make a grid after checking that shape and affine describe one.

    Args:
        shape: three voxel counts, each at least 1.
        affine: (4, 4), finite, not singular, with last row 0 0 0 1.

    Raises:
        VolumeError: shape or affine do not describe a grid.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if len(shape) != 3 or min(shape) < 1:
        raise VolumeError(
            f"a volume has three dimensions, each at least 1; this one has {tuple(shape)}"
        )
    if (
        matrix.shape != (4, 4)
        or not np.isfinite(matrix).all()
        or not np.allclose(matrix[3], (0, 0, 0, 1))
    ):
        raise VolumeError(
            f"the affine must be a finite 4 x 4 matrix with last row 0 0 0 1: {matrix.tolist()}"
        )
    columns = np.linalg.norm(matrix[:3, :3], axis=0)
    if min(columns) == 0 or abs(np.linalg.det(matrix[:3, :3] / columns)) < 1e-3:
        raise VolumeError(f"the affine is singular, its voxels have no volume: {matrix.tolist()}")
    i, j, k = (int(n) for n in shape)
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)
    return Grid(shape=(i, j, k), affine=rows)


def affine_of(grid: Grid) -> NDArray[np.float64]:
    """The grid's affine, (4, 4)."""
    return np.array(grid.affine, dtype=np.float64)


def spacing(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Distance between the centres of neighbouring voxels along each index axis, millimetres."""
    i, j, k = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return (i, j, k)


def voxel_ml(affine: NDArray[np.float64]) -> float:
    """Volume of a voxel in millilitres, shear included."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000


def to_world(affine: NDArray[np.float64], index: NDArray[Any]) -> NDArray[np.float64]:
    """World millimetres of indices, (..., 3) to (..., 3); indices may have fractions."""
    mm: NDArray[np.float64] = np.asarray(index, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]
    return mm


def to_index(affine: NDArray[np.float64], mm: NDArray[Any]) -> NDArray[np.float64]:
    """Indices, with fractions, of world positions in millimetres, (..., 3) to (..., 3)."""
    from_origin = np.asarray(mm, dtype=np.float64) - affine[:3, 3]
    index: NDArray[np.float64] = from_origin @ np.linalg.inv(affine[:3, :3]).T
    return index


def nearest_index(grid: Grid, mm: Sequence[float]) -> Index | None:
    """The voxel that holds a world position in millimetres; None if it is outside the grid."""
    # rounded up at a half, always: np.round would go to the even neighbour
    index = np.floor(to_index(affine_of(grid), np.array(mm)) + 0.5 + 1e-9).astype(np.int64)
    if (index < 0).any() or (index >= grid.shape).any():
        return None
    i, j, k = (int(n) for n in index)
    return (i, j, k)


def corners_mm(grid: Grid) -> NDArray[np.float64]:
    """World positions of the centres of the grid's eight corner voxels, (8, 3) millimetres."""
    ends = [(0, n - 1) for n in grid.shape]
    return to_world(affine_of(grid), np.array(list(product(*ends))))


def displacement_mm(a: Grid, b: Grid) -> float:
    """The largest distance between equal indices of two grids of one shape, millimetres.

    The largest distance is always at a corner.
    """
    return float(np.linalg.norm(corners_mm(a) - corners_mm(b), axis=1).max())


def difference(a: Grid, b: Grid, tolerance_mm: float | None = None) -> str | None:
    """In what two grids differ, as a message that describes both.

    Args:
        a: a grid.
        b: another grid.
        tolerance_mm: None: ``grid_tolerance_mm``.

    Returns:
        None if every voxel lies at the same position to ``tolerance_mm``.
    """
    if a.shape != b.shape:
        return f"{describe(a)} against {describe(b)}: the shapes differ"
    distance = displacement_mm(a, b)
    limit = grid_tolerance_mm(a, b) if tolerance_mm is None else tolerance_mm
    if distance > limit:
        return f"{describe(a)} against {describe(b)}: voxels lie up to {distance:.4g} mm apart"
    return None


def grid_tolerance_mm(a: Grid, b: Grid) -> float:
    """The displacement up to which two grids of one shape count as one grid, millimetres."""
    shortest = min(*spacing(affine_of(a)), *spacing(affine_of(b)))
    return max(TOLERANCE_MM, min(GRID_TOLERANCE_MM, GRID_TOLERANCE_VOXELS * shortest))


def displacement_note(a: Grid, b: Grid) -> str | None:
    """What a user should know about two grids that count as one grid.

    Returns:
        None if they differ by no more than the rounding of headers, or if they are not one grid
        (``difference`` says why).
    """
    if a.shape != b.shape:
        return None
    distance = displacement_mm(a, b)
    if not TOLERANCE_MM < distance <= grid_tolerance_mm(a, b):
        return None
    return (
        f"voxels lie up to {distance:.3g} mm apart, less than a quarter of a voxel; "
        "voxels of equal index are compared"
    )


def plane_axes(grid: Grid) -> tuple[int, ...]:
    """The axes of a grid without one that is one voxel thick.

    A volume that is one voxel thick is a plane. If several axes have one voxel, the last is
    removed.
    """
    thin = [axis for axis, count in enumerate(grid.shape) if count == 1]
    return tuple(axis for axis in range(3) if not thin or axis != thin[-1])


def sheared_axes(
    affine: NDArray[np.float64], axes: Sequence[int] = (0, 1, 2)
) -> NDArray[np.float64] | None:
    """The millimetres of a step along each of these index axes, if they are not at right angles.

    Args:
        affine: (4, 4).
        axes: index axes of the grid.

    Returns:
        (3, len(axes)); None if the angles differ from 90 degrees by less than ``LEAST_SHEAR``.
    """
    steps = affine[:3, list(axes)]
    directions = steps / np.linalg.norm(steps, axis=0)
    cosines = directions.T @ directions - np.eye(len(axes))
    return np.array(steps) if np.abs(cosines).max() > LEAST_SHEAR else None


def shear_degrees(affine: NDArray[np.float64]) -> float:
    """By how much the angle of two index axes differs from 90 degrees, at most, in degrees.

    It is not 0 for a scan with a tilted gantry that was not resampled.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = directions.T @ directions - np.eye(3)
    return float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))


def describe(grid: Grid) -> str:
    """A grid in one line: voxels, spacing, orientation, and the world position of voxel 0."""
    affine = affine_of(grid)
    step = " x ".join(f"{value:.4g}" for value in spacing(affine))
    first = ", ".join(f"{value:.4g}" for value in affine[:3, 3])
    shape = " x ".join(map(str, grid.shape))
    return f"{shape} voxels of {step} mm, {orientation(affine)}, from ({first})"


def orientation(affine: NDArray[np.float64]) -> str:
    """The world directions nearest to the index axes, for example "RAS" or "LPI"."""
    letters = ("LR", "PA", "IS")
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # no two index axes get the same world axis, and the clearest is chosen first
    strength, codes = np.abs(cosines), [""] * 3
    for _ in range(3):
        world, index = np.unravel_index(int(np.argmax(strength)), (3, 3))
        codes[index] = letters[world][int(cosines[world, index] > 0)]
        strength[world], strength[:, index] = -1, -1
    return "".join(codes)
