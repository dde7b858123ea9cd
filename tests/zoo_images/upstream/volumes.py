"""Volumes for comparisons with upstream: all orientations, oblique, anisotropic, many types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from zoo_sdk import Grid, Point

#: name -> index of the RAS-like axes and their signs, Euler angles in degrees, voxel sizes, shape,
#: number type
VOLUMES = {
    "RAS CT int16": ((0, 1, 2), (1, 1, 1), (0, 0, 0), (0.9, 0.9, 2.5), (220, 200, 90), np.int16),
    "LPS CT int16": (
        (0, 1, 2),
        (-1, -1, 1),
        (0, 0, 0),
        (1.37, 1.37, 3.0),
        (180, 170, 80),
        np.int16,
    ),
    "PIR PET float32": (
        (1, 2, 0),
        (-1, -1, 1),
        (0, 0, 0),
        (4.07, 4.07, 4.07),
        (60, 70, 64),
        np.float32,
    ),
    "oblique MR float32": (
        (0, 1, 2),
        (1, 1, 1),
        (12, -7, 20),
        (1.2, 1.9, 1.2),
        (150, 100, 160),
        np.float32,
    ),
    "oblique LPI MR uint16": (
        (0, 1, 2),
        (-1, 1, -1),
        (-5, 9, 4),
        (2.03, 2.03, 5.1),
        (120, 110, 40),
        np.uint16,
    ),
    "anisotropic PET float32": (
        (0, 1, 2),
        (1, -1, 1),
        (0, 0, 0),
        (2.0, 2.0, 3.0),
        (100, 120, 90),
        np.float32,
    ),
}


def clicks_in(grid: Grid, seed: int, count: int) -> tuple[Point, ...]:
    """Clicks in the middle half of the volume; the second is background."""
    rng = np.random.default_rng(seed)
    points = []
    for number in range(count):
        index = tuple(int(rng.integers(size // 4, 3 * size // 4)) for size in grid.shape)
        x, y, z = (np.asarray(grid.affine) @ [*index, 1])[:3]
        points.append(Point(index=index, ras_mm=(x, y, z), foreground=number != 1))
    return tuple(points)


def half_way(network_grid, grid) -> np.ndarray:
    """Voxels of the image half-way between two of the network's grid: ITK rounds either way."""
    across = np.linalg.inv(network_grid.affine) @ np.asarray(grid.affine)
    places = np.tensordot(across[:3, :3], np.indices(grid.shape), 1) + across[:3, 3].reshape(
        3, 1, 1, 1
    )
    return (abs(places - np.floor(places) - 0.5) < 1e-3).any(axis=0)


def write_volume(
    path: Path, seed: int, order, signs, angles, sizes, shape, dtype, air: float | None = None
) -> None:
    """Smooth noise, partly negative if the number type and modality allow it.

    ``air``: the value outside an ellipsoid.
    """
    rng = np.random.default_rng(seed)
    array = SimpleITK.GetArrayFromImage(
        SimpleITK.SmoothingRecursiveGaussian(
            SimpleITK.GetImageFromArray(rng.normal(size=shape[::-1])), 4.0
        )
    ).T
    array = array / array.std() * 300 + 100
    if dtype != np.int16:
        array = abs(array)
    if air is not None:
        i, j, k = np.ix_(*(np.linspace(-1.25, 1.3, n) ** 2 for n in shape))
        squared_radius = i + j + k
        array = np.where(squared_radius <= 1, array, air)
    turned = np.zeros((3, 3))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        turned[row, column] = sign
    direction = euler(angles) @ turned
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.astype(dtype).T))
    image.SetSpacing(sizes)
    image.SetDirection((np.diag([-1.0, -1.0, 1.0]) @ direction).ravel().tolist())
    image.SetOrigin(rng.uniform(-200, 200, 3).tolist())
    SimpleITK.WriteImage(image, str(path))


def euler(angles) -> np.ndarray:
    """Rotation by angles in degrees about x, y, z."""
    transform = SimpleITK.Euler3DTransform()
    transform.SetRotation(*np.radians(angles))
    return np.array(transform.GetMatrix()).reshape(3, 3)
