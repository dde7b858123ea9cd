"""Checks of an image's values against its references: units, and references that are turned.

The limits are wider than those of any healthy or treated organ that the authors know of; they find
wrong units and wrong labels, not disease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.manifests.organs import load_organs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from evaluator.datasets.scan_summary import TargetSummary
    from evaluator.findings import Severity
    from evaluator.imaging.body_masks import Body
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Modality

    Problem = tuple[Severity, str]

#: organ -> limits of the median of CT, HU
USUAL_HU: Mapping[str, tuple[float, float]] = {
    "liver": (-50, 300), "spleen": (-50, 350), "kidney-left": (-50, 450),
    "kidney-right": (-50, 450), "brain": (-50, 250), "heart": (-50, 600), "aorta": (-50, 900),
    "lung": (-1000, -150), "pancreas": (-100, 300),
}  # fmt: skip
#: organ -> limits of the median of PET, SUV; tracers differ, so only the liver is judged
USUAL_SUV: Mapping[str, tuple[float, float]] = {"liver": (0.1, 40)}
#: limits of the mean SUV of a body. By its definition SUV is 1 on average if nothing is excreted
#: and the complete body is in the image
BODY_SUV = (0.1, 3.0)
#: a body is large enough for that from this volume on, ml
LARGE_BODY_ML = 15_000.0
#: references of so many organs say whether they are turned against the image
FEWEST_ORGANS = 4
#: a turned reference explains so much more of the variance of the values
CLEARLY_BETTER = 0.15
#: voxels of all organs together that are looked at
MOST_VOXELS = 60_000
AXIS_NAMES = ("first", "second", "third")


def check_units(
    modality: Modality, targets: Mapping[str, TargetSummary], body: Body | None
) -> Iterator[Problem]:
    """Findings about values of organs and of the body that their unit does not explain."""
    if modality == "MR":
        return
    organs = load_organs()
    limits, unit = (USUAL_HU, "HU") if modality == "CT" else (USUAL_SUV, "SUV")
    unusual = []
    for name, entry in targets.items():
        usual = limits.get(organs.find(name) or name)
        if usual is None or not entry.values:
            continue
        median = entry.values[len(entry.values) // 2]
        if not usual[0] <= median <= usual[1]:
            unusual.append(f"{name} {median:.4g} (usual: {usual[0]:g} to {usual[1]:g})")
    if unusual:
        yield "warning", f"medians of organs do not look like {unit}: {', '.join(unusual)}"
    if modality == "PT" and body is not None and body.volume_ml >= LARGE_BODY_ML:
        low, high = BODY_SUV
        if not low <= body.mean <= high:
            guess = "; kBq/ml or Bq/ml perhaps?" if body.mean > high else ""
            message = (
                f"the mean of the body ({body.volume_ml / 1000:.0f} l) is {body.mean:.3g}; "
                f"SUV is about 1 on average, {low:g} to {high:g}{guess}"
            )
            yield "warning", message


def check_turned(image: NDArray[np.float32], masks: Mapping[str, GridMask]) -> Iterator[Problem]:
    """Find references that fit the image better when they are flipped along an index axis.

    Args:
        image: (i, j, k), finite.
        masks: target -> reference on the image's grid.
    """
    filled = {name: mask for name, mask in masks.items() if not mask.empty}
    if len(filled) < FEWEST_ORGANS:
        return
    index, labels = _voxels(filled)
    as_is = explained_variance(image[tuple(index.T)], labels)
    for axis, name in enumerate(AXIS_NAMES):
        flipped = index.copy()
        flipped[:, axis] = image.shape[axis] - 1 - flipped[:, axis]
        turned = explained_variance(image[tuple(flipped.T)], labels)
        if turned > as_is + CLEARLY_BETTER:
            message = (
                f"the references fit the image better when they are flipped along the {name} axis "
                f"of the array: organs then explain {100 * turned:.0f} % of the variance of the "
                f"values, and {100 * as_is:.0f} % as they are"
            )
            yield "error", message


def explained_variance(values: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """The part of the variance of values that lies between their labels, 0 to 1.

    Args:
        values: (n,).
        labels: (n,), 0 to k - 1.
    """
    numbers = values.astype(np.float64)
    counts = np.bincount(labels)
    means = np.bincount(labels, weights=numbers) / np.maximum(counts, 1)
    total = float(((numbers - numbers.mean()) ** 2).sum())
    within = float(((numbers - means[labels]) ** 2).sum())
    return 1 - within / total if total > 0 else 0.0


def _voxels(masks: Mapping[str, GridMask]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of voxels of all organs, an equal part of each, and the number of their organ."""
    most = max(MOST_VOXELS // len(masks), 1)
    places, labels = [], []
    for number, mask in enumerate(masks.values()):
        index = np.argwhere(mask.array)
        index = index[:: max(len(index) // most, 1)] + np.array(mask.offset)
        places.append(index)
        labels.append(np.full(len(index), number))
    return np.concatenate(places), np.concatenate(labels)
