"""Scribbles as autoPET V draws them: the centre line of an error in the slice where it is largest.

A slice is a layer of the third axis of nibabel's index order. Of each sign of error, the largest
8-connected component within any slice is found, and its centre line is drawn: the skeleton (Zhang
and Suen, CACM 27:236, 1984), and on it the shortest path between its two voxels that are farthest
apart, without a tenth of its voxels at each end if it has more than ten. The sign whose line has
more voxels is corrected; of equal lines the foreground is.

In place of the centre line, ``slice_lines`` has the challenge's random and boundary lines.

Source: simulate_scribbles.py and interactive_loop.py of the challenge's repository, strategy
"centerline", as published in its participants' copies (adkSpence/autoPETV 76ce622). Differences:

- The challenge thins with scikit-image, whose table of removable pixels is not the published one.
  On random masks both lines lie in the same slice, 93 % of their voxels within 1.5 voxels of the
  other line; the same sign was chosen in 90 % of the pairs.
- Its script fails where the errors have one sign only, and scores the round 0. Here the other sign
  is drawn.
- Of several shortest paths, and of regions of one size, another one may be chosen.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import scipy

from evaluator.prompting.random_stream import RandomStream
from evaluator.prompting.slice_lines import boundary_line, random_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evaluator.types import ClickRule

    Voxel = tuple[int, int]

#: voxels that touch at a face or a corner, within a slice
NEIGHBOURS = np.ones((3, 3), dtype=np.int8)
#: shares of a longer line that are left out at its ends
CUT_LENGTH, CUT_SHARE = 10, 0.1
#: the eight neighbours (row, column) about a pixel, clockwise from the one above, as P2 to P9
CLOCKWISE = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def rule_of_subject(rule: ClickRule, subject: str) -> ClickRule:
    """The rule for one subject: of ``autopet5-mixed``, one of the three lines.

    The challenge draws each line on a third of its test cases, the same for all algorithms. Here a
    hash of the subject's id chooses, so that models and modalities share the choice, and a subject
    keeps it in every selection of subjects.
    """
    if rule != "autopet5-mixed":
        return rule
    return RULES[RandomStream("autopet5-mixed", subject).below(len(RULES))]


def draw_scribble(errors: NDArray[np.bool_], rule: ClickRule = "autopet5") -> NDArray[np.int64]:
    """The scribble for the errors of one sign.

    Args:
        errors: mask of the errors, (i, j, k).
        rule: a key of ``LINES``.

    Returns:
        the voxels of the line in C order, (n, 3); none if there are no errors.
    """
    best: NDArray[np.bool_] | None = None
    layer, area = 0, 0
    for k in np.flatnonzero(errors.any(axis=(0, 1))).tolist():
        labels, _ = scipy.ndimage.label(errors[:, :, k], structure=NEIGHBOURS)
        sizes = np.bincount(labels.ravel())[1:]
        if sizes.max() > area:
            layer, area = k, int(sizes.max())
            best = labels == int(sizes.argmax()) + 1
    if best is None:
        return np.empty((0, 3), dtype=np.int64)
    voxels = np.argwhere(LINES[rule](best))
    return np.column_stack((voxels, np.full(len(voxels), layer)))


def centre_line(component: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre line of a connected mask of one slice, (rows, columns)."""
    skeleton = _largest(thin_slice(component))
    voxels = [(int(row), int(column)) for row, column in np.argwhere(skeleton)]
    if len(voxels) < 2:
        return component
    places = np.array(voxels)
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    first, last = np.unravel_index(int(squares.argmax()), squares.shape)
    path = _shortest_path(set(voxels), voxels[int(first)], voxels[int(last)])
    if len(path) > CUT_LENGTH:
        path = path[int(len(path) * CUT_SHARE) : int(len(path) * (1 - CUT_SHARE))]
    line = np.zeros_like(component)
    line[tuple(np.array(path).T)] = True
    return line & component


def thin_slice(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of a mask of one slice, by Zhang and Suen."""
    skeleton = np.pad(mask, 1)
    while True:
        removed = False
        for south_east in (True, False):
            removable = _removable(skeleton, south_east=south_east)
            if removable.any():
                skeleton[1:-1, 1:-1] &= ~removable
                removed = True
        if not removed:
            return skeleton[1:-1, 1:-1]


def _removable(padded: NDArray[np.bool_], *, south_east: bool) -> NDArray[np.bool_]:
    """The pixels that one half of a step removes; ``padded`` has a border of one pixel."""
    rows, columns = padded.shape
    around = [padded[1 + r : rows - 1 + r, 1 + c : columns - 1 + c] for r, c in CLOCKWISE]
    count = sum(neighbour.astype(np.int8) for neighbour in around)
    following = [*around[1:], around[0]]
    changes = sum((~a & b).astype(np.int8) for a, b in zip(around, following, strict=True))
    north, east, south, west = around[0], around[2], around[4], around[6]
    if south_east:
        open_sides = ~(north & east & south) & ~(east & south & west)
    else:
        open_sides = ~(north & east & west) & ~(north & south & west)
    inside = padded[1:-1, 1:-1]
    removable: NDArray[np.bool_] = (
        inside & (count >= 2) & (count <= 6) & (changes == 1) & open_sides
    )
    return removable


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = scipy.ndimage.label(mask, structure=NEIGHBOURS)
    if count == 0:
        return mask
    return np.asarray(labels == int(np.bincount(labels.ravel())[1:].argmax()) + 1)


def _shortest_path(inside: set[Voxel], start: Voxel, end: Voxel) -> list[Voxel]:
    """The voxels of a shortest path within a connected set, both ends included."""
    came_from: dict[Voxel, Voxel] = {start: start}
    waiting = deque([start])
    while waiting and end not in came_from:
        row, column = waiting.popleft()
        for r, c in CLOCKWISE:
            voxel = (row + r, column + c)
            if voxel in inside and voxel not in came_from:
                came_from[voxel] = (row, column)
                waiting.append(voxel)
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


#: the line of each rule, in the order of the challenge's list
LINES: dict[ClickRule, Callable[[NDArray[np.bool_]], NDArray[np.bool_]]] = {
    "autopet5": centre_line,
    "autopet5-random": random_line,
    "autopet5-boundary": boundary_line,
}
RULES = tuple(LINES)
