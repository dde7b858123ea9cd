"""Volumes in the form that the kernels need.

The three axes are in the order of memory, voxels have 8 or 16 bits, and a table maps labels to
targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.metrics.kernels.sheared_grid import sheared_surfel_areas, voxel_size
from evaluator.metrics.kernels.surface_area import surfel_areas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LONGEST_AXIS = 2**21 - 2
"""The position of a corner is three numbers of 21 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoxelGrid:
    """The grid of a pair of masks, its axes in the order of memory: the last one is the fastest."""

    shape: tuple[int, ...]
    #: whether the axes of the volumes are reversed, because memory has that order (nibabel's)
    reversed_axes: bool
    #: millimetres along the three axes in the order of memory; 1 for the missing axis of an image
    spacing: NDArray[np.float64]
    #: surface in a neighbourhood of each code, (256,) or (16,)
    areas: NDArray[np.float64]
    voxel_ml: float
    #: (3, 3), columns in millimetres of the axes in the order of memory, if they are not at right
    #: angles
    sheared_axes: NDArray[np.float64] | None = None

    @property
    def flat(self) -> bool:
        """Whether the volume has two axes; its surface is then its contour."""
        return len(self.shape) == 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelGrid:
    """A label map on a voxel grid."""

    #: (planes, rows, columns) uint8 or uint16, C-ordered, read-only
    voxels: NDArray[Any]
    #: index of the target, from 1, of every value that a voxel can have; 0 is no target
    table: NDArray[np.int32]
    targets: int


def make_voxel_grid(
    volume: NDArray[Any],
    spacing: Sequence[float],
    sheared_axes: NDArray[np.float64] | None = None,
) -> VoxelGrid:
    """The voxel grid of a volume.

    Args:
        volume: two or three axes.
        spacing: millimetres along each axis.
        sheared_axes: (3, axes), a column in millimetres for each axis, if they are not at right
            angles.

    Raises:
        ValueError: the number of axes or a spacing is not valid, or an axis is too long.
    """
    if volume.ndim not in (2, 3) or len(spacing) != volume.ndim:
        raise ValueError(
            f"need two or three axes and a spacing for each: "
            f"shape {volume.shape}, spacing {tuple(spacing)}"
        )
    if not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"the spacing must be positive and finite: {tuple(spacing)}")
    if max(volume.shape) > LONGEST_AXIS:
        raise ValueError(f"an axis of {max(volume.shape)} voxels is too long to score")
    reversed_axes = bool(volume.flags.f_contiguous and not volume.flags.c_contiguous)
    steps = [float(step) for step in (reversed(spacing) if reversed_axes else spacing)]
    if sheared_axes is not None:
        return _sheared_grid(volume.shape, steps, sheared_axes, reversed_axes=reversed_axes)
    return VoxelGrid(
        shape=volume.shape,
        reversed_axes=reversed_axes,
        spacing=np.array([1.0] * (3 - len(steps)) + steps),
        areas=_areas(tuple(steps)),
        voxel_ml=prod(sorted(steps)) / 1000,
    )


def _sheared_grid(
    shape: tuple[int, ...],
    steps: list[float],
    sheared_axes: NDArray[np.float64],
    *,
    reversed_axes: bool,
) -> VoxelGrid:
    axes = np.asarray(sheared_axes, dtype=np.float64)
    if axes.shape != (3, len(shape)):
        raise ValueError(f"need three millimetres for each axis: {axes.tolist()}")
    axes = axes[:, ::-1] if reversed_axes else axes
    missing = np.zeros((3, 3 - len(shape)))
    return VoxelGrid(
        shape=shape,
        reversed_axes=reversed_axes,
        spacing=np.array([1.0] * (3 - len(steps)) + steps),
        areas=sheared_surfel_areas(axes),
        voxel_ml=voxel_size(axes) / 1000,
        sheared_axes=np.hstack([missing, axes]),
    )


@lru_cache(maxsize=64)
def _areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Cached, because all targets of an image have the same areas."""
    areas = surfel_areas(spacing)
    areas.flags.writeable = False
    return areas


def to_label_grid(
    volume: NDArray[Any], voxel_grid: VoxelGrid, targets: Sequence[tuple[int, ...]]
) -> LabelGrid:
    """Bring a label map into the memory order of the grid and give its targets numbers.

    A volume of 8 or 16 bits that has the grid's memory order is not copied.

    Args:
        volume: label map, any integers.
        voxel_grid: its grid.
        targets: the labels of each target; no label occurs twice.

    Raises:
        ValueError: the volume has another shape than the grid, or there are too many targets.
        TypeError: labels are not integers.
    """
    if volume.shape != voxel_grid.shape:
        raise ValueError(f"shapes differ: {voxel_grid.shape} and {volume.shape}")
    require_integers(volume)
    index: dict[int, int] = {}
    for number, labels in enumerate(targets, 1):
        index |= dict.fromkeys(labels, number)
    voxels = np.ascontiguousarray(volume.T if voxel_grid.reversed_axes else volume)
    voxels = voxels.reshape((1,) * (3 - voxels.ndim) + voxels.shape)
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    if voxels.dtype.itemsize <= 2:
        table = _table(voxels.dtype, index)
        voxels = voxels.view(table_type(voxels.dtype))
    else:
        voxels = _recoded(voxels, index)
        table = np.arange(2**16, dtype=np.int32)
        table[len(targets) + 1 :] = 0
    voxels = voxels.view()
    voxels.flags.writeable = False
    return LabelGrid(voxels=voxels, table=table, targets=len(targets))


def require_integers(volume: NDArray[Any]) -> None:
    """Raise TypeError for a label map of other numbers than integers and booleans."""
    if volume.dtype.kind not in "biu":
        raise TypeError(f"labels must be integers, not {volume.dtype}")


def table_type(dtype: np.dtype[Any]) -> type[np.uint8 | np.uint16]:
    """The unsigned type of the same size."""
    return np.uint8 if dtype.itemsize == 1 else np.uint16


def _table(dtype: np.dtype[Any], index: Mapping[int, int]) -> NDArray[np.int32]:
    values = 2 ** (8 * dtype.itemsize)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    table = np.zeros(values, dtype=np.int32)
    for label, number in index.items():
        if limits[0] <= label <= limits[1]:
            table[label % values] = number
    return table


def _recoded(voxels: NDArray[Any], index: Mapping[int, int]) -> NDArray[np.uint16]:
    if len(set(index.values())) >= 2**16:
        raise ValueError("more than 65535 targets in one label map")
    limits = np.iinfo(voxels.dtype)
    labels = sorted(label for label in index if limits.min <= label <= limits.max)
    out = np.zeros(voxels.shape, dtype=np.uint16)
    flat = voxels.reshape(-1).view()
    flat.flags.writeable = False
    _recode(
        flat,
        np.array(labels, dtype=voxels.dtype),
        np.array([index[label] for label in labels], dtype=np.uint16),
        out.reshape(-1),
    )
    return out


@njit(cache=True, nogil=True)
def _recode(voxels: Any, labels: Any, numbers: Any, out: Any) -> None:
    if voxels.size == 0 or labels.size == 0:
        return
    value = voxels[0]
    at = np.searchsorted(labels, value)
    number = numbers[at] if at < labels.size and labels[at] == value else np.uint16(0)
    for i in range(voxels.size):
        if voxels[i] != value:
            value = voxels[i]
            at = np.searchsorted(labels, value)
            number = numbers[at] if at < labels.size and labels[at] == value else np.uint16(0)
        out[i] = number
