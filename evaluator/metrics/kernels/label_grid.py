"""Volumes as the kernels want them: three axes in the order of memory, 8 or 16 bits, and a table from label to target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evaluator.metrics.kernels.surface_area import surfel_areas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LONGEST_AXIS = 2**21 - 2
"""A corner's place is three numbers of 21 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """The grid that a pair's masks share, its axes as they lie in memory: the last one runs fastest."""

    shape: tuple[int, ...]
    #: the volumes' axes are reversed, because they lie in memory that way (nibabel's order)
    turned: bool
    #: millimetres along the three axes in memory's order; an image's missing first axis has 1
    spacing: NDArray[np.float64]
    #: surface in a neighbourhood of every code, (256,) or (16,)
    areas: NDArray[np.float64]
    voxel_ml: float

    @property
    def flat(self) -> bool:
        """An image of two axes, whose surface is its contour."""
        return len(self.shape) == 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """A label map over a lattice."""

    #: (planes, rows, columns) uint8 or uint16, C-ordered, read-only
    voxels: NDArray[Any]
    #: index of the target, from 1, of every value that a voxel can have; 0 is no target
    table: NDArray[np.int32]
    targets: int


def make_lattice(volume: NDArray[Any], spacing: Sequence[float]) -> Lattice:
    """The lattice of a volume of two or three axes and its spacing in mm; raises ValueError for anything else."""
    if volume.ndim not in (2, 3) or len(spacing) != volume.ndim:
        raise ValueError(
            f"need two or three axes, each with its spacing: shape {volume.shape}, spacing {tuple(spacing)}"
        )
    if not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"the spacing must be positive and finite: {tuple(spacing)}")
    if max(volume.shape) > LONGEST_AXIS:
        raise ValueError(f"an axis of {max(volume.shape)} voxels is too long to score")
    turned = bool(volume.flags.f_contiguous and not volume.flags.c_contiguous)
    steps = [float(step) for step in (reversed(spacing) if turned else spacing)]
    return Lattice(
        shape=volume.shape,
        turned=turned,
        spacing=np.array([1.0] * (3 - len(steps)) + steps),
        areas=_areas(tuple(steps)),
        voxel_ml=prod(sorted(steps)) / 1000,
    )


@lru_cache(maxsize=64)
def _areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """All targets of an image have the same."""
    areas = surfel_areas(spacing)
    areas.flags.writeable = False
    return areas


def lay_out(volume: NDArray[Any], lattice: Lattice, targets: Sequence[tuple[int, ...]]) -> Labelled:
    """Lay a label map over the lattice; ``targets`` have the labels of each, and no label twice.

    No copy is made of a volume of 8 or 16 bits that lies in memory as the lattice says.
    """
    if volume.shape != lattice.shape:
        raise ValueError(f"shapes differ: {lattice.shape} and {volume.shape}")
    if volume.dtype.kind not in "biu":
        raise TypeError(f"labels must be integers, not {volume.dtype}")
    index = {label: number for number, labels in enumerate(targets, 1) for label in labels}
    voxels = np.ascontiguousarray(volume.T if lattice.turned else volume)
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
    return Labelled(voxels=voxels, table=table, targets=len(targets))


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
