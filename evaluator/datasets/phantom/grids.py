"""The phantom's grids: one field of view, with voxels that differ by subject and modality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import make_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

#: edges of the field of view along Right, Anterior, Superior, and its centre, mm
FIELD_MM = (480.0, 360.0, 1000.0)
MIDDLE_MM = (0.0, 0.0, 30.0)
#: voxels of PET along each axis per voxel of CT or MR
PET_COARSENESS = 0.6
#: every fourth subject is axis-aligned; the structural images of the others are flipped, rotated,
#: or both
ORIENTATIONS = ("RAS", "RAS", "LPS", "PIR")
ROTATIONS_DEGREES = ((0.0, 0.0), (7.0, 4.0), (0.0, 0.0), (-5.0, 3.0))


def grids_of(size: Sequence[int], structural: Modality, number: int) -> dict[Modality, Grid]:
    """The grids of a subject: of its structural image, and a coarser one of PET.

    Args:
        size: voxels of the structural image along Right, Anterior, Superior.
        structural: "CT" or "MR".
        number: number of the subject, which determines orientation and rotation.
    """
    variant = number % len(ORIENTATIONS)
    fine = _grid(size, ORIENTATIONS[variant], ROTATIONS_DEGREES[variant])
    pet_size = [max(8, round(n * PET_COARSENESS)) for n in size]
    coarse = _grid(pet_size, "LPS" if variant == 1 else "RAS", (0.0, 0.0))
    return {structural: fine, "PT": coarse}


def _grid(size: Sequence[int], orientation: str, angles: tuple[float, float]) -> Grid:
    step = np.array(FIELD_MM) / size
    rotation = _rotation(0, angles[0]) @ _rotation(2, angles[1])
    columns, shape = [], []
    for letter in orientation:
        axis = next(n for n, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        sign = 1 if letter in "RAS" else -1
        columns.append(rotation[:, axis] * sign * step[axis])
        shape.append(int(size[axis]))
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = MIDDLE_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return make_grid(shape, affine.astype(np.float32))  # the precision of the file


def _rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    """The (3, 3) matrix of a rotation about one axis."""
    a, b = (n for n in range(3) if n != axis)
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(np.radians(degrees))
    matrix[b, a] = np.sin(np.radians(degrees))
    matrix[a, b] = -matrix[b, a]
    return matrix
