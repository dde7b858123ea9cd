"""Prompts in millimetres: windows, balls and distances on grids that may be oblique, flipped or anisotropic.

Everything goes through the affine, so no model has to think of axis order or voxel size.
Needs numpy; ``on_grid`` scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Sequence, Tuple

import numpy as np

from zoo_sdk.volume import affine_of, same_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.volume import Volume
    from zoo_sdk.wire import Box, Grid, Target

Window = Tuple[slice, slice, slice]


def reach(affine: Any, radius_mm: float) -> Tuple[int, int, int]:
    """How many voxels a ball of this radius extends along each index axis, rounded up; exact for oblique grids."""
    # the extent of an ellipsoid along an index axis is the norm of the inverse map's row
    extent = np.linalg.norm(np.linalg.inv(np.asarray(affine, dtype=np.float64)[:3, :3]), axis=1) * radius_mm
    a, b, c = (int(np.ceil(value - 1e-9)) for value in extent)
    return (a, b, c)


def window_about(grid: Grid, low: Sequence[int], high: Sequence[int], margin_mm: float) -> Window:
    """The half-open index box [low, high) grown by a margin in mm and cut to the grid (at least one voxel)."""
    grown = reach(grid.affine, margin_mm)
    slices = []
    for axis in range(3):
        start = min(max(low[axis] - grown[axis], 0), grid.shape[axis] - 1)
        stop = max(min(high[axis] + grown[axis], grid.shape[axis]), start + 1)
        slices.append(slice(start, stop))
    return (slices[0], slices[1], slices[2])


def prompt_window(grid: Grid, target: Target, point_radius_mm: float, box_margin_mm: float) -> Window:
    """Where a target may lie: the box and its margin if there is a box, else every foreground point and its radius.

    With a box, foreground points outside it (corrections) still widen the window by the box's margin.
    """
    points = [point.index for point in target.points if point.foreground]
    if target.box is None and not points:
        raise ValueError("target %r has neither a box nor a foreground point" % target.name)
    lows, highs = list(points), [tuple(value + 1 for value in index) for index in points]
    if target.box is not None:
        lows.append(target.box.low)
        highs.append(target.box.high)
    low = [min(index[axis] for index in lows) for axis in range(3)]
    high = [max(index[axis] for index in highs) for axis in range(3)]
    return window_about(grid, low, high, point_radius_mm if target.box is None else box_margin_mm)


def corner_of(window: Window) -> Tuple[int, int, int]:
    """The index of a window's first voxel, as a Crop wants it."""
    a, b, c = (s.start for s in window)
    return (a, b, c)


def box_slices(box: Box, shape: Sequence[int]) -> Window:
    """The half-open box as slices, cut to the array's shape."""
    a, b, c = (
        slice(min(max(low, 0), size), min(max(high, 0), size)) for low, high, size in zip(box.low, box.high, shape)
    )
    return (a, b, c)


def squared_distance(affine: Any, window: Window, centre: Sequence[float]) -> NDArray[np.float64]:
    """Squared distance in mm^2 of each voxel of the window from ``centre`` (index coordinates of the whole grid)."""
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    metric = linear.T @ linear
    i, j, k = np.ogrid[window]
    d = (i - centre[0], j - centre[1], k - centre[2])
    total = np.zeros(tuple(s.stop - s.start for s in window))
    for a in range(3):
        total += metric[a, a] * d[a] ** 2
        for b in range(a):
            if metric[a, b]:
                total += 2 * metric[a, b] * d[a] * d[b]
    return total


def balls(affine: Any, window: Window, centres: Iterable[Sequence[float]], radius_mm: float) -> NDArray[np.bool_]:
    """Which voxels of the window lie within ``radius_mm`` of any centre (index coordinates of the whole grid).

    The voxel that holds a centre always counts, however coarse the grid.
    """
    shape = tuple(s.stop - s.start for s in window)
    inside = np.zeros(shape, dtype=bool)
    for centre in centres:
        grown = reach(affine, radius_mm)
        near = tuple(
            slice(max(int(c) - g, s.start), min(int(c) + g + 1, s.stop)) for c, g, s in zip(centre, grown, window)
        )
        if any(s.stop <= s.start for s in near):
            continue
        local: Any = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(near, window))
        inside[local] |= squared_distance(affine, (near[0], near[1], near[2]), centre) <= radius_mm**2
        own = tuple(int(c) - w.start for c, w in zip(centre, window))
        if all(0 <= n < size for n, size in zip(own, shape)):
            inside[own] = True
    return inside


def on_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    """The image's values on the answer's grid (float32): as they are where the grids agree, else trilinear.

    Outside the image stands its smallest value (air in CT, none in PET and MR).
    """
    if same_grid(volume, grid):
        array: NDArray[np.float32] = volume.array
        return array
    from scipy.ndimage import affine_transform

    to_image = np.linalg.inv(volume.affine) @ affine_of(grid)
    resampled = affine_transform(
        volume.array, to_image, output_shape=tuple(grid.shape), order=1, mode="constant", cval=float(volume.array.min())
    )
    return np.asarray(resampled, dtype=np.float32)
