"""TEMPORARY: the plain way over crops and scipy's distance transform; becomes the tests' oracle."""

from __future__ import annotations

from math import fsum, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from evaluator.metrics.areas import surfel_areas
from evaluator.metrics.measures import Measures, Surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def measure_simply(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float], tolerance_mm: float
) -> Measures:
    """Measure one pair of masks (nonzero is inside), of any number of dimensions that ``spacing`` has."""
    masks = [np.asarray(reference) != 0, np.asarray(prediction) != 0]
    either = masks[0] | masks[1]
    voxels = [int(mask.sum()) for mask in masks]
    common = {
        "reference_voxels": voxels[0],
        "prediction_voxels": voxels[1],
        "shared_voxels": int((masks[0] & masks[1]).sum()),
        "voxel_ml": prod(spacing) / 1000,
        "tolerance_mm": tolerance_mm,
    }
    if not either.any():
        return Measures(**common)
    box = ndimage.find_objects(either.astype(np.uint8))[0]
    areas = surfel_areas(spacing)
    codes = [_codes(mask[box]) for mask in masks]
    borders = [(code > 0) & (code < areas.size - 1) for code in codes]
    surfaces = []
    for own, other in ((0, 1), (1, 0)):
        weights = areas[codes[own][borders[own]]]
        if not weights.size or not voxels[other]:
            surfaces.append(Surface(area=fsum(weights), corners=weights.size))
            continue
        distances = ndimage.distance_transform_edt(~borders[other], sampling=spacing)[borders[own]]
        order = np.lexsort((weights, distances))
        within = np.cumsum(weights[order]) / np.sum(weights)
        at = min(int(np.searchsorted(within, 0.95)), order.size - 1)
        surfaces.append(
            Surface(
                area=fsum(weights),
                area_within=fsum(weights[distances <= tolerance_mm]),
                moment=fsum(weights * distances),
                farthest=float(distances.max()),
                percentile_95=float(distances[order][at]),
                corners=weights.size,
            )
        )
    return Measures(**common, reference=surfaces[0], prediction=surfaces[1])


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    padded = np.pad(mask, 1).astype(np.int64)
    kernel = 2 ** np.arange(2**mask.ndim)[::-1].reshape((2,) * mask.ndim)
    codes = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.int64)
    for at in np.ndindex(kernel.shape):
        codes += kernel[at] * padded[tuple(slice(i, i + n) for i, n in zip(at, codes.shape, strict=True))]
    return codes
