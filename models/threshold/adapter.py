"""Clinical thresholds inside the prompt: 41 % of the SUV maximum or SUV 4 on PET, windows else.

PET: voxels of at least 41 % of the highest SUV inside the prompt (Boellaard et al., EANM guidelines
2.0, 2015), or of at least SUV 4 where that is lower (Barrington et al., 2021). CT: the organ's
window in HU (``WINDOWS``); a target that has none is unsupported. MR, which has no unit: from 60 %
to 160 % of the median about the points (inside the middle of the box, if there is none).
"""

import re
from typing import Any, Tuple

import numpy as np
from scipy import ndimage

from zoo_sdk import Adapter as Base
from zoo_sdk import Crop, Prediction, Request, Target, Unsupported, each_target, read_image
from zoo_transforms.prompt_geometry import balls, corner_of, prompt_window

#: organ -> HU from, to; portal-venous enhancement and none both lie inside
WINDOWS = {
    "liver": (20, 180), "spleen": (20, 200), "kidney-left": (10, 250), "kidney-right": (10, 250),
    "brain": (0, 80), "heart": (0, 300), "aorta": (20, 450), "lung": (-1000, -400),
    "colon": (-150, 150), "bladder": (-20, 60), "pancreas": (-10, 160), "esophagus": (-10, 120),
    "stomach": (-150, 150), "lesion": (-20, 200), "tumor": (-20, 200), "tumour": (-20, 200),
}  # fmt: skip
SIDES = ("left", "right")
FRACTION_OF_MAXIMUM = 0.41
FIXED_SUV = 4.0
MR_BAND = (0.6, 1.6)
#: with points only, the organ is searched this far about them, millimetres
RADIUS_MM = 80.0
#: the neighbourhood of a point whose values are used, millimetres
NEAR_MM = 5.0


class Adapter(Base):
    """Needs no weights."""

    def predict(self, request: Request) -> Prediction:
        """Threshold each target inside its prompt and keep the parts that its points touch."""
        modality = next(iter(request.images))
        image = read_image(request, modality)
        used = {}

        def segment(target: Target) -> Any:
            if target.box is None and not any(point.foreground for point in target.points):
                return Unsupported("needs a box or a foreground point")
            if modality == "CT" and organ_of(target.name) is None:
                return Unsupported("no window in HU is known for the name %r" % target.name)
            window = prompt_window(request.grid, target, RADIUS_MM, 0.0)
            values = image.array[window]
            near = _near(request, target, window)
            low, high = _band(modality, target.name, values, near)
            used[target.name] = [round(float(low), 3), round(float(high), 3)]
            inside = (values >= low) & (values <= high)
            return Crop(_keep(inside, near if target.points else None), corner_of(window))

        masks = each_target(request, segment)
        return Prediction(masks, notes={"bands": used, "unit": image.unit})


def organ_of(name: str) -> Any:
    """The row of ``WINDOWS`` for a target; None if there is none.

    Names are known in any case, with spaces, underscores or dashes. A side has the window of the
    organ: ``Lung-Left`` that of the lung.
    """
    words = re.split(r"[\s_-]+", name.strip().lower())
    organ = [word for word in words if word not in SIDES]
    for parts in (words, organ, *([*organ, side] for side in SIDES)):
        if "-".join(parts) in WINDOWS:
            return "-".join(parts)
    return None


def _near(request: Request, target: Target, window: Any) -> Any:
    """The sampled voxels: about the foreground points, else the middle half of the box."""
    points = [point.index for point in target.points if point.foreground]
    if points:
        return balls(request.grid.affine, window, points, NEAR_MM)
    near = np.zeros(tuple(s.stop - s.start for s in window), dtype=bool)
    near[tuple(slice(n // 4, max(n - n // 4, n // 4 + 1)) for n in near.shape)] = True
    return near


def _band(modality: str, name: str, values: Any, near: Any) -> Tuple[float, float]:
    if modality == "PT":
        highest = float(values[near].max())
        return min(FRACTION_OF_MAXIMUM * highest, FIXED_SUV), np.inf
    if modality == "CT":
        return WINDOWS[organ_of(name) or name]
    middle = float(np.median(values[near]))
    return MR_BAND[0] * middle, MR_BAND[1] * middle


def _keep(inside: Any, seeds: Any) -> Any:
    """The connected parts that the seeds touch; without seeds the largest part."""
    parts, count = ndimage.label(inside)
    if not count:
        return inside
    if seeds is None:
        return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    touched = np.unique(parts[seeds & inside])
    return np.isin(parts, touched[touched > 0])
