from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import (
    TOLERANCE_MM,
    affine_of,
    difference,
    displacement_note,
    make_grid,
    nearest_index,
    orientation,
    shear_degrees,
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
    b = make_grid(a.shape, shifted)
    assert "0.00399 mm apart" in difference(a, b, TOLERANCE_MM)
    shifted[0, 0] = 1 + 1e-6
    assert difference(a, make_grid(a.shape, shifted), TOLERANCE_MM) is None
    assert "the shapes differ" in difference(a, make_grid((400, 300, 400), np.eye(4)))


@pytest.mark.parametrize(
    ("shift_mm", "note"),
    [
        (0.0005, None),
        (0.002, "0.002 mm"),
        (0.02, "0.02 mm"),
        (0.2, "0.2 mm"),
        (0.249, "0.249 mm"),
    ],
)
def test_grids_a_fraction_of_a_voxel_apart_are_one_grid(shift_mm, note):
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    affine[:3, :3] = _rotation(0.3, -0.2, 0.5) @ affine[:3, :3]
    a = make_grid((12, 10, 8), affine)
    affine[1, 3] += shift_mm
    b = make_grid((12, 10, 8), affine)
    assert difference(a, b) is None
    assert (displacement_note(a, b) is None) == (note is None)
    assert note is None or note in displacement_note(a, b)
    # the nearest voxel of the other grid has the same index, so equal indices may be compared
    index = np.array([[0, 0, 0], [11, 9, 7], [5, 4, 3]])
    nearest = np.floor(to_index(affine_of(b), to_world(affine_of(a), index)) + 0.5)
    assert (nearest == index).all()


@pytest.mark.parametrize(
    ("step_mm", "shift_mm"), [(1.0, 0.26), (1.0, 40.0), (0.4, 0.11), (4.0, 0.26)]
)
def test_grids_further_apart_are_two_grids(step_mm, shift_mm):
    affine = np.diag([step_mm, 2.0, 5.0, 1.0])
    a = make_grid((12, 10, 8), affine)
    affine[2, 3] += shift_mm
    b = make_grid((12, 10, 8), affine)
    assert "mm apart" in difference(a, b)
    assert displacement_note(a, b) is None


@given(st.floats(0, 60), st.sampled_from([(0, 1), (1, 2), (2, 0)]))
def test_shear_is_the_tilt_of_the_gantry(degrees, axes):
    affine = np.diag([0.9, 0.8, 5.0, 1.0])
    steps = affine[:3, :3].diagonal()
    affine[axes[0], axes[1]] = np.tan(np.radians(degrees)) * steps[axes[1]]
    turned = affine.copy()
    turned[:3, :3] = _rotation(0.4, 0.1, -0.7) @ affine[:3, :3]
    assert shear_degrees(affine) == pytest.approx(degrees, abs=1e-6)
    assert shear_degrees(turned) == pytest.approx(degrees, abs=1e-5)


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
