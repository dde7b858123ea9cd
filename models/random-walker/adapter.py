"""The random walker (Grady, IEEE TPAMI 2006) from points, a box, or both.

Each voxel of a crop, which is reduced to at most ``MOST_VOXELS`` voxels, gets the probability that
a walker who avoids edges in the image meets a foreground seed before a background seed. Foreground
seeds: small balls about the foreground points, and the middle of a box without a point. Background
seeds: background points and the crop's border.
"""

from typing import Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from zoo_sdk import Adapter as Base
from zoo_sdk import Crop, Prediction, Request, Target, Unsupported, each_target, read_image
from zoo_sdk.volume import spacing
from zoo_transforms.prompt_geometry import balls, box_slices, corner_of, prompt_window

POINT_RADIUS_MM = 70.0
BOX_MARGIN_MM = 4.0
SEED_MM = 4.0
#: how much an edge of one standard deviation hinders the walker
BETA = 90.0
MOST_VOXELS = 150_000
TOLERANCE = 1e-4


class Adapter(Base):
    """Needs no weights."""

    def predict(self, request: Request) -> Prediction:
        """Walk for each target."""
        image = read_image(request, next(iter(request.images)))

        def walk(target: Target) -> Any:
            if target.box is None and not any(point.foreground for point in target.points):
                return Unsupported("needs a box or a foreground point")
            window = prompt_window(request.grid, target, POINT_RADIUS_MM, BOX_MARGIN_MM)
            inside, outside = _seeds(request, target, window)
            step = np.array(spacing(request.grid.affine))
            every = _strides(inside.shape, step)
            coarse = tuple(slice(None, None, n) for n in every)
            # a seed between the coarse voxels must not be lost
            size = [2 * n - 1 for n in every]
            inside_seeds = ndimage.maximum_filter(inside, size=size)[coarse]
            outside_seeds = ndimage.maximum_filter(outside, size=size)[coarse] & ~inside_seeds
            smooth = ndimage.gaussian_filter(
                image.array[window].astype(np.float64), [n / 2 if n > 1 else 0 for n in every]
            )
            probability = random_walker(smooth[coarse], inside_seeds, outside_seeds, step * every)
            back = ndimage.zoom(
                probability,
                [n / c for n, c in zip(inside.shape, probability.shape)],
                order=1,
                grid_mode=False,
            )
            return Crop(((back > 0.5) | inside) & ~outside, corner_of(window))

        return Prediction(
            each_target(request, walk), notes={"beta": BETA, "most_voxels": MOST_VOXELS}
        )


def random_walker(values: Any, inside: Any, outside: Any, step: Any) -> Any:
    """Probability of each voxel to be inside, from two masks of seeds; ``step``: spacing in mm."""
    shape, count = values.shape, values.size
    scale = values.std() or 1.0
    number = np.arange(count).reshape(shape)
    rows, columns, weights = [], [], []
    for axis in range(3):
        first = number.take(range(shape[axis] - 1), axis).ravel()
        second = number.take(range(1, shape[axis]), axis).ravel()
        edge = (values.ravel()[first] - values.ravel()[second]) / scale
        rows.append(first)
        columns.append(second)
        weights.append((np.exp(-BETA * edge**2) + 1e-6) * (min(step) / step[axis]) ** 2)
    a, b, w = np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
    adjacency = sparse.coo_array((w, (a, b)), shape=(count, count)).tocsr()
    adjacency = adjacency + adjacency.T
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    laplacian = (sparse.diags_array(degree) - adjacency).tocsr()
    probability = inside.ravel().astype(np.float64)
    seeded = (inside | outside).ravel()
    free = np.flatnonzero(~seeded)
    if len(free):
        system = laplacian[free][:, free]
        right = -laplacian[free][:, np.flatnonzero(seeded)] @ probability[seeded]
        jacobi = sparse.diags_array(1 / system.diagonal())
        probability[free], _ = cg(system, right, rtol=TOLERANCE, maxiter=500, M=jacobi)
    return probability.reshape(shape)


def _seeds(request: Request, target: Target, window: Any) -> Any:
    shape = tuple(s.stop - s.start for s in window)
    points = [point.index for point in target.points if point.foreground]
    inside = balls(request.grid.affine, window, points, SEED_MM)
    # a correction does not replace the box as a seed; a click of the first round does
    first_clicks = [p for p in target.points if p.foreground and p.round == 0]
    if target.box is not None and not first_clicks:
        box = box_slices(target.box, request.grid.shape)
        low = np.array([b.start - w.start for b, w in zip(box, window)])
        size = np.array([b.stop - b.start for b in box])
        quarter = (size * 3) // 8
        inside[
            tuple(slice(l + q, max(l + n - q, l + q + 1)) for l, n, q in zip(low, size, quarter))
        ] = True
    outside = np.ones(shape, dtype=bool)
    outside[tuple(slice(1, -1) if n > 2 else slice(None) for n in shape)] = False
    background = [point.index for point in target.points if not point.foreground]
    false_positives = balls(request.grid.affine, window, background, SEED_MM)
    inside &= ~false_positives  # background clicks are corrections and win
    outside |= false_positives
    inside |= balls(request.grid.affine, window, points, 0.0)
    return inside, outside & ~inside


def _strides(shape: Any, step: Any) -> Any:
    """Take every n-th voxel along each axis, finest axes first, until the crop is small enough."""
    every = np.ones(3, dtype=int)
    while np.prod(np.ceil(np.array(shape) / every)) > MOST_VOXELS:
        every[int(np.argmin(step * every))] += 1
    return every
