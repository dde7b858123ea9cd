"""The phantom's grids: one field of view in the world, cut into voxels that differ between subjects and modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import make_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

#: edges of the field of view along Right, Anterior, Superior, and its middle, mm
FIELD_MM = (480.0, 360.0, 1000.0)
MIDDLE_MM = (0.0, 0.0, 30.0)
#: voxels of PET along each axis for one of CT or MR
PET_COARSENESS = 0.6
#: every fourth subject lies straight, the others' structural images are flipped, turned, or both
ORIENTATIONS = ("RAS", "RAS", "LPS", "PIR")
TURNS_DEGREES = ((0.0, 0.0), (7.0, 4.0), (0.0, 0.0), (-5.0, 3.0))


def grids_of(size: Sequence[int], structural: Modality, number: int) -> dict[Modality, Grid]:
    """The grids of subject ``number``: its structural image's, ``size`` voxels along R, A, S, and PET's coarser one."""
    how = number % len(ORIENTATIONS)
    fine = _grid(size, ORIENTATIONS[how], TURNS_DEGREES[how])
    coarse = _grid(
        [max(8, round(n * PET_COARSENESS)) for n in size], "LPS" if how == 1 else "RAS", (0.0, 0.0)
    )
    return {structural: fine, "PT": coarse}


def _grid(size: Sequence[int], orientation: str, turns: tuple[float, float]) -> Grid:
    step = np.array(FIELD_MM) / size
    turned = _about(0, turns[0]) @ _about(2, turns[1])
    columns, shape = [], []
    for letter in orientation:
        axis = next(n for n, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        sign = 1 if letter in "RAS" else -1
        columns.append(turned[:, axis] * sign * step[axis])
        shape.append(int(size[axis]))
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = MIDDLE_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return make_grid(shape, affine.astype(np.float32))  # as the file will hold it


def _about(axis: int, degrees: float) -> NDArray[np.float64]:
    a, b = (n for n in range(3) if n != axis)
    R = np.eye(3)
    R[a, a] = R[b, b] = np.cos(np.radians(degrees))
    R[b, a] = np.sin(np.radians(degrees))
    R[a, b] = -R[b, a]
    return R
