"""Points: chosen once on the anchor's reference, then put on every grid in world millimetres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.distance_transform import (
    TIE_MM,
    first_deepest,
    squared_depth,
    squared_distance_to,
)
from evaluator.imaging.geometry import affine_of, nearest_index, spacing, to_index, to_world
from evaluator.imaging.grid_masks import interior_of
from zoo_sdk.wire import Millimetres, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import PromptPlan
    from zoo_sdk.wire import Grid, Index


def choose_places(mask: GridMask, plan: PromptPlan, chance: RandomStream) -> list[Millimetres]:
    """World places of the plan's points, drawn on a mask that is not empty; fewer if it has fewer voxels.

    ``deepest``: the deepest voxel; each further one is the deepest when the ones before it count as outside.
    ``random``: uniform over the interior, the voxels whose six neighbours are in the mask (all voxels, if none).
    Then each is moved ``point_offset_mm`` in a direction uniform on the sphere. With ``point_outside_mm`` it is one place
    outside instead (``_outside``).
    """
    if plan.point_outside_mm > 0:
        return [_outside(mask, plan.point_outside_mm, chance)]
    chosen = (
        _deepest(mask, plan.points)
        if plan.point_rule == "deepest"
        else _random(mask, plan.points, chance)
    )
    places = to_world(affine_of(mask.grid), np.array(chosen, dtype=np.float64) + mask.offset)
    if plan.point_offset_mm > 0:
        places = places + plan.point_offset_mm * np.array([chance.direction() for _ in chosen])
    return [_millimetres(place) for place in places]


def put_point(
    mask: GridMask,
    place: Millimetres,
    *,
    foreground: bool = True,
    inside: bool | None = None,
    round_number: int = 0,
) -> tuple[Point, float] | None:
    """The point on this mask's grid, and how far it was moved; None if the grid has no voxel that it may lie on.

    It is the voxel that the place lies in, if that voxel is in the mask (for background: outside it; ``inside`` says
    otherwise); else the nearest one that is, in millimetres between the place and the voxel's centre, the first in C
    order of those equally near. The displacement is that distance, and 0 where the voxel was right at once. ``ras_mm``
    is the voxel's centre.
    """
    inside = foreground if inside is None else inside
    index = nearest_index(mask.grid, place)
    displacement = 0.0
    if index is None or mask.contains(index) != inside:
        found = _nearest(mask, place, inside=inside)
        if found is None:
            return None
        index, displacement = found
    return point_at(
        mask.grid, index, foreground=foreground, round_number=round_number
    ), displacement


def point_at(grid: Grid, index: Index, *, foreground: bool = True, round_number: int = 0) -> Point:
    """The point in the middle of a voxel."""
    centre = to_world(affine_of(grid), np.array(index, dtype=np.float64))
    return Point(
        index=index, ras_mm=_millimetres(centre), foreground=foreground, round=round_number
    )


def _outside(mask: GridMask, distance_mm: float, chance: RandomStream) -> Millimetres:
    """A place so far behind the last voxel of the mask on a ray from the deepest one, uniform in its direction."""
    step = spacing(affine_of(mask.grid))
    affine = affine_of(mask.grid)
    (deepest,) = to_world(affine, np.array(_deepest(mask, 1)) + mask.offset)
    direction = chance.direction()
    longest = float(np.linalg.norm(np.array(mask.array.shape) * step))
    along = np.arange(0.0, longest, min(step) / 2)
    voxels = np.floor(
        to_index(affine, deepest + along[:, None] * direction) - mask.offset + 0.5
    ).astype(np.int64)
    (near,) = np.nonzero(((voxels >= 0) & (voxels < mask.array.shape)).all(axis=1))
    leaves = float(along[near[mask.array[tuple(voxels[near].T)]][-1]])
    return _millimetres(deepest + (leaves + distance_mm) * direction)


def _deepest(mask: GridMask, count: int) -> list[tuple[int, int, int]]:
    step = spacing(affine_of(mask.grid))
    room = squared_depth(mask.array, step)
    chosen = [first_deepest(room)]
    while len(chosen) < count:
        np.minimum(room, squared_distance_to(chosen[-1], room.shape, step), out=room)
        following = first_deepest(room)
        if room[following] == 0:
            break
        chosen.append(following)
    return chosen


def _random(mask: GridMask, count: int, chance: RandomStream) -> list[tuple[int, int, int]]:
    interior = np.flatnonzero(interior_of(mask.array))
    if not interior.size:
        interior = np.flatnonzero(mask.array)
    numbers = chance.distinct(count, len(interior))
    indices = np.unravel_index(interior[numbers], mask.array.shape)
    return [(int(i), int(j), int(k)) for i, j, k in zip(*indices, strict=True)]


def _nearest(mask: GridMask, place: Millimetres, *, inside: bool) -> tuple[Index, float] | None:
    """Looks in a window about the place that grows until nothing nearer can lie beyond it."""
    if inside:
        first, last = np.array(mask.offset), np.array(mask.offset) + mask.array.shape
    else:
        first, last = np.zeros(3, dtype=np.int64), np.array(mask.grid.shape)
    affine = affine_of(mask.grid)
    # a ball of 1 mm reaches this many voxels along each axis
    reach = np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    middle = to_index(affine, np.array(place))
    radius = 2 * max(spacing(affine))
    while True:
        low = np.clip(np.floor(middle - radius * reach).astype(np.int64), first, last)
        high = np.clip(np.ceil(middle + radius * reach).astype(np.int64) + 1, first, last)
        found = _nearest_in(mask, place, (low, high), inside=inside)
        if found is not None and found[1] <= radius:
            return found
        if (low == first).all() and (high == last).all():
            return found
        radius = 2 * radius if found is None else found[1] * (1 + 1e-9)


def _nearest_in(
    mask: GridMask,
    place: Millimetres,
    window: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    inside: bool,
) -> tuple[Index, float] | None:
    low, high = ((int(i), int(j), int(k)) for i, j, k in window)
    voxels = np.argwhere(mask.crop(low, high) == inside) + low
    if not len(voxels):
        return None
    distances = np.linalg.norm(
        to_world(affine_of(mask.grid), voxels.astype(np.float64)) - place, axis=1
    )
    nearest = int(np.argmax(distances <= distances.min() + TIE_MM))
    i, j, k = (int(v) for v in voxels[nearest])
    return (i, j, k), float(distances[nearest])


def _millimetres(place: NDArray[np.float64]) -> Millimetres:
    x, y, z = (float(value) for value in place)
    return (x, y, z)
