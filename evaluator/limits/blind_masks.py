"""Image-blind answers to a prompt: masks that follow from the prompt and not from the image.

| prompt | masks |
|---|---|
| box | the box, and the ellipsoid inscribed in it |
| points | a ball of typical volume about the mean of the foreground points, and the mean shape |
| text, class | the mean shape where the target typically lies in a scan of the modality |

A box is the one that the model gets: in millimetres if the model takes it so, else of whole voxels.
Typical volume, shape and position are of the dataset's other subjects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.solids import (
    ball_mask,
    box_mask,
    ellipsoid_in_box,
    solid_mask,
    voxel_mask,
)
from evaluator.prompting.error_regions import dice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.limits.typical_shapes import TypicalShape
    from evaluator.types import Modality, TargetPrompt
    from zoo_sdk.wire import Grid, Millimetres

#: why a target has no floor
NO_OTHER_SUBJECT = "no other subject of the dataset has the target"
OUTSIDE = "the typical place lies outside of the grid"


def needs_shape(prompt: TargetPrompt) -> bool:
    """Whether the image-blind answer needs the dataset's other subjects."""
    return prompt.box is None


def blind_masks(
    prompt: TargetPrompt,
    grid: Grid,
    modality: Modality,
    shape: TypicalShape | None,
    *,
    own: Grid | None = None,
) -> dict[str, GridMask]:
    """The image-blind masks for a prompt of round 0.

    Args:
        prompt: the prompt on the grid.
        grid: the grid of the scan.
        modality: of the scan.
        shape: what the dataset's other subjects tell of the target; None: nothing. A box needs
            none.
        own: the image's own grid, if ``grid`` is a common one; the typical position is relative
            to it.

    Returns:
        Rule -> mask; none if there is no shape where one is needed.
    """
    if prompt.box_mm is not None:
        middle, axes = prompt.box_mm.centre, np.array(prompt.box_mm.half_axes)
        return {
            "ellipsoid": solid_mask(grid, middle, axes, ellipsoid=True),
            "box": solid_mask(grid, middle, axes, ellipsoid=False),
        }
    if prompt.box is not None:
        return {
            "ellipsoid": ellipsoid_in_box(prompt.box, grid),
            "box": box_mask(prompt.box, grid),
        }
    if shape is None:
        return {}
    centre = _centre(prompt)
    if centre is not None:
        masks = {
            "ball": ball_mask(grid, centre, shape.volume_ml),
            "mean shape": shape.at(centre, grid),
        }
        # a shape that is smaller than a voxel is the voxel of the point
        return {
            name: voxel_mask(grid, centre) if mask.empty else mask for name, mask in masks.items()
        }
    position = shape.typical_position(modality, own or grid)
    return {} if position is None else {"mean shape": shape.at(position, grid)}


def best_answer(masks: Mapping[str, GridMask], reference: GridMask) -> str:
    """The rule of the mask with the best Dice; the first of equal ones."""
    scores = {name: dice(mask, reference) for name, mask in masks.items()}
    return max(scores, key=lambda name: scores[name])


def _centre(prompt: TargetPrompt) -> Millimetres | None:
    """The mean of the foreground points, mm; None without one."""
    points = [point.ras_mm for point in prompt.points if point.foreground]
    if not points:
        return None
    x, y, z = (float(value) for value in np.mean(points, axis=0))
    return (x, y, z)
