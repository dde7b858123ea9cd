"""Draw a body on a grid: exact labels, and the CT, MR or PET image of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from evaluator.datasets.phantom.anatomy import ADULT, ORGANS, TISSUES
from evaluator.imaging.geometry import affine_of, spacing, to_index

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evaluator.datasets.phantom.anatomy import Body, Shape
    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

LABELS = {name: value for value, name in enumerate((*ORGANS, *TISSUES), 1)}

#: tissue -> HU of CT, SUV of FDG PET, signal of T1-weighted MR (arbitrary)
TISSUE_VALUES = {
    "air": (-1000.0, 0.0, 8.0), "body": (-95.0, 0.3, 420.0), "muscle": (50.0, 0.7, 170.0),
    "bone": (420.0, 0.9, 90.0), "liver": (105.0, 2.3, 240.0), "kidney-left": (160.0, 4.5, 185.0),
    "kidney-right": (160.0, 4.5, 185.0),
    "brain": (36.0, 8.0, 215.0), "heart": (130.0, 4.0, 150.0), "spleen": (115.0, 1.9, 155.0),
    "aorta": (165.0, 1.7, 110.0), "lung": (-820.0, 0.5, 30.0), "colon": (15.0, 1.4, 200.0),
    "bladder": (8.0, 18.0, 75.0), "pancreas": (85.0, 1.6, 255.0), "esophagus": (45.0, 1.5, 180.0),
    "stomach": (30.0, 1.8, 140.0),
}  # fmt: skip
#: exponent of the subjects' tissue factors for each modality; the heart's uptake, 1 to 10 SUV,
#: depends on the last meal
SPREAD = {"CT": 0.0, "PT": 1.0, "MR": 0.3}
HEART_UPTAKE_SPREAD = 2.5
CT_NOISE_HU = 18.0
CT_BLUR_MM = 1.0
PET_FWHM_MM = 6.0
PET_NOISE = 0.12
MR_NOISE = 9.0
MR_BIAS = 0.25
FWHM = 2.3548


def render_labels(body: Body, grid: Grid) -> NDArray[np.uint8]:
    """The label of each voxel's centre.

    Returns:
        uint8 (i, j, k): organs 1 to 13, other tissues above, 0 for air.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for name in ADULT:
        for shape in body.shapes[name]:
            _paint(labels, grid, shape, LABELS[name])
    return labels


def render_image(
    body: Body, grid: Grid, labels: NDArray[np.uint8], modality: Modality, rng: Generator
) -> NDArray[Any]:
    """Simulate the image of a body.

    Args:
        body: the subject.
        grid: the image's grid.
        labels: of ``render_labels`` on that grid, (i, j, k).
        modality: "CT", "MR" or "PT".
        rng: for the noise.

    Returns:
        (i, j, k): CT int16 in HU, MR int16 in a.u., PET float32 in SUV.
    """
    column = ("CT", "PT", "MR").index(modality)
    values = np.zeros(256, dtype=np.float32)
    values[0] = TISSUE_VALUES["air"][column]
    for name, label in LABELS.items():
        spread = HEART_UPTAKE_SPREAD if (name, modality) == ("heart", "PT") else SPREAD[modality]
        values[label] = TISSUE_VALUES[name][column] * body.tissue_factors[name] ** spread
    image: Any = values[labels]
    step = np.array(spacing(affine_of(grid)))
    if modality == "PT":
        image = scipy.ndimage.gaussian_filter(image, PET_FWHM_MM / FWHM / step)
        noise = rng.standard_normal(grid.shape, dtype=np.float32)
        pet: NDArray[Any] = np.maximum(
            image + PET_NOISE * np.sqrt(np.maximum(image, 0)) * noise, 0
        ).astype(np.float32)
        return pet
    image = scipy.ndimage.gaussian_filter(image, CT_BLUR_MM / step)
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    if modality == "CT":
        ct: NDArray[Any] = np.clip(image + CT_NOISE_HU * noise, -1024, 3071).astype(np.int16)
        return ct
    imaginary_noise = rng.standard_normal(grid.shape, dtype=np.float32)
    real = image * _bias(grid.shape, rng) + MR_NOISE * noise
    magnitude = np.hypot(real, MR_NOISE * imaginary_noise)
    mr: NDArray[Any] = magnitude.astype(np.int16)
    return mr


def _paint(labels: NDArray[np.uint8], grid: Grid, shape: Shape, label: int) -> None:
    affine = affine_of(grid)
    low, high = shape.bounds()
    corners = to_index(affine, np.array(list(product(*zip(low, high, strict=True)))))
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, grid.shape)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, grid.shape)
    if (first >= last).any():
        return
    window = tuple(slice(f, l) for f, l in zip(first, last, strict=True))
    index = np.ogrid[window]
    x, y, z = (_world_coordinate(affine[n], index) for n in range(3))
    labels[window][shape.contains(x, y, z)] = label


def _world_coordinate(row: NDArray[np.float64], index: Any) -> Any:
    """One world coordinate (mm) of an open mesh of voxel indices, by a row of the affine."""
    return sum(row[axis] * index[axis] for axis in range(3)) + row[3]


def _bias(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:
    """A smooth field of about 1, like the bias of a receive coil."""
    i, j, k = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    a, b, c = rng.uniform(-MR_BIAS, MR_BIAS, 3)
    field: NDArray[np.float32] = (
        1 + a * i[:, None, None] + b * (j**2)[None, :, None] + c * np.cos(2 * k)[None, None, :]
    ).astype(np.float32)
    return field
