"""PET uptake of a region: metabolic volume, SUVmean, SUVmax, SUVpeak, total lesion glycolysis.

SUVpeak is the highest mean over a sphere of 1 ml about a voxel of the region. All voxels of the
image count whose centres lie within the sphere's radius, those outside the region too (PERCIST:
Wahl et al., J Nucl Med 2009;50 Suppl 1:122S; in voxels as the Image Biomarker Standardisation
Initiative's global intensity peak, arXiv 1612.07003).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.metrics.kernels.sheared_grid import index_reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid

PEAK_MM = (3 * 1000 / (4 * pi)) ** (1 / 3)
"""Radius of a sphere of 1 ml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One mask's uptake.

    ``mean``, ``max`` and ``peak`` are in SUV; they are zero where the mask is empty, and then have
    no
    meaning.
    """

    ml: float
    mean: float
    max: float
    peak: float

    @property
    def glycolysis(self) -> float:
        """Total lesion glycolysis, SUV times ml."""
        return self.mean * self.ml


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptake:
    """The uptake in a target's reference and prediction."""

    reference: Region
    prediction: Region


def region_uptake(
    image: NDArray[np.float32],
    label_grid: LabelGrid,
    target: int,
    box: NDArray[np.int64],
    voxel_grid: VoxelGrid,
) -> Region:
    """The uptake in one target of a label map.

    Args:
        image: SUV, in the memory order of the label map.
        label_grid: label map.
        target: the target's number.
        box: first and last + 1 voxel, (2, 3), of a box that holds the target.
        voxel_grid: the grid of the label map.
    """
    steps = _sphere(voxel_grid)
    count, total, highest, peak = _measure(
        image, label_grid.voxels, label_grid.table, target, box, steps
    )
    return Region(
        ml=count * voxel_grid.voxel_ml, mean=total / count if count else 0.0, max=highest, peak=peak
    )


def _sphere(voxel_grid: VoxelGrid) -> NDArray[np.int64]:
    """Steps from a voxel to those whose centres lie within the sphere, (n, 3); in 2-D the disc."""
    axes = voxel_grid.sheared_axes
    if axes is None:
        reach = [
            0 if voxel_grid.flat and axis == 0 else int(PEAK_MM / step)
            for axis, step in enumerate(voxel_grid.spacing)
        ]
    else:
        reach = index_reach(axes, PEAK_MM)
    steps = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    in_mm = steps * voxel_grid.spacing if axes is None else steps @ axes.T
    within = np.linalg.norm(in_mm, axis=1) <= PEAK_MM
    return np.ascontiguousarray(steps[within])


@njit(cache=True, nogil=True)
def _measure(
    image: Any, voxels: Any, table: Any, target: int, box: Any, steps: Any
) -> tuple[int, float, float, float]:
    count, total, lost = 0, 0.0, 0.0
    highest, peak = -np.inf, -np.inf
    for z in range(box[0, 0], box[1, 0]):
        for y in range(box[0, 1], box[1, 1]):
            for x in range(box[0, 2], box[1, 2]):
                if table[voxels[z, y, x]] != target:
                    continue
                value = np.float64(image[z, y, x])
                count += 1
                new = total + value
                lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
                total = new
                highest = max(highest, value)
                peak = max(peak, _sphere_mean(image, z, y, x, steps))
    return (count, total + lost, highest, peak) if count else (0, 0.0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _sphere_mean(image: Any, z: int, y: int, x: int, steps: Any) -> float:
    depth, height, width = image.shape
    total, inside = 0.0, 0
    for k in range(steps.shape[0]):
        a, b, c = z + steps[k, 0], y + steps[k, 1], x + steps[k, 2]
        if 0 <= a < depth and 0 <= b < height and 0 <= c < width:
            total += image[a, b, c]
            inside += 1
    return total / inside
