"""Bodies and fields of view: volumes and shifts that are known, on oblique and tiny grids."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.datasets.scan_summary import border_faces, content_hash
from evaluator.imaging.body_masks import body_shift_mm, find_body
from evaluator.imaging.field_overlap import shared_field
from evaluator.imaging.geometry import make_grid, to_world
from evaluator.imaging.grid_masks import crop_mask

#: flipped, permuted, anisotropic; and oblique
STRAIGHT = make_grid(
    (60, 40, 50), [[0, 0, -5, 120], [-6, 0, 0, 180], [0, 7, 0, -140], [0, 0, 0, 1]]
)
OBLIQUE = make_grid(
    (50, 55, 45),
    np.float32([[6, -1.2, 0, -130], [1.2, 6, 0, -180], [0, 0, 7, -150], [0, 0, 0, 1]]),
)
RADII = np.array([70.0, 90, 110])


def ellipsoid(grid, centre) -> np.ndarray:
    index = np.indices(grid.shape).reshape(3, -1).T
    places = to_world(np.array(grid.affine), index)
    inside = (((places - np.array(centre)) / RADII) ** 2).sum(axis=1) <= 1
    return inside.reshape(grid.shape)


@pytest.mark.parametrize("shift", [(0, 0, 0), (12, 0, 0), (0, -9, 20)])
def test_the_shift_and_volume_of_an_ellipsoid(shift) -> None:
    ct = np.where(ellipsoid(STRAIGHT, (0, 0, 0)), 40, -1000).astype(np.float32)
    pet = np.where(ellipsoid(OBLIQUE, shift), 1.2, 0.0).astype(np.float32)
    first, second = find_body(ct, STRAIGHT, "HU"), find_body(pet, OBLIQUE, "relative")
    assert first is not None and second is not None
    volume = 4 / 3 * np.pi * RADII.prod() / 1000
    assert first.volume_ml == pytest.approx(volume, rel=0.03)
    assert second.volume_ml == pytest.approx(volume, rel=0.03)
    assert second.mean == pytest.approx(1.2)
    assert body_shift_mm(first, second) == pytest.approx(float(np.linalg.norm(shift)), abs=1.5)


def test_bodies_without_a_common_field_and_without_a_body() -> None:
    far = make_grid(STRAIGHT.shape, np.array(STRAIGHT.affine) + np.diag([0, 0, 0, 0.0]))
    affine = np.array(far.affine)
    affine[0, 3] += 5000
    away = make_grid(far.shape, affine)
    ct = np.where(ellipsoid(STRAIGHT, (0, 0, 0)), 40, -1000).astype(np.float32)
    first, second = find_body(ct, STRAIGHT, "HU"), find_body(ct, away, "HU")
    assert body_shift_mm(first, second) is None
    assert shared_field(STRAIGHT, away) == 0
    assert find_body(np.full(STRAIGHT.shape, -1000, np.float32), STRAIGHT, "HU") is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 30, 1), (2, 3, 1)])
def test_volumes_that_are_smaller_than_the_steps(shape) -> None:
    grid = make_grid(shape, np.eye(4))
    body = find_body(np.ones(shape, np.float32), grid, "HU")
    assert body is not None and len(body.places) >= 1


def test_the_part_of_a_field_that_is_shared() -> None:
    small = make_grid((20, 20, 20), np.diag([2.0, 2, 2, 1]))
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 3] = 30.0  # three quarters of the width
    moved = make_grid((20, 20, 20), affine)
    assert shared_field(small, small) == 1
    assert shared_field(small, moved) == pytest.approx(0.25, abs=0.03)


def test_a_hash_does_not_depend_on_the_axes_of_the_file() -> None:
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    grid = make_grid(values.shape, np.diag([2.0, 3, 4, 1]))
    turned = make_grid((7, 5, 6), [[0, -2, 0, 8], [0, 0, 3, 0], [4, 0, 0, 0], [0, 0, 0, 1]])
    stored = np.ascontiguousarray(values[::-1].transpose(2, 0, 1))
    assert content_hash(stored, turned) == content_hash(values, grid)
    assert content_hash(values[::-1], grid) != content_hash(values, grid)


def test_faces_that_a_mask_touches() -> None:
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[0:3, 4, 8:10] = 1
    lps = make_grid(mask.shape, np.diag([-1.0, -1, 1, 1]))
    assert border_faces(crop_mask(mask, lps)) == "RS"
    assert border_faces(crop_mask(mask, make_grid(mask.shape, np.eye(4)))) == "LS"
