"""Paint a body onto a grid: labels exactly, then what CT, MR or PET would show of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter

from evaluator.datasets.phantom.anatomy import ADULT, ORGANS, TISSUES
from evaluator.imaging.geometry import affine_of, spacing, to_index

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evaluator.datasets.phantom.anatomy import Body, Part
    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

LABELS = {name: value for value, name in enumerate((*ORGANS, *TISSUES), 1)}

#: tissue -> HU of CT, SUV of FDG PET, signal of T1-weighted MR (arbitrary)
LOOKS = {
    "air": (-1000.0, 0.0, 8.0), "body": (-95.0, 0.3, 420.0), "muscle": (50.0, 0.7, 170.0), "bone": (420.0, 0.9, 90.0),
    "liver": (105.0, 2.3, 240.0), "kidney-left": (160.0, 4.5, 185.0), "kidney-right": (160.0, 4.5, 185.0),
    "brain": (36.0, 8.0, 215.0), "heart": (130.0, 4.0, 150.0), "spleen": (115.0, 1.9, 155.0),
    "aorta": (165.0, 1.7, 110.0), "lung": (-820.0, 0.5, 30.0), "colon": (15.0, 1.4, 200.0),
    "bladder": (8.0, 18.0, 75.0), "pancreas": (85.0, 1.6, 255.0), "esophagus": (45.0, 1.5, 180.0),
    "stomach": (30.0, 1.8, 140.0),
}  # fmt: skip
#: how the subjects' vigour shows: its power for each modality; the heart's uptake hangs on the last meal, 1 to 10 SUV
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
    """The label of each voxel's centre, uint8 (i, j, k): organs 1 to 13, further tissues above, 0 is air."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for name in ADULT:
        for part in body.parts[name]:
            _paint(labels, grid, part, LABELS[name])
    return labels


def render_image(
    body: Body, grid: Grid, labels: NDArray[np.uint8], modality: Modality, chance: Generator
) -> NDArray[Any]:
    """The image (i, j, k): CT int16 HU, MR int16 a.u., PET float32 SUV."""
    column = ("CT", "PT", "MR").index(modality)
    looks = np.zeros(256, dtype=np.float32)
    looks[0] = LOOKS["air"][column]
    for name, label in LABELS.items():
        spread = HEART_UPTAKE_SPREAD if (name, modality) == ("heart", "PT") else SPREAD[modality]
        looks[label] = LOOKS[name][column] * body.vigour[name] ** spread
    image: Any = looks[labels]
    step = np.array(spacing(affine_of(grid)))
    if modality == "PT":
        image = gaussian_filter(image, PET_FWHM_MM / FWHM / step)
        noise = chance.standard_normal(grid.shape, dtype=np.float32)
        pet: NDArray[Any] = np.maximum(
            image + PET_NOISE * np.sqrt(np.maximum(image, 0)) * noise, 0
        ).astype(np.float32)
        return pet
    image = gaussian_filter(image, CT_BLUR_MM / step)
    noise = chance.standard_normal(grid.shape, dtype=np.float32)
    if modality == "CT":
        ct: NDArray[Any] = np.clip(image + CT_NOISE_HU * noise, -1024, 3071).astype(np.int16)
        return ct
    other = chance.standard_normal(grid.shape, dtype=np.float32)
    shaped = np.hypot(image * _bias(grid.shape, chance) + MR_NOISE * noise, MR_NOISE * other)
    mr: NDArray[Any] = shaped.astype(np.int16)
    return mr


def _paint(labels: NDArray[np.uint8], grid: Grid, part: Part, label: int) -> None:
    affine = affine_of(grid)
    low, high = part.bounds()
    corners = to_index(affine, np.array(list(product(*zip(low, high, strict=True)))))
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, grid.shape)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, grid.shape)
    if (first >= last).any():
        return
    window = tuple(slice(f, l) for f, l in zip(first, last, strict=True))
    index = np.ogrid[window]
    x, y, z = (sum(affine[n, a] * index[a] for a in range(3)) + affine[n, 3] for n in range(3))
    labels[window][part.contains(x, y, z)] = label


def _bias(shape: tuple[int, ...], chance: Generator) -> NDArray[np.float32]:
    """A smooth field about 1, as a receive coil leaves it."""
    i, j, k = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    a, b, c = chance.uniform(-MR_BIAS, MR_BIAS, 3)
    field: NDArray[np.float32] = (
        1 + a * i[:, None, None] + b * (j**2)[None, :, None] + c * np.cos(2 * k)[None, None, :]
    ).astype(np.float32)
    return field
