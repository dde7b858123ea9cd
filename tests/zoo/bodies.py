"""A synthetic body for tests of adapters: organs and an image defined in the world, on any grid.

An ideal network answers from the reference; before it does, it looks whether what it was handed is
the image where the adapter says that it lies (``Body.shows``). So an adapter that flips an array
without its affine cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from evaluator.imaging.geometry import make_grid, nearest_index
from zoo_sdk import Point, Request, Target, Volume
from zoo_sdk.wire import Grid, ImageFile
from zoo_transforms.resampling import VoxelGrid, sample, voxel_grid_of

#: organ -> centre and semi-axes of an ellipsoid, mm; the first three are larger than many networks'
#: patches
ORGANS = {
    "lung": ((70, 10, 20), (45, 75, 130)),
    "aorta": ((-10, -45, 0), (11, 11, 170)),
    "liver": ((-65, 15, -20), (62, 72, 78)),
    "kidney-left": ((18, 25, -95), (22, 28, 50)),
    "spleen": ((20, 60, 80), (25, 35, 45)),
    "pancreas": ((10, -5, -15), (9, 14, 30)),
    "lesion": ((-70, -55, 110), (9, 10, 9)),
}
LARGE = ("lung", "aorta")
FIELD_MM = (280, 230, 380)


def turn(x: float, y: float, z: float) -> np.ndarray:
    """A rotation by Euler angles in degrees."""
    x, y, z = np.radians((x, y, z))
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


#: grid -> directions of the axes (columns, LPS or RAS signs included), voxel sizes in mm, number
#: type, modality
GRIDS = {
    "RAS CT": (np.eye(3), (2.2, 2.2, 3.0), np.int16, "CT"),
    "LPS CT": (np.diag([-1.0, -1.0, 1.0]), (1.9, 1.9, 2.5), np.int16, "CT"),
    "PIR MR": (np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), (2.4, 2.0, 2.7), np.float32, "MR"),
    "oblique MR": (turn(14, -9, 21), (2.0, 2.6, 2.1), np.float32, "MR"),
    "oblique LPI CT": (
        turn(-6, 11, 4) @ np.diag([-1.0, 1.0, -1.0]),
        (2.1, 2.1, 4.0),
        np.int16,
        "CT",
    ),
    "anisotropic CT": (np.eye(3), (1.4, 1.7, 5.0), np.float32, "CT"),
    "PET": (np.diag([-1.0, 1.0, 1.0]), (4.07, 4.07, 3.0), np.float32, "PT"),
    "oblique PET": (turn(3, 5, -12)[:, [1, 0, 2]], (3.6, 4.1, 3.3), np.float32, "PT"),
}


@dataclass(frozen=True)
class Body:
    """The body on one grid: an image and a label map (an organ's index in ``ORGANS``, plus 1)."""

    name: str
    grid: Grid
    modality: str
    image: Volume
    labels: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        return np.asarray(self.grid.affine)

    @cached_property
    def volumes_ml(self) -> dict[str, float]:
        voxel = abs(np.linalg.det(self.affine[:3, :3])) / 1000
        return {organ: float((self.labels == n).sum()) * voxel for n, organ in enumerate(ORGANS, 1)}

    def label_of(self, organ: str) -> int:
        return list(ORGANS).index(organ) + 1

    def mask(self, organ: str) -> np.ndarray:
        return self.labels == self.label_of(organ)

    def click(self, organ: str) -> Point:
        """A click on the organ's middle."""
        index = nearest_index(self.grid, np.array(ORGANS[organ][0], dtype=float))
        x, y, z = (self.affine @ [*index, 1])[:3]
        return Point(index=index, ras_mm=(x, y, z))

    def request(self, *organs: str, **options: str) -> Request:
        """A click for each organ."""
        targets = tuple(
            Target(name=organ, text=organ, points=(self.click(organ),)) for organ in organs
        )
        images = {self.modality: ImageFile("image.nii.gz", self.image.unit)}
        return Request("r", "c", 0, images, self.grid, targets, options=options)

    def label_at(self, place_mm: np.ndarray) -> int:
        """The label of a place of the world."""
        index = np.floor(np.linalg.inv(self.affine) @ [*place_mm, 1] + 0.5).astype(int)[:3]
        inside = all(0 <= n < size for n, size in zip(index, self.labels.shape, strict=True))
        return int(self.labels[tuple(index)]) if inside else 0

    def labels_in(self, patch: Volume) -> np.ndarray:
        """The reference in a network's input space, by nearest voxel."""
        return nearest_on(self.labels, self.affine, VoxelGrid(patch.array.shape, patch.affine))

    def shows(self, patch: Volume, at_most: float = np.inf, hidden: float | None = None) -> None:
        """Assert that a network's input is this image at the position that its affine states.

        ``at_most``: where a pipeline cuts bright values; ``hidden``: what stands where it shows
        nothing of the image.
        """
        # every other voxel will do
        values = patch.array[::2, ::2, ::2]
        voxel_grid = VoxelGrid(values.shape, patch.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
        # an image's outermost half voxel belongs to some pipelines' input space, and not to others'
        inner = np.pad(np.ones([n - 2 for n in self.labels.shape], bool), 1)
        inside = nearest_on(inner, self.affine, voxel_grid)
        inside &= values != hidden
        assert inside.sum() > 125, "the network was shown nothing of the image"
        expected = np.minimum(appearance(voxel_grid)[inside], at_most)
        assert np.corrcoef(expected, values[inside])[0, 1] > 0.98


def nearest_on(array: np.ndarray, affine: np.ndarray, grid: VoxelGrid) -> np.ndarray:
    """The array's nearest voxels on a grid, zero outside; the grid may be turned against it."""
    try:
        return sample(array, affine, grid, nearest=True, outside=0)
    except ValueError:
        matrix = np.linalg.inv(affine) @ grid.affine
        options = {"output_shape": grid.shape, "order": 0, "mode": "constant"}
        turned = ndimage.affine_transform(array.astype(np.uint8), matrix, **options)
        return turned.astype(array.dtype)


def appearance(voxel_grid: VoxelGrid) -> np.ndarray:
    """The image: smooth, positive, and different in all directions."""
    i, j, k = np.indices(voxel_grid.shape, sparse=True)
    a = voxel_grid.affine
    x, y, z = (a[n, 0] * i + a[n, 1] * j + a[n, 2] * k + a[n, 3] for n in range(3))
    return (
        900 + 300 * np.sin(x / 61 + 0.4) + 230 * np.sin(y / 47 + 1.1) + 260 * np.sin(z / 83 - 0.7)
    )


#: as ``GRIDS``, but too large for tests of every model
FURTHER_GRIDS = {"fine CT": (np.diag([-1.0, -1.0, 1.0]), (1.2, 1.2, 1.2), np.int16, "CT")}


def body(name: str) -> Body:
    """The body on the grid of this name."""
    directions, sizes, dtype, modality = (GRIDS | FURTHER_GRIDS)[name]
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(sizes)
    reach = np.abs(np.linalg.inv(directions)) @ np.array(FIELD_MM)
    shape = tuple(int(n) for n in np.round(reach / sizes))
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    grid = make_grid(shape, affine.astype(np.float32))
    image_grid = voxel_grid_of(grid)
    image = appearance(image_grid).astype(dtype)
    i, j, k = np.indices(shape, sparse=True)
    places = [
        image_grid.affine[n, 0] * i
        + image_grid.affine[n, 1] * j
        + image_grid.affine[n, 2] * k
        + image_grid.affine[n, 3]
        for n in range(3)
    ]
    labels = np.zeros(shape, np.uint8)
    for label, (centre, axes) in enumerate(ORGANS.values(), 1):
        distance = sum(
            ((place - c) / r) ** 2 for place, c, r in zip(places, centre, axes, strict=True)
        )
        labels[distance <= 1] = label
    unit = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}[modality]
    volume = Volume(
        image.astype(np.float32), image_grid.affine, unit, np.issubdtype(dtype, np.integer)
    )
    return Body(name, grid, modality, volume, labels)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(float(a.sum()) + float(b.sum()), 1.0)
