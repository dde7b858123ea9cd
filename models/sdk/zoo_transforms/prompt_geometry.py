"""Prompts in millimetres: windows, balls and distances on any grid.

The grid may be oblique, flipped or anisotropic: everything goes through the affine, so a model does
not depend on axis order or voxel size. Needs numpy; ``on_grid`` needs scipy.
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
    """How many voxels a ball of this radius extends along each index axis, rounded up.

    Exact for oblique grids, too.
    """
    # the extent of an ellipsoid along an index axis is the norm of the inverse map's row
    inverse = np.linalg.inv(np.asarray(affine, dtype=np.float64)[:3, :3])
    extent = np.linalg.norm(inverse, axis=1) * radius_mm
    a, b, c = (int(np.ceil(value - 1e-9)) for value in extent)
    return (a, b, c)


def window_about(grid: Grid, low: Sequence[int], high: Sequence[int], margin_mm: float) -> Window:
    """The half-open index box [low, high) grown by a margin in mm and cut to the grid.

    It has at least one voxel along each axis.
    """
    margin = reach(grid.affine, margin_mm)
    slices = []
    for axis in range(3):
        start = min(max(low[axis] - margin[axis], 0), grid.shape[axis] - 1)
        stop = max(min(high[axis] + margin[axis], grid.shape[axis]), start + 1)
        slices.append(slice(start, stop))
    return (slices[0], slices[1], slices[2])


def prompt_window(
    grid: Grid, target: Target, point_radius_mm: float, box_margin_mm: float
) -> Window:
    """Where a target may lie: its box and a margin, else every foreground point and a radius.

    With a box, foreground points outside it (corrections) widen the window by the box's margin.
    Raises ValueError for a target without a box and without a foreground point.
    """
    points = [point.index for point in target.points if point.foreground]
    if target.box is None and not points:
        raise ValueError("target %r has neither a box nor a foreground point" % target.name)
    lows = list(points)
    highs = [(i + 1, j + 1, k + 1) for i, j, k in points]
    if target.box is not None:
        lows.append(target.box.low)
        highs.append(target.box.high)
    low = np.min(lows, axis=0).tolist()
    high = np.max(highs, axis=0).tolist()
    return window_about(grid, low, high, point_radius_mm if target.box is None else box_margin_mm)


def corner_of(window: Window) -> Tuple[int, int, int]:
    """The index of a window's first voxel, as a Crop takes it."""
    a, b, c = (part.start for part in window)
    return (a, b, c)


def box_slices(box: Box, shape: Sequence[int]) -> Window:
    """The half-open box as slices, cut to the array's shape."""
    starts = [min(max(low, 0), size) for low, size in zip(box.low, shape)]
    stops = [min(max(high, 0), size) for high, size in zip(box.high, shape)]
    a, b, c = (slice(start, stop) for start, stop in zip(starts, stops))
    return (a, b, c)


def squared_distance(affine: Any, window: Window, centre: Sequence[float]) -> NDArray[np.float64]:
    """Squared distance in mm^2 of each voxel of a window from ``centre``, an index of the grid."""
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    metric = linear.T @ linear
    i, j, k = np.ogrid[window]
    d = (i - centre[0], j - centre[1], k - centre[2])
    total = np.zeros(tuple(part.stop - part.start for part in window))
    for a in range(3):
        total += metric[a, a] * d[a] ** 2
        for b in range(a):
            if metric[a, b]:
                total += 2 * metric[a, b] * d[a] * d[b]
    return total


def balls(
    affine: Any, window: Window, centres: Iterable[Sequence[float]], radius_mm: float
) -> NDArray[np.bool_]:
    """Which voxels of the window lie within ``radius_mm`` of any centre.

    Centres are indices of the grid that the window is a part of. The voxel that holds a centre
    always counts, however coarse the grid.
    """
    shape = tuple(part.stop - part.start for part in window)
    inside = np.zeros(shape, dtype=bool)
    extent = reach(affine, radius_mm)
    for centre in centres:
        voxel = [int(c) for c in centre]
        starts = [max(c - n, part.start) for c, n, part in zip(voxel, extent, window)]
        stops = [min(c + n + 1, part.stop) for c, n, part in zip(voxel, extent, window)]
        if any(stop <= start for start, stop in zip(starts, stops)):
            continue
        i, j, k = (slice(start, stop) for start, stop in zip(starts, stops))
        local = tuple(
            slice(near.start - part.start, near.stop - part.start)
            for near, part in zip((i, j, k), window)
        )
        inside[local] |= squared_distance(affine, (i, j, k), centre) <= radius_mm**2
        index = tuple(c - part.start for c, part in zip(voxel, window))
        if all(0 <= n < size for n, size in zip(index, shape)):
            inside[index] = True
    return inside


def on_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    """The image's values on the answer's grid, float32: trilinear unless the grids are the same.

    The image's smallest value stands outside it (air in CT, no uptake in PET).
    """
    if same_grid(volume, grid):
        array: NDArray[np.float32] = volume.array
        return array
    from scipy.ndimage import affine_transform

    resampled = affine_transform(
        volume.array,
        np.linalg.inv(volume.affine) @ affine_of(grid),
        output_shape=tuple(grid.shape),
        order=1,
        mode="constant",
        cval=float(volume.array.min()),
    )
    return np.asarray(resampled, dtype=np.float32)
