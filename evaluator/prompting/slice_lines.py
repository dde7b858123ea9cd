"""The random and the boundary lines of autoPET V, in a connected mask of one slice.

Source: simulate_scribbles.py of the challenge's repository, strategies "random" and "boundary", as
published in its participants' copies (leaieaie/autoPETV ce8c7b2). Its draws are those of Python's
generator with seed 42, begun again for each line; so are these, and the lines are equal. One
difference: a voxel at the edge of the image belongs to the boundary here, and not there.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.grid_masks import interior_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: the challenge's seed
SEED = 42
#: share of the boundary's voxels that a boundary line has, and the fewest steps that it takes
BOUNDARY_SHARE, FEWEST_STEPS = 0.2, 2


def random_line(component: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The straight line between two voxels of the mask, drawn with replacement.

    Args:
        component: mask of one slice, (rows, columns), not empty.

    Returns:
        the voxels of the line that lie in the mask; the mask itself if it is one voxel.
    """
    voxels = np.argwhere(component)
    if len(voxels) < 2:
        return component
    generator = random.Random(SEED)  # noqa: S311 - the challenge's draws
    first, last = (voxels[generator.randint(0, len(voxels) - 1)] for _ in range(2))
    line = np.zeros_like(component)
    line[tuple(straight_line(first, last).T)] = True
    return line & component


def straight_line(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The voxels from one to another, both included, by Bresenham (IBM Systems Journal 4:25, 1965).

    Along the axis of the larger distance each layer has one voxel, the nearest to the line; of two
    equally near ones the farther from the start's layer.

    Args:
        first: (row, column).
        last: (row, column).

    Returns:
        (n, 2).
    """
    distance = last - first
    lengths = np.abs(distance)
    # of equal distances, along the columns
    main = 0 if lengths[0] > lengths[1] else 1
    length, across = int(lengths[main]), int(lengths[1 - main])
    steps = np.arange(length + 1)
    line = np.empty((length + 1, 2), dtype=np.int64)
    line[:, main] = first[main] + np.sign(distance[main]) * steps
    rounded = (2 * across * steps + length) // max(2 * length, 1)
    line[:, 1 - main] = first[1 - main] + np.sign(distance[1 - main]) * rounded
    return line


def boundary_line(component: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A walk along the boundary: its voxels have a face in common with a voxel outside.

    It begins at a voxel of the boundary, drawn uniformly. Each step takes the first neighbour, over
    edges and corners in C order, that is on the boundary and was not visited. It ends after a fifth
    of the boundary's voxels, at least two steps, or where no neighbour is left.

    Args:
        component: mask of one slice, (rows, columns), not empty.

    Returns:
        the voxels of the walk; the mask itself if its boundary is one voxel.
    """
    boundary = component & ~_interior(component)
    voxels = [(int(row), int(column)) for row, column in np.argwhere(boundary)]
    if len(voxels) < 2:
        return component
    start = voxels[random.Random(SEED).randint(0, len(voxels) - 1)]  # noqa: S311
    left = set(voxels) - {start}
    walk = [start]
    for _ in range(max(FEWEST_STEPS, int(BOUNDARY_SHARE * len(voxels)))):
        row, column = walk[-1]
        around = [(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        following = next((voxel for voxel in around if voxel in left), None)
        if following is None:
            break
        left.remove(following)
        walk.append(following)
    line = np.zeros_like(component)
    line[tuple(np.array(walk).T)] = True
    return line


def _interior(component: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels whose four neighbours in the slice are in the mask."""
    # between two equal slices only neighbours within the slice count
    return interior_of(np.repeat(component[:, :, None], 3, axis=2))[:, :, 1]
