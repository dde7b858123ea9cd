"""What is measured beyond voxels and surfaces, for the targets that ask for it: lesions, uptake, centre lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.skeleton import measure_centre_lines
from evaluator.metrics.kernels.surface_distance import bounds
from evaluator.metrics.lesions import count_lesions
from evaluator.metrics.uptake import Uptake, region_uptake

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import Labelled, Lattice
    from evaluator.metrics.measurements import Measures, Part
    from evaluator.metrics.pair_measurement import TargetPair


def add_parts(
    measures: Measures,
    parts: Collection[Part],
    pair: TargetPair,
    lattice: Lattice,
    image: NDArray[Any] | None,
) -> Measures:
    """The measures of one target with these parts."""
    target, maps, box = pair.target, pair.maps, _box(pair, lattice)
    more: dict[str, Any] = {}
    if "lesions" in parts:
        more["lesions"] = count_lesions(*maps, target, box, lattice.voxel_ml)
    if "centre_lines" in parts:
        more["centre_lines"] = measure_centre_lines(
            *(_mask(labelled, target, box, lattice) for labelled in maps)
        )
    if "uptake" in parts:
        if image is None:
            raise ValueError("uptake is measured in an image, and none is given")
        lying = lay_image(image, lattice)
        regions = [region_uptake(lying, labelled, target, box, lattice) for labelled in maps]
        more["uptake"] = Uptake(reference=regions[0], prediction=regions[1])
    return replace(measures, **more)


def lay_image(image: NDArray[Any], lattice: Lattice) -> NDArray[Any]:
    """An image laid over the lattice as label maps are; raises ValueError for another shape."""
    if image.shape != lattice.shape:
        raise ValueError(f"shapes differ: {lattice.shape} and an image of {image.shape}")
    lying = image.T if lattice.turned else image
    return lying.reshape((1,) * (3 - lying.ndim) + lying.shape)


def _box(pair: TargetPair, lattice: Lattice) -> NDArray[np.int64]:
    """First and last + 1 voxel of what a target has in both maps, (2, 3): its outermost surface corners."""
    if any(content.crowded for content in pair.contents):
        return np.array([(0, 0, 0), pair.maps[0].voxels.shape])
    box = np.array([[2**62] * 3, [-1] * 3])
    for content in pair.contents:
        bounds(content.corners(pair.target)[0], box)
    if box[1, 0] < 0:
        return np.zeros((2, 3), dtype=np.int64)
    box[1, 0] += lattice.flat  # an image's corners lie in one plane
    return box


def _mask(
    labelled: Labelled, target: int, box: NDArray[np.int64], lattice: Lattice
) -> NDArray[np.bool_]:
    """One target's mask, its axes in the array's order: a thinned mask depends on which direction comes first."""
    region = tuple(slice(low, high) for low, high in box.T.tolist())
    inside: NDArray[np.bool_] = (labelled.table == target)[labelled.voxels[region]]
    return np.ascontiguousarray(inside.T if lattice.turned else inside)
