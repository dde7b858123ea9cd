"""Do two references lie at one place: against brute force in the world, on grids of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from evaluator.datasets.session_checks import is_disjoint, register_targets
from evaluator.imaging.geometry import affine_of, displacement_mm, make_grid, to_world, voxel_ml
from evaluator.imaging.grid_masks import GridMask, crop_mask
from evaluator.imaging.orthogonal_grids import (
    ORTHOGONAL,
    ROUNDING,
    fields_overlap,
    orthonormal,
    readable_grid,
    skew,
)
from evaluator.imaging.registration import box_displacement_mm, mask_agreement
from evaluator.types import Case
from evaluator.volumes import stage_image, write_volume
from tests.tiny import GRIDS


def ball(grid, centre, radius):
    """The voxels whose centres lie in a ball of the world."""
    index = np.indices(grid.shape).reshape(3, -1).T
    places = to_world(affine_of(grid), index)
    inside = np.linalg.norm(places - np.array(centre), axis=1) <= radius
    return crop_mask(inside.reshape(grid.shape), grid)


def fine(step=1.0, low=-30.0, count=60):
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low
    return make_grid((count, count + 3, count + 7), affine)


@pytest.mark.parametrize("first", ["CT", "MR", "PT"])
@pytest.mark.parametrize("second", ["CT", "MR", "PT"])
def test_one_structure_on_two_grids_is_at_one_place(first, second):
    masks = [ball(GRIDS[name], (-2.0, 1.0, 1.0), 8.0) for name in (first, second)]
    agreement = mask_agreement(*masks)
    assert agreement.distance_mm <= 5 + 3 * agreement.rounding_mm
    assert agreement.overlap > 0.8
    assert agreement.first_ml == pytest.approx(
        masks[0].voxel_count * voxel_ml(affine_of(GRIDS[first]))
    )
    if first == second:
        assert (agreement.distance_mm, agreement.overlap, agreement.volume_ratio) == (0, 1, 1)


@given(
    shift=st.tuples(*[st.floats(-12, 12)] * 3),
    step=st.sampled_from([1.5, 2.0, 3.0]),
)
def test_distance_and_overlap_of_shifted_balls(shift, step):
    radius = 9.0
    first = ball(fine(), (0, 0, 0), radius)
    second = ball(fine(step, -31.3, 40), shift, radius)
    agreement = mask_agreement(first, second)
    distance = float(np.linalg.norm(shift))
    assert agreement.distance_mm == pytest.approx(distance, abs=0.3 + 0.4 * step)
    # two balls of one radius share a lens of this part of the volume
    d = min(distance, 2 * radius)
    lens = (4 * radius + d) * (2 * radius - d) ** 2 / (16 * radius**3)
    assert agreement.overlap == pytest.approx(lens, abs=0.05 + 0.06 * step)
    assert (agreement.overlap == 0) <= (distance > 2 * radius - 2 * step)


def test_only_the_common_field_is_compared():
    """A long structure is cut where the shorter image ends, which is no displacement."""
    long = make_grid((9, 9, 80), np.diag([4.0, 4, 4, 1]))
    short = make_grid((9, 9, 30), np.diag([4.0, 4, 4, 1]))
    masks = [np.zeros(grid.shape, bool) for grid in (long, short)]
    for mask in masks:
        mask[3:6, 3:6] = True
    agreement = mask_agreement(crop_mask(masks[0], long), crop_mask(masks[1], short))
    assert agreement.distance_mm == 0
    assert agreement.overlap == 1


def test_masks_that_are_outside_each_others_field_are_disjoint():
    affine = affine_of(fine())
    affine[2, 3] += 780
    far = make_grid((20, 20, 20), affine)
    case = Case(subject="s", session="a", split="test", scans={})
    masks = {
        "CT": {"liver": ball(fine(), (0, 0, 0), 9.0)},
        "PT": {"liver": ball(far, tuple(to_world(affine, np.array([10, 10, 10]))), 5.0)},
    }
    (entry,) = register_targets(case, masks)
    assert is_disjoint(entry)
    assert entry.distance_mm == pytest.approx(780, abs=40)


def test_a_small_neighbour_is_not_disjoint():
    case = Case(subject="s", session="a", split="test", scans={})
    masks = {
        "CT": {"lesion": ball(fine(), (0, 0, 0), 1.0)},
        "PT": {"lesion": ball(fine(), (4, 0, 0), 1.0)},
    }
    (entry,) = register_targets(case, masks)
    assert entry.overlap == 0
    assert not is_disjoint(entry)


@pytest.mark.parametrize("name", ["CT", "MR", "PT"])
def test_a_box_is_displaced_as_far_as_its_reference(name):
    anchor = ball(fine(), (0, 0, 0), 9.0)
    assert box_displacement_mm(anchor, ball(GRIDS[name], (0, 0, 0), 9.0)) == 0
    affine = affine_of(GRIDS[name])
    affine[:3, 3] += (30, -20, 10)
    shifted = make_grid(GRIDS[name].shape, affine)
    moved = box_displacement_mm(anchor, ball(shifted, (30, -20, 10), 9.0))
    assert moved == pytest.approx(np.linalg.norm((30, -20, 10)), abs=4)


def noisy(noise, seed=0):
    """An oblique, flipped, anisotropic grid whose directions have noise."""
    affine = np.array([[-1.1, 0.2, 0.1, 20], [0.15, 1.7, -0.5, -30], [0.05, 0.4, 2.9, 40]])
    left, _, right = np.linalg.svd(affine[:, :3] / np.linalg.norm(affine[:, :3], axis=0))
    directions = left @ right
    directions = directions + noise * np.random.default_rng(seed).uniform(-1, 1, (3, 3))
    full = np.eye(4)
    full[:3, :3] = directions * (1.1, 1.7, 2.9)
    full[:3, 3] = affine[:, 3]
    return make_grid((11, 9, 7), full)


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4, 1e-3])
def test_a_staged_copy_can_be_read_by_itk(tmp_path, noise):
    grid = noisy(noise)
    array = np.random.default_rng(1).integers(0, 100, grid.shape).astype(np.int16)
    write_volume(tmp_path / "image.nii.gz", array, grid)
    staged = stage_image(tmp_path / "image.nii.gz", tmp_path / "staged.nii.gz")
    image = SimpleITK.ReadImage(str(tmp_path / "staged.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).T, array)
    direction = np.reshape(image.GetDirection(), (3, 3))
    assert np.allclose(direction @ direction.T, np.eye(3), atol=1e-4)
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    assert displacement_mm(make_grid(grid.shape, affine), staged) < 1e-3
    # the copy lies where the image lies, to a small part of a voxel
    assert displacement_mm(staged, grid) < 10 * noise * 30 + 1e-4


def test_shear_is_kept_and_rounding_is_removed():
    assert readable_grid(noisy(0.0)) == noisy(0.0)
    rounded = noisy(1e-3)
    assert ORTHOGONAL < skew(rounded) <= ROUNDING
    assert skew(readable_grid(rounded)) < 1e-12
    tilted = affine_of(noisy(0.0))
    tilted[:3, 2] += tilted[:3, 1] * np.tan(np.radians(12))
    sheared = make_grid((11, 9, 7), tilted)
    assert skew(sheared) > ROUNDING
    assert readable_grid(sheared) == sheared
    centre = (np.array(sheared.shape) - 1) / 2
    assert np.allclose(
        to_world(affine_of(orthonormal(sheared)), centre), to_world(affine_of(sheared), centre)
    )


def test_fields_that_overlap():
    assert fields_overlap(GRIDS["CT"], GRIDS["PT"])
    affine = affine_of(GRIDS["PT"])
    affine[0, 3] += 5000
    assert not fields_overlap(GRIDS["CT"], make_grid(GRIDS["PT"].shape, affine))


def test_a_mask_agrees_with_itself_as_with_a_copy_that_is_stored_otherwise():
    mask = ball(fine(), (0.0, 3.0, 5.0), 9.0)
    whole = np.zeros(mask.grid.shape, dtype=bool)
    whole[tuple(slice(a, b) for a, b in zip(mask.offset, mask.end, strict=True))] = mask.array
    copy = GridMask(grid=mask.grid, array=whole, offset=(0, 0, 0))
    itself, compared = mask_agreement(mask, mask), mask_agreement(mask, copy)
    assert itself.distance_mm == 0
    assert itself.overlap == compared.overlap == 1
    assert itself.rounding_mm == pytest.approx(compared.rounding_mm)
    assert itself.first_ml == compared.first_ml
    assert itself.volume_ratio == 1
