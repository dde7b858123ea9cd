"""Voxel grids against nibabel's orientations and scipy's and SimpleITK's interpolation."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from evaluator.imaging.geometry import make_grid
from zoo_sdk.recent import Recent
from zoo_transforms.intensity import Undefined, standardised
from zoo_transforms.patches import box_of, gaussian
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    oriented,
    place_in,
    put_back,
    respaced,
    respaced_from_first,
    reversed_axes,
    sample,
    voxel_grid_of,
    voxel_of,
    window,
)


@st.composite
def grids(draw):
    """Oblique, flipped, permuted, anisotropic grids, without a tie between two orientations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    small = np.linalg.qr(np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))[0]
    turned = (small * np.sign(np.diag(small)))[:, rng.permutation(3)] @ np.diag(
        rng.choice([-1, 1], 3)
    )
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag(rng.uniform(0.7, 4, 3))
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    shape = tuple(int(n) for n in rng.integers(4, 15, 3))
    return make_grid(shape, affine.astype(np.float32)), rng.normal(size=shape).astype(np.float32)


@given(grids())
def test_canonical_is_nibabels(example):
    grid, array = example
    voxel_grid = canonical(voxel_grid_of(grid))
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, np.array(grid.affine)))
    np.testing.assert_allclose(voxel_grid.affine, theirs.affine, atol=1e-5)
    np.testing.assert_array_equal(
        sample(array, grid.affine, voxel_grid), np.asarray(theirs.dataobj)
    )
    np.testing.assert_array_equal(
        put_back(np.asarray(theirs.dataobj) > 0, voxel_grid, grid), array > 0
    )


@given(grids(), st.sampled_from(["SPL", "SAR", "LPS", "AIR"]))
def test_oriented_is_nibabels(example, codes):
    grid, array = example
    voxel_grid = oriented(voxel_grid_of(grid), codes)
    image = nibabel.Nifti1Image(array, np.array(grid.affine))
    orientation = nibabel.orientations.axcodes2ornt(codes)
    image_orientation = nibabel.io_orientation(image.affine)
    theirs = image.as_reoriented(
        nibabel.orientations.ornt_transform(image_orientation, orientation)
    )
    np.testing.assert_allclose(voxel_grid.affine, theirs.affine, atol=1e-5)
    np.testing.assert_array_equal(
        sample(array, grid.affine, voxel_grid), np.asarray(theirs.dataobj)
    )


@given(grids())
def test_reversed_axes_are_simpleitks_arrays(example):
    grid, array = example
    voxel_grid = reversed_axes(voxel_grid_of(grid))
    np.testing.assert_array_equal(sample(array, grid.affine, voxel_grid), array.transpose(2, 1, 0))
    np.testing.assert_array_equal(
        put_back(array.transpose(2, 1, 0) > 0, voxel_grid, grid), array > 0
    )


def in_image(voxel_grid, grid):
    """Index of each voxel of a space in the image: (3, ...)."""
    index = np.indices(voxel_grid.shape).reshape(3, -1)
    across = np.linalg.inv(np.array(grid.affine)) @ voxel_grid.affine
    return across[:3, :3] @ index + across[:3, 3:]


@settings(deadline=None)
@given(grids(), st.floats(0.6, 5), st.integers(-9, 9))
def test_sampling_is_scipys(example, step, start):
    grid, array = example
    voxel_grid = window(
        canonical(respaced(voxel_grid_of(grid), (step, 1.3, 2.0))), (start, -2, 3), (9, 8, 11)
    )
    places = in_image(voxel_grid, grid)
    inside = np.all((places > -0.499) & (places < np.array(grid.shape)[:, None] - 0.501), axis=0)
    expected = map_coordinates(array.astype(float), places, order=1, mode="nearest")
    mine = sample(array, grid.affine, voxel_grid, outside=-77).reshape(-1)
    np.testing.assert_allclose(mine[inside], expected[inside], atol=2e-4)
    beyond = np.any((places < -0.501) | (places > np.array(grid.shape)[:, None] - 0.499), axis=0)
    assert (mine[beyond] == -77).all()
    sure = inside & np.all(abs(places - np.floor(places) - 0.5) > 1e-3, axis=0)
    nearest = sample(array, grid.affine, voxel_grid, nearest=True).reshape(-1)
    np.testing.assert_array_equal(
        nearest[sure], array[tuple(np.floor(places[:, sure] + 0.5).astype(int))]
    )


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, bool])
def test_whole_numbers_are_sampled_as_numbers(kind):
    """A step down between two of them lies between them, also where they have no sign."""
    grid = make_grid((4, 3, 5), np.diag([2.0, 1.5, 1.0, 1.0]))
    array = (np.indices(grid.shape).sum(axis=0) % 2 * 200).astype(kind)
    finer = respaced_from_first(voxel_grid_of(grid), (0.7, 0.7, 0.7))
    assert np.array_equal(
        sample(array, grid.affine, finer), sample(array.astype(np.float64), grid.affine, finer)
    )


@pytest.mark.parametrize("step", [1.5, 2.0, 0.9])
def test_respacing_is_simpleitks_between_equal_centres(step):
    """The grid about the centre, floor of the extent: the result of torchio's Resample."""
    grid = make_grid((20, 15, 11), np.diag([1.25, 1.25, 3.0, 1.0]))
    array = np.random.default_rng(0).normal(size=grid.shape)
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing((1.25, 1.25, 3.0))
    size = [
        int(np.floor(n * old / step)) for n, old in zip(grid.shape, (1.25, 1.25, 3.0), strict=True)
    ]
    origin = [
        ((n - 1) * old - (m - 1) * step) / 2
        for n, m, old in zip(grid.shape, size, (1.25, 1.25, 3.0), strict=True)
    ]
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing((step,) * 3)
    resampler.SetOutputOrigin(origin)
    theirs = SimpleITK.GetArrayFromImage(resampler.Execute(image)).transpose(2, 1, 0)
    voxel_grid = respaced(voxel_grid_of(grid), (step,) * 3)
    assert voxel_grid.shape == theirs.shape
    np.testing.assert_allclose(voxel_grid.affine[:3, 3], origin, atol=1e-9)
    np.testing.assert_allclose(sample(array, grid.affine, voxel_grid), theirs, atol=1e-9)


@given(grids(), st.floats(0.4, 5), st.booleans())
def test_respacing_from_the_first_voxel(example, step, straight):
    """The first voxel stays, the last is the nearest to the image's last, edge values continue.

    On axes that slant by the header's rounding MONAI's grid moves (docs/validation/sat.md compares
    it with MONAI itself).
    """
    grid, array = example
    if straight:
        grid = make_grid(grid.shape, np.diag([1.5, -0.75, 3.0, 1.0]))
    image_grid = voxel_grid_of(grid)
    voxel_grid = respaced_from_first(image_grid, (step, 1.5, 2.0))
    np.testing.assert_allclose(voxel_grid.spacing, (step, 1.5, 2.0))
    across = np.linalg.inv(image_grid.affine) @ voxel_grid.affine
    if straight or np.allclose(across[:3, 3], 0):
        np.testing.assert_allclose(across[:3, 3], 0, atol=1e-9)
        beyond = (np.array(voxel_grid.shape) - 1) * voxel_grid.spacing - (
            np.array(grid.shape) - 1
        ) * image_grid.spacing
        assert (abs(beyond) <= np.array(voxel_grid.spacing) / 2 + 1e-4).all()
        # every voxel of the image has one that is nearest
        assert put_back(np.ones(voxel_grid.shape, bool), voxel_grid, grid).all()
    else:
        middle = across @ [*(n / 2 for n in voxel_grid.shape), 1]
        np.testing.assert_allclose(middle[:3], np.array(image_grid.shape) / 2, atol=1e-6)
    assert put_back(np.ones(voxel_grid.shape, bool), voxel_grid, grid, outside=None).all()
    places = in_image(voxel_grid, grid)
    expected = map_coordinates(array.astype(float), places, order=1, mode="nearest")
    np.testing.assert_allclose(
        sample(array, grid.affine, voxel_grid, outside=None).reshape(-1), expected, atol=1e-3
    )


@given(grids())
def test_a_place_between_voxels(example):
    grid, _ = example
    voxel_grid = canonical(voxel_grid_of(grid))
    index = np.random.default_rng(0).uniform(-3, 12, 3)
    np.testing.assert_allclose(
        place_in(voxel_grid, (voxel_grid.affine @ [*index, 1])[:3]), index, atol=1e-3
    )
    assert place_in(voxel_grid, (voxel_grid.affine @ [2 + 1e-6, 5, 4, 1])[:3]) == (2, 5, 4)


@given(grids())
def test_a_click_is_found_where_it_was_made(example):
    grid, _ = example
    voxel_grid = canonical(voxel_grid_of(grid))
    index = tuple(n // 2 for n in grid.shape)
    mask = np.zeros(grid.shape, bool)
    mask[index] = True
    place = (np.array(grid.affine) @ [*index, 1])[:3]
    voxels = np.argwhere(sample(mask, grid.affine, voxel_grid, nearest=True, outside=False))
    assert [voxel_of(voxel_grid, place)] == [tuple(row) for row in voxels]
    start = (-3, 2, 1)
    inside = voxel_of(window(voxel_grid, start, (9, 9, 9)), place)
    assert inside == tuple(a - b for a, b in zip(voxel_of(voxel_grid, place), start, strict=True))


def test_what_was_not_derived_is_refused():
    grid = make_grid((8, 8, 8), np.eye(4))
    tilted = np.eye(4)
    tilted[:2, :2] = [[0.9, -0.4], [0.4, 0.9]]
    with pytest.raises(ValueError, match="not derived"):
        sample(np.zeros(grid.shape), grid.affine, VoxelGrid((8, 8, 8), tilted))
    far = window(voxel_grid_of(grid), (100, 0, 0), (4, 4, 4))
    assert (sample(np.ones(grid.shape), grid.affine, far, outside=5) == 5).all()
    assert not put_back(np.ones((4, 4, 4), bool), far, grid).any()
    flat = respaced(voxel_grid_of(make_grid((9, 1, 9), np.eye(4))), (2, 2, 20))
    assert flat.shape == (4, 1, 1)


def test_standardised():
    values = np.random.default_rng(0).normal(5, 3, 1000)
    result = standardised(values, values > 0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[values > 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(result[values > 0].std(ddof=1), 1, atol=1e-6)
    for nothing in (np.zeros(9), np.full(9, 3.0), np.eye(1)):
        with pytest.raises(ValueError, match="nothing to standardise by"):
            standardised(nothing, nothing > 0)


def test_recent_drops_the_least_recently_used():
    computed, recent = [], Recent(2)
    for key in "abacab":
        recent.get(key, lambda key=key: computed.append(key) or key)
    assert "".join(computed) == "abcb"


def test_gaussian_is_a_point_blurred():
    shape = (16, 24, 8)
    point = np.zeros(shape)
    point[8, 12, 4] = 1
    blurred = gaussian_filter(point, [n / 8 for n in shape], mode="constant")
    expected = (blurred / blurred.max() * 10).astype(np.float16)
    weights = gaussian(shape)
    np.testing.assert_allclose(weights[expected > 0], expected[expected > 0], rtol=1e-3)
    assert (weights[expected == 0] == expected[expected > 0].min()).all()


def test_box_of():
    where = np.zeros((5, 6, 7), bool)
    with pytest.raises(Undefined):
        box_of(where)
    where[1, 4, 2] = where[3, 2, 2] = True
    assert box_of(where) == (slice(1, 4), slice(2, 5), slice(2, 3))
