"""Points: chosen once on the anchor's reference, then placed on every grid in world millimetres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.distance_transform import TIE_MM, first_deepest
from evaluator.imaging.geometry import affine_of, nearest_index, spacing, to_index, to_world
from evaluator.imaging.grid_masks import interior_of
from evaluator.imaging.sheared_depth import squared_depth_on, squared_distance_on
from zoo_sdk.wire import Millimetres, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import PromptPlan
    from zoo_sdk.wire import Grid, Index


def choose_positions(mask: GridMask, plan: PromptPlan, rng: RandomStream) -> list[Millimetres]:
    """World positions of the plan's points, chosen on a mask that is not empty.

    There are fewer points than planned if the mask has fewer voxels.

    ``deepest``: the deepest voxel; each further one is the deepest when the ones before it count as
    outside.
    ``random``: uniform over the interior, the voxels whose six neighbours are in the mask (over all
    voxels if the interior is empty).
    Then each point is moved ``point_offset_mm`` in a direction uniform on the sphere. With
    ``point_outside_mm`` the result is one position outside the mask instead (``_outside``).

    """
    if plan.point_outside_mm > 0:
        return [_outside(mask, plan.point_outside_mm, rng)]
    chosen = (
        _deepest(mask, plan.points)
        if plan.point_rule == "deepest"
        else _random(mask, plan.points, rng)
    )
    positions = to_world(affine_of(mask.grid), np.array(chosen, dtype=np.float64) + mask.offset)
    if plan.point_offset_mm > 0:
        positions = positions + plan.point_offset_mm * np.array([rng.direction() for _ in chosen])
    return [_millimetres(position) for position in positions]


def put_point(
    mask: GridMask,
    position: Millimetres,
    *,
    foreground: bool = True,
    inside: bool | None = None,
    round_number: int = 0,
) -> tuple[Point, float] | None:
    """The voxel of this mask's grid that stands for a world position.

    The voxel that holds the position is taken if it may be used: a foreground point lies in the
    mask, a background point outside it, and ``inside`` overrides this rule. Otherwise the nearest
    voxel that may be used is taken, by the distance in millimetres from the position to its centre,
    the first in C order of equally near ones.

    Returns:
        The point, whose ``ras_mm`` is the voxel's centre, and its displacement: that distance, or 0
        where the first voxel was taken. None if the grid has no voxel that may be used.
    """
    inside = foreground if inside is None else inside
    index = nearest_index(mask.grid, position)
    displacement = 0.0
    if index is None or mask.contains(index) != inside:
        nearest = _nearest(mask, position, inside=inside)
        if nearest is None:
            return None
        index, displacement = nearest
    return point_at(
        mask.grid, index, foreground=foreground, round_number=round_number
    ), displacement


def point_at(grid: Grid, index: Index, *, foreground: bool = True, round_number: int = 0) -> Point:
    """The point in the middle of a voxel."""
    centre = to_world(affine_of(grid), np.array(index, dtype=np.float64))
    return Point(
        index=index, ras_mm=_millimetres(centre), foreground=foreground, round=round_number
    )


def _outside(mask: GridMask, distance_mm: float, rng: RandomStream) -> Millimetres:
    """A position behind the last voxel of the mask on a random ray from the deepest voxel.

    The direction is uniform; the position lies ``distance_mm`` behind where the ray leaves the
    mask.
    """
    step = spacing(affine_of(mask.grid))
    affine = affine_of(mask.grid)
    (middle,) = to_world(affine, np.array(_deepest(mask, 1)) + mask.offset)
    direction = rng.direction()
    # no less than the diagonal, whatever the angles of the axes
    longest = float(np.dot(mask.array.shape, step))
    along = np.arange(0.0, longest, min(step) / 2)
    voxels = np.floor(
        to_index(affine, middle + along[:, None] * direction) - mask.offset + 0.5
    ).astype(np.int64)
    (near,) = np.nonzero(((voxels >= 0) & (voxels < mask.array.shape)).all(axis=1))
    exit_mm = float(along[near[mask.array[tuple(voxels[near].T)]][-1]])
    return _millimetres(middle + (exit_mm + distance_mm) * direction)


def _deepest(mask: GridMask, count: int) -> list[tuple[int, int, int]]:
    affine = affine_of(mask.grid)
    depth = squared_depth_on(mask.array, affine)
    shape = (depth.shape[0], depth.shape[1], depth.shape[2])
    chosen = [first_deepest(depth)]
    while len(chosen) < count:
        np.minimum(depth, squared_distance_on(chosen[-1], shape, affine), out=depth)
        deepest = first_deepest(depth)
        if depth[deepest] == 0:
            break
        chosen.append(deepest)
    return chosen


def _random(mask: GridMask, count: int, rng: RandomStream) -> list[tuple[int, int, int]]:
    interior = np.flatnonzero(interior_of(mask.array))
    if not interior.size:
        interior = np.flatnonzero(mask.array)
    numbers = rng.distinct(count, len(interior))
    indices = np.unravel_index(interior[numbers], mask.array.shape)
    return [(int(i), int(j), int(k)) for i, j, k in zip(*indices, strict=True)]


def _nearest(mask: GridMask, position: Millimetres, *, inside: bool) -> tuple[Index, float] | None:
    """Search a window about the position; enlarge it until nothing nearer can lie beyond it."""
    if inside:
        first, last = np.array(mask.offset), np.array(mask.offset) + mask.array.shape
    else:
        first, last = np.zeros(3, dtype=np.int64), np.array(mask.grid.shape)
    affine = affine_of(mask.grid)
    # a ball of 1 mm reaches this many voxels along each axis
    reach = np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    middle = to_index(affine, np.array(position))
    radius = 2 * max(spacing(affine))
    while True:
        low = np.clip(np.floor(middle - radius * reach).astype(np.int64), first, last)
        high = np.clip(np.ceil(middle + radius * reach).astype(np.int64) + 1, first, last)
        nearest = _nearest_in(mask, position, (low, high), inside=inside)
        if nearest is not None and nearest[1] <= radius:
            return nearest
        if (low == first).all() and (high == last).all():
            return nearest
        radius = 2 * radius if nearest is None else nearest[1] * (1 + 1e-9)


def _nearest_in(
    mask: GridMask,
    position: Millimetres,
    window: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    inside: bool,
) -> tuple[Index, float] | None:
    low, high = ((int(i), int(j), int(k)) for i, j, k in window)
    voxels = np.argwhere(mask.crop(low, high) == inside) + low
    if not len(voxels):
        return None
    distances = np.linalg.norm(
        to_world(affine_of(mask.grid), voxels.astype(np.float64)) - position, axis=1
    )
    nearest = int(np.argmax(distances <= distances.min() + TIE_MM))
    i, j, k = (int(v) for v in voxels[nearest])
    return (i, j, k), float(distances[nearest])


def _millimetres(position: NDArray[np.float64]) -> Millimetres:
    x, y, z = (float(value) for value in position)
    return (x, y, z)
