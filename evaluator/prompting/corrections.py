"""What a simulated user adds after seeing a mask: voxels to click, each marked as foreground or background.

Foreground where the mask missed the organ, background where it spilled. Every rule is a pure function of the two masks
and a stream of chance, and gives nothing if there is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.connected_components import largest_piece
from evaluator.imaging.distance_transform import TIE_MM, first_deepest, squared_depth
from evaluator.imaging.geometry import affine_of, spacing
from evaluator.imaging.grid_masks import GridMask, common_region, crop_mask, interior_of
from evaluator.prompting.error_regions import largest_error, missed, spilled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import RoundPlan
    from zoo_sdk.wire import Index

    Clicks = tuple[tuple[Index, bool], ...]
    Correction = Callable[[GridMask, GridMask, RandomStream], Clicks]
    """(reference, prediction, chance) -> voxels of the grid, and whether each one is foreground."""

#: farther than any voxel of a layer is from the layer's outside, so that its neighbours in other layers do not count
FAR_MM = 1e6


def correct(
    plan: RoundPlan, reference: GridMask, prediction: GridMask, chance: RandomStream
) -> Clicks:
    """The plan's correction of this prediction; empty where there is no error."""
    if plan.click_rule == "cvpr25":
        return _cvpr25_click(reference, prediction, chance)
    return CORRECTIONS[plan.correction](reference, prediction, chance)


def _largest_error_click(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The deepest voxel of the largest error, in millimetres; of equally deep ones the first in C order."""
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    depth = squared_depth(error.region.array, spacing(affine_of(reference.grid)))
    return ((_on_grid(error.region, first_deepest(depth)), error.missed),)


def _random_error_click(reference: GridMask, prediction: GridMask, chance: RandomStream) -> Clicks:
    """A voxel uniform over all wrong ones, missed and spilled."""
    under, over = missed(reference, prediction), spilled(reference, prediction)
    if under.empty and over.empty:
        return ()
    number = chance.below(under.voxel_count + over.voxel_count)
    is_missed = number < under.voxel_count
    region, number = (under, number) if is_missed else (over, number - under.voxel_count)
    return ((_numbered(region, region.array, number), is_missed),)


def _boundary_click(reference: GridMask, prediction: GridMask, chance: RandomStream) -> Clicks:
    """A voxel uniform over the rim of the largest error: those with one of six neighbours outside it."""
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    rim = error.region.array & ~interior_of(error.region.array)
    number = chance.below(int(np.count_nonzero(rim)))
    return ((_numbered(error.region, rim, number), error.missed),)


def _scribble(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The centre line of the largest error: in every layer along its longest grid axis, the voxel deepest in the layer.

    The longest axis is the one with the largest extent in millimetres (the first of equals). Depth is taken within the
    layer, as a reader draws who goes through the slices; of equally deep voxels the first in C order is taken.
    """
    error = largest_error(reference, prediction)
    if error is None:
        return ()
    step = np.array(spacing(affine_of(reference.grid)))
    axis = int(np.argmax(error.region.array.shape * step))
    step[axis] = FAR_MM
    depth = np.sqrt(squared_depth(error.region.array, (step[0], step[1], step[2])))
    layers = np.moveaxis(depth, axis, 0).reshape(depth.shape[axis], -1)
    firsts = np.argmax(layers >= layers.max(axis=1, keepdims=True) - TIE_MM, axis=1)
    others = [n for a, n in enumerate(depth.shape) if a != axis]
    line = []
    for layer, first in enumerate(firsts):
        if layers[layer, first] > 0:
            at = [int(n) for n in np.unravel_index(int(first), others)]
            at.insert(axis, layer)
            line.append((_on_grid(error.region, (at[0], at[1], at[2])), error.missed))
    return tuple(line)


def _cvpr25_click(reference: GridMask, prediction: GridMask, _: RandomStream) -> Clicks:
    """The click of the CVPR 2025 interactive challenge, on arrays in its axis order (z, y, x).

    Errors of both signs are one mask; its 26-connected piece of most voxels; the voxels farthest from the outside,
    counted in voxels and not in millimetres; of these one by numpy's legacy generator seeded with 42. Foreground if the
    voxel is in the reference. (The challenge halves crops of more than 60 million voxels; that is not done here.)
    Source: the challenge's evaluation script, JunMa11/CVPR-MedSegFMCompetition CVPR25_iter_eval.py.
    """
    under, over = missed(reference, prediction), spilled(reference, prediction)
    if under.empty and over.empty:
        return ()
    piece = largest_piece(_either(under, over))
    depth = squared_depth(piece.array, (1.0, 1.0, 1.0))
    farthest = np.argwhere(depth == depth.max())
    k, j, i = farthest[np.random.RandomState(42).choice(len(farthest))] + piece.offset
    at = (int(i), int(j), int(k))
    return ((at, reference.contains(at)),)


def _either(a: GridMask, b: GridMask) -> GridMask:
    """Both masks together, with their axes turned to (z, y, x)."""
    low, high = common_region(a, b)
    both: NDArray[np.bool_] = a.crop(low, high) | b.crop(low, high)
    i, j, k = low
    return crop_mask(np.ascontiguousarray(both.T), a.grid, (k, j, i))


def _numbered(region: GridMask, inside: NDArray[np.bool_], number: int) -> Index:
    """The voxel of this number, in C order, among those of a mask on the region's crop."""
    flat = int(np.flatnonzero(inside)[number])
    i, j, k = np.unravel_index(flat, inside.shape)
    return _on_grid(region, (int(i), int(j), int(k)))


def _on_grid(region: GridMask, at: Index) -> Index:
    i, j, k = (n + c for n, c in zip(at, region.offset, strict=True))
    return i, j, k


CORRECTIONS: dict[str, Correction] = {
    "largest-error-click": _largest_error_click,
    "random-error-click": _random_error_click,
    "boundary-click": _boundary_click,
    "scribble": _scribble,
}
"""The corrections that a protocol may name."""
