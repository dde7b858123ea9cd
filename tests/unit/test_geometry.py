from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import (
    affine_of,
    difference,
    make_grid,
    nearest_index,
    orientation,
    spacing,
    to_index,
    to_world,
    voxel_ml,
)


@st.composite
def grids(draw):
    """Oblique, flipped, anisotropic, non-square."""
    turns = draw(st.tuples(*[st.floats(-np.pi, np.pi)] * 3))
    steps = draw(st.tuples(*[st.floats(0.4, 6)] * 3))
    flips = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = _rotation(*turns) @ np.diag(np.multiply(steps, flips))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return make_grid(shape, affine[:, :])


def _rotation(a, b, c):
    def about(axis, angle):
        i, j = [n for n in range(3) if n != axis]
        R = np.eye(3)
        R[i, i] = R[j, j] = np.cos(angle)
        R[i, j], R[j, i] = -np.sin(angle), np.sin(angle)
        return R

    return about(0, a) @ about(1, b) @ about(2, c)


@given(grids())
def test_to_index_inverts_to_world(grid):
    index = np.argwhere(np.ones(grid.shape))
    back = to_index(affine_of(grid), to_world(affine_of(grid), index))
    np.testing.assert_allclose(back, index, atol=1e-6)


@given(grids())
def test_every_voxel_is_nearest_to_its_centre(grid):
    for index in ((0, 0, 0), tuple(n - 1 for n in grid.shape)):
        assert nearest_index(grid, to_world(affine_of(grid), np.array(index))) == index
    outside = to_world(affine_of(grid), np.array([-0.6, 0, 0]))
    assert nearest_index(grid, outside) is None


@given(grids())
def test_spacing_orientation_and_volume_are_nibabels(grid):
    affine = affine_of(grid)
    np.testing.assert_allclose(spacing(affine), nibabel.affines.voxel_sizes(affine))
    assert voxel_ml(affine) == pytest.approx(np.prod(spacing(affine)) / 1000)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "ILA"])
def test_orientation_is_nibabels(codes):
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    affine = nibabel.orientations.inv_ornt_aff(turn, (4, 5, 6))
    assert orientation(affine) == codes == "".join(nibabel.aff2axcodes(affine))


def test_difference_is_measured_at_the_corners():
    a = make_grid((400, 400, 300), np.eye(4))
    shifted = np.eye(4)
    shifted[0, 0] += 1e-5  # 4 um at the far corner
    assert "0.00399 mm apart" in difference(a, make_grid(a.shape, shifted))
    shifted[0, 0] = 1 + 1e-6
    assert difference(a, make_grid(a.shape, shifted)) is None
    assert "the shapes differ" in difference(a, make_grid((400, 300, 400), np.eye(4)))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((3, 4), np.eye(4)),
        ((3, 0, 4), np.eye(4)),
        ((3, 3, 3), np.zeros((4, 4))),
        ((3, 3, 3), np.full((4, 4), np.nan)),
    ],
)
def test_shapes_and_affines_that_are_not_a_grid_are_refused(shape, affine):
    with pytest.raises(VolumeError):
        make_grid(shape, affine)
