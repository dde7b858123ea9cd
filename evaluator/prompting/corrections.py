"""What a simulated user adds after seeing a mask: voxels, each marked as foreground or background.

A false negative gets a foreground click, a false positive a background click. Every rule is a pure
function of the two masks and a random stream, and returns nothing if there is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.connected_components import largest_component
from evaluator.imaging.distance_transform import TIE_MM, first_deepest, squared_depth
from evaluator.imaging.geometry import affine_of, spacing
from evaluator.imaging.grid_masks import GridMask, common_region, crop_mask, interior_of
from evaluator.imaging.sheared_depth import squared_depth_on
from evaluator.prompting.error_regions import false_negatives, false_positives, largest_error
from evaluator.prompting.slice_scribbles import LINES, draw_scribble

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import ClickRule, RoundPlan
    from zoo_sdk.wire import Index

    Clicks = tuple[tuple[Index, bool], ...]
    Correction = Callable[[GridMask, GridMask, RandomStream], Clicks]
    """(reference, prediction, rng) -> voxels of the grid, and whether each one is foreground."""


def correct(
    plan: RoundPlan, reference: GridMask, prediction: GridMask, rng: RandomStream
) -> Clicks:
    """Correct a prediction by the plan's rule.

    Args:
        plan: names the rule.
        reference: not empty.
        prediction: a mask on the same grid.
        rng: source of random choices.

    Returns:
        Voxels of the grid, and whether each one is foreground; empty where there is no error.
    """
    if plan.click_rule == "cvpr25":
        return _cvpr25_click(reference, prediction, rng)
    if plan.click_rule in LINES:
        return _autopet5_scribble(plan.click_rule, reference, prediction)
    return CORRECTIONS[plan.correction](reference, prediction, rng)


def _largest_error_click(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The deepest voxel of the largest error, in mm; of equally deep ones the first in C order."""
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    depth = squared_depth_on(error.mask.array, affine_of(reference.grid))
    return ((_grid_index(error.mask, first_deepest(depth)), error.false_negative),)


def _random_error_click(reference: GridMask, prediction: GridMask, rng: RandomStream) -> Clicks:
    """A voxel uniform over all false negatives and false positives."""
    negatives = false_negatives(reference, prediction)
    positives = false_positives(reference, prediction)
    if negatives.empty and positives.empty:
        return ()
    number = rng.below(negatives.voxel_count + positives.voxel_count)
    if number < negatives.voxel_count:
        return ((_numbered_voxel(negatives, negatives.array, number), True),)
    number -= negatives.voxel_count
    return ((_numbered_voxel(positives, positives.array, number), False),)


def _boundary_click(reference: GridMask, prediction: GridMask, rng: RandomStream) -> Clicks:
    """A voxel uniform over the boundary of the largest error.

    A voxel is on the boundary if one of its six neighbours is outside the error.
    """
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    boundary = error.mask.array & ~interior_of(error.mask.array)
    number = rng.below(int(np.count_nonzero(boundary)))
    return ((_numbered_voxel(error.mask, boundary, number), error.false_negative),)


def _scribble(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The centre line of the largest error: the deepest voxel of each layer of its longest axis.

    The longest axis is the grid axis with the largest extent in millimetres (the first of equals).
    Depth is measured within the layer, as a reader scribbles slice by slice; of equally deep voxels
    the first in C order is taken.
    """
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    affine = affine_of(reference.grid)
    axis = int(np.argmax(error.mask.array.shape * np.array(spacing(affine))))
    depth = np.sqrt(squared_depth_on(error.mask.array, affine, within=axis))
    layers = np.moveaxis(depth, axis, 0).reshape(depth.shape[axis], -1)
    firsts = np.argmax(layers >= layers.max(axis=1, keepdims=True) - TIE_MM, axis=1)
    layer_shape = [n for a, n in enumerate(depth.shape) if a != axis]
    line = []
    for layer, first in enumerate(firsts):
        if layers[layer, first] > 0:
            index = [int(n) for n in np.unravel_index(int(first), layer_shape)]
            index.insert(axis, layer)
            voxel = _grid_index(error.mask, (index[0], index[1], index[2]))
            line.append((voxel, error.false_negative))
    return tuple(line)


def _cvpr25_click(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The click of the CVPR 2025 interactive challenge, on arrays in its axis order (z, y, x).

    False negatives and false positives are one mask. Of its 26-connected component of most voxels,
    the voxels farthest from the outside are found, counted in voxels and not in millimetres;
    numpy's legacy generator seeded with 42 chooses one of them. The click is foreground if the
    voxel is in the reference. (The challenge halves crops of more than 60 million voxels; that is
    not done here.) Source: the challenge's evaluation script, JunMa11/CVPR-MedSegFMCompetition
    CVPR25_iter_eval.py.
    """
    negatives = false_negatives(reference, prediction)
    positives = false_positives(reference, prediction)
    if negatives.empty and positives.empty:
        return ()
    component = largest_component(_union_zyx(negatives, positives))
    depth = squared_depth(component.array, (1.0, 1.0, 1.0))
    farthest = np.argwhere(depth == depth.max())
    k, j, i = farthest[np.random.RandomState(42).choice(len(farthest))] + component.offset
    voxel = (int(i), int(j), int(k))
    return ((voxel, reference.contains(voxel)),)


def _autopet5_scribble(rule: ClickRule, reference: GridMask, prediction: GridMask) -> Clicks:
    """The scribble of autoPET V; see ``slice_scribbles``."""
    lines = []
    for find in (false_negatives, false_positives):
        errors = find(reference, prediction)
        lines.append(draw_scribble(errors.array, rule) + np.array(errors.offset))
    missed, added = lines
    foreground = len(added) <= len(missed)
    return tuple(((i, j, k), foreground) for i, j, k in (missed if foreground else added).tolist())


def _union_zyx(a: GridMask, b: GridMask) -> GridMask:
    """The union of two masks, with the axes in the order (z, y, x)."""
    low, high = common_region(a, b)
    union: NDArray[np.bool_] = a.crop(low, high) | b.crop(low, high)
    i, j, k = low
    return crop_mask(np.ascontiguousarray(union.T), a.grid, (k, j, i))


def _numbered_voxel(mask: GridMask, chosen: NDArray[np.bool_], number: int) -> Index:
    """The grid index of voxel ``number``, in C order, of those chosen on the mask's crop."""
    flat = int(np.flatnonzero(chosen)[number])
    i, j, k = np.unravel_index(flat, chosen.shape)
    return _grid_index(mask, (int(i), int(j), int(k)))


def _grid_index(mask: GridMask, index: Index) -> Index:
    """The index on the grid of a voxel of the mask's crop."""
    i, j, k = (n + c for n, c in zip(index, mask.offset, strict=True))
    return i, j, k


CORRECTIONS: dict[str, Correction] = {
    "largest-error-click": _largest_error_click,
    "random-error-click": _random_error_click,
    "boundary-click": _boundary_click,
    "scribble": _scribble,
}
"""The corrections that a protocol may name."""
