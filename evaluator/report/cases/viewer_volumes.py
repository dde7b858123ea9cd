"""Volumes for the viewer as script files.

A page that is opened from a file share can load scripts, but no other files.

An image becomes a NIfTI file with only geometry and 12 or 16 bit voxels; a mask becomes its crop.
Images that are too large for a browser are halved along their finest axes, with their masks, and
the page says so.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip

from evaluator.imaging.geometry import affine_of, make_grid, spacing
from evaluator.imaging.grid_masks import crop_mask
from zoo_sdk import nifti

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

    Array = NDArray[Any]

#: an image of more voxels is halved until it has no more
MOST_VOXELS = 12_000_000
#: steps that a PET's or MR's range is told in
STEPS = 4095
LEVEL = 2
_SLOPE_AT = 112  # scl_slope and scl_inter in a NIfTI-1 header


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """How a grid was halved: by which factor along each axis, and what grid that makes."""

    factor: tuple[int, int, int]
    grid: Grid

    @property
    def is_full_size(self) -> bool:
        """Nothing was halved."""
        return self.factor == (1, 1, 1)


def reduced(grid: Grid, most: int = MOST_VOXELS) -> Reduced:
    """Return the grid of the viewer: halved along the finest axis until it is small enough."""
    affine, shape = affine_of(grid), list(grid.shape)
    factor = [1, 1, 1]
    while shape[0] * shape[1] * shape[2] > most:
        step = [length * f for length, f in zip(spacing(affine), factor, strict=True)]
        axis = min((n for n in range(3) if shape[n] > 1), key=lambda n: step[n])
        factor[axis] *= 2
        shape[axis] = -(-grid.shape[axis] // factor[axis])
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ ((np.array(factor) - 1) / 2) + affine[:3, 3]
    moved[:3, :3] = affine[:3, :3] * factor
    return Reduced(factor=(factor[0], factor[1], factor[2]), grid=make_grid(shape, moved))


def shrink(array: Array, to: Reduced) -> NDArray[np.float32]:
    """Average the blocks that become one voxel; blocks at the end of the volume may be smaller."""
    values: NDArray[Any] = array.astype(np.float32, copy=False)
    for axis, factor in enumerate(to.factor):
        if factor == 1:
            continue
        starts = np.arange(0, values.shape[axis], factor)
        counts = np.minimum(starts + factor, values.shape[axis]) - starts
        shape = [1, 1, 1]
        shape[axis] = -1
        values = np.add.reduceat(values, starts, axis=axis) / counts.reshape(shape).astype(
            np.float32
        )
    return values


def image_script(key: str, image: NDArray[np.float32], to: Reduced, modality: Modality) -> str:
    """The script that hands the image to the page under ``key``."""
    values = np.nan_to_num(shrink(image, to), posinf=0.0, neginf=0.0)
    if modality == "CT":
        stored, slope, low = np.clip(np.rint(values), -1024, 32767).astype(np.int16), 1.0, 0.0
    else:
        low, high = float(values.min()), float(values.max())
        slope = (high - low) / STEPS or 1.0
        stored = np.rint((values - low) / slope).astype(np.int16)
    head = bytearray(nifti.header(to.grid.shape, to.grid.affine, "h"))
    struct.pack_into("<2f", head, _SLOPE_AT, slope, low)
    return _script(key, _packed(bytes(head) + stored.astype("<i2").tobytes(order="F")))


def masks_script(key: str, masks: Mapping[str, GridMask], to: Reduced) -> str:
    """Return the script with the crop of each mask: 0 and 1 as bytes, first index fastest."""
    return _script(key, {name: _crop(mask, to) for name, mask in masks.items()})


def mask_header(to: Reduced) -> str:
    """The header of a mask on the viewer's grid, for the page to put voxels behind; base64."""
    return base64.b64encode(nifti.header(to.grid.shape, to.grid.affine, "B")).decode()


def _crop(mask: GridMask, to: Reduced) -> dict[str, Any]:
    if not to.is_full_size:
        mask = crop_mask(shrink(mask.crop((0, 0, 0), mask.grid.shape), to) >= 0.5, to.grid)
    inside = mask.array.astype(np.uint8)
    return {
        "low": list(mask.offset),
        "shape": list(inside.shape),
        "data": _packed(inside.tobytes(order="F")),
    }


def _packed(raw: bytes) -> str:
    return base64.b64encode(igzip.compress(raw, LEVEL, mtime=0)).decode()


def _script(key: str, body: Any) -> str:
    return f"umd.take({json.dumps(key)}, {json.dumps(body)});\n"
