"""Snapshots of volumes of one slice, one row and one voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evaluator.report.cases.slices import Image, png_size, projection, three_planes


@pytest.mark.parametrize(
    "shape",
    [(24, 20, 1), (1, 20, 16), (24, 1, 16), (1, 1, 16), (16, 1, 1), (1, 1, 1), (9, 8, 2)],
)
@pytest.mark.parametrize("steps", [(1.5, 1.5, 5.0), (2.0, 2.0, 60.0)])
def test_thin_volumes_are_drawn(shape: Any, steps: Any) -> None:
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = (-20, 30, 700)
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in shape)] = 1
    array = mask * np.float32(60) + np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    image = Image(modality="CT", array=array, affine=affine)
    for picture in (three_planes(image, "liver", mask, mask), projection(image, mask, mask)):
        width, height = png_size(picture)
        assert 100 < height < width < 2000
