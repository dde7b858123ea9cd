"""The scribbles of autoPET V, on masks whose centre lines are known, and their properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.prompting.corrections import correct
from evaluator.prompting.random_stream import RandomStream
from evaluator.prompting.simulated_user import SimulatedUser
from evaluator.prompting.slice_lines import boundary_line, random_line, straight_line
from evaluator.prompting.slice_scribbles import (
    LINES,
    centre_line,
    draw_scribble,
    rule_of_subject,
    thin_slice,
)
from evaluator.types import TargetPrompt
from tests.tiny import GRIDS

PLAN = load_protocol("autopet-v").rounds
GRID = GRIDS["CT"]


def block(low, high):
    array = np.zeros(GRID.shape, bool)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return array


def scribble(reference, prediction):
    masks = [crop_mask(array, GRID) for array in (reference, prediction)]
    return correct(PLAN, *masks, RandomStream("correction", 0, "s", "t", 1))


def test_the_line_lies_in_the_slice_with_the_largest_region():
    errors = (
        block((1, 1, 2), (12, 4, 3)) | block((1, 6, 5), (13, 11, 6)) | block((0, 0, 7), (2, 2, 8))
    )
    line = draw_scribble(errors)
    assert set(line[:, 2]) == {5}
    assert errors[tuple(line.T)].all()
    # along the long axis of the region
    assert np.ptp(line[:, 0]) > np.ptp(line[:, 1])


def test_the_ends_of_a_long_line_are_cut():
    bar = np.zeros((5, 40), bool)
    bar[2] = True
    # 40 voxels less a tenth at each end; int(36.0) may not be reached by rounding
    np.testing.assert_array_equal(np.flatnonzero(centre_line(bar)[2]), np.arange(4, 36))
    short = np.zeros((5, 12), bool)
    short[2, 1:11] = True
    np.testing.assert_array_equal(centre_line(short), short)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_region_has_a_line(size):
    array = np.zeros((9, 9), bool)
    array[2 : 2 + size, 3 : 3 + size] = True
    line = centre_line(array)
    assert line.any()
    assert not (line & ~array).any()


def test_the_sign_with_the_longer_line_is_corrected():
    long, short = block((1, 1, 2), (13, 4, 4)), block((3, 7, 6), (8, 8, 7))
    missed = scribble(long | short, short)
    assert missed
    assert all(foreground for _, foreground in missed)
    added = scribble(short, long | short)
    assert [voxel for voxel, _ in added] == [voxel for voxel, _ in missed]
    assert not any(foreground for _, foreground in added)
    # of both signs, the longer; of equal ones the foreground
    longer = scribble(short, long)
    assert not any(foreground for _, foreground in longer)
    equal = scribble(block((1, 1, 2), (7, 4, 3)), block((1, 7, 2), (7, 10, 3)))
    assert all(foreground for _, foreground in equal)


def test_equal_masks_have_no_scribble():
    # the challenge's script fails here
    assert scribble(block((1, 1, 1), (4, 4, 4)), block((1, 1, 1), (4, 4, 4))) == ()


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_line_is_connected_and_inside(seed):
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=(15, 12, 4)), 1.5)
    errors = noise > np.quantile(noise, generator.uniform(0.5, 0.95))
    line = draw_scribble(errors)
    assert len(line)
    assert errors[tuple(line.T)].all()
    (layer,) = set(line[:, 2])
    drawn = np.zeros(errors.shape[:2], bool)
    drawn[tuple(line[:, :2].T)] = True
    assert ndimage.label(drawn, structure=np.ones((3, 3)))[1] == 1
    skeleton = thin_slice(errors[:, :, layer])
    # no region loses its skeleton or falls apart
    labels, count = ndimage.label(errors[:, :, layer], structure=np.ones((3, 3)))
    for number in range(1, count + 1):
        part = skeleton & (labels == number)
        assert ndimage.label(part, structure=np.ones((3, 3)))[1] <= 1


#: what scikit-image 0.26 draws from the one voxel to the other; both rules of halves are there
STRAIGHT = {
    ((0, 0), (2, 4)): [(0, 0), (1, 1), (1, 2), (2, 3), (2, 4)],
    ((2, 4), (0, 0)): [(2, 4), (1, 3), (1, 2), (0, 1), (0, 0)],
    ((1, 3), (6, 0)): [(1, 3), (2, 2), (3, 2), (4, 1), (5, 1), (6, 0)],
    ((3, 3), (0, 0)): [(3, 3), (2, 2), (1, 1), (0, 0)],
    ((5, 5), (5, 5)): [(5, 5)],
    ((0, 7), (1, 0)): [(0, 7), (0, 6), (0, 5), (0, 4), (1, 3), (1, 2), (1, 1), (1, 0)],
}


@pytest.mark.parametrize(("ends", "expected"), STRAIGHT.items())
def test_a_straight_line_is_bresenhams(ends, expected):
    line = straight_line(*map(np.array, ends))
    assert [tuple(voxel) for voxel in line.tolist()] == expected


def test_the_random_line_has_the_draws_of_the_challenge():
    # random.seed(42); randint(0, 59) twice: 40 and 7
    row = np.ones((1, 60), bool)
    np.testing.assert_array_equal(np.flatnonzero(random_line(row)[0]), np.arange(7, 41))
    single = np.zeros((4, 5), bool)
    single[2, 3] = True
    np.testing.assert_array_equal(random_line(single), single)
    # what lies outside of the region is not drawn
    bent = np.ones((9, 9), bool)
    bent[:8, 1:] = False
    assert not (random_line(bent) & ~bent).any()


def test_the_boundary_line_follows_the_edge_for_a_fifth_of_it():
    disc = np.add.outer((np.arange(31) - 15) ** 2, (np.arange(27) - 13) ** 2) <= 100
    line = boundary_line(disc)
    padded = np.pad(disc, 1)
    faces = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    edge = disc & ~np.logical_and.reduce(faces)
    assert not (line & ~edge).any()
    # the start, and a step for each fifth of the edge
    assert line.sum() == 1 + int(0.2 * edge.sum())
    assert ndimage.label(line, structure=np.ones((3, 3)))[1] == 1
    single = np.zeros((4, 5), bool)
    single[2, 3] = True
    np.testing.assert_array_equal(boundary_line(single), single)


@pytest.mark.parametrize("rule", ["autopet5-random", "autopet5-boundary"])
@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_other_lines_are_inside_the_slice_of_the_centre_line(rule, seed):
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=(15, 12, 4)), 1.5)
    errors = noise > np.quantile(noise, generator.uniform(0.5, 0.95))
    line = draw_scribble(errors, rule)
    assert len(line)
    assert errors[tuple(line.T)].all()
    assert set(line[:, 2]) == set(draw_scribble(errors)[:, 2])
    np.testing.assert_array_equal(line, draw_scribble(errors.copy(), rule))
    # the voxels move with the image; nothing depends on the place of the crop
    moved = np.pad(errors, ((2, 0), (5, 1), (3, 0)))
    np.testing.assert_array_equal(draw_scribble(moved, rule) - [2, 5, 3], line)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
@pytest.mark.parametrize("rule", ["autopet5", "autopet5-random", "autopet5-boundary"])
def test_voxels_do_not_depend_on_the_grids_place_and_spacing(modality, rule):
    """Oblique, anisotropic and permuted grids: the challenge counts voxels, and so does this."""
    grid = GRIDS[modality]
    plain = make_grid(grid.shape, np.eye(4))
    errors = np.indices(grid.shape).sum(axis=0) % 11 < 6
    drawn = []
    for place in (grid, plain):
        masks = crop_mask(errors, place), crop_mask(np.zeros(grid.shape, bool), place)
        plan = replace(PLAN, click_rule=rule)
        drawn.append(correct(plan, *masks, RandomStream("correction", 0, "s", "t", 1)))
    assert drawn[0] == drawn[1]
    assert drawn[0]
    assert all(foreground and errors[voxel] for voxel, foreground in drawn[0])


def test_a_third_of_the_subjects_has_each_line():
    subjects = [f"subject-{number}" for number in range(600)]
    rules = [rule_of_subject("autopet5-mixed", subject) for subject in subjects]
    assert set(rules) == set(LINES)
    assert all(150 < rules.count(rule) < 250 for rule in LINES)
    assert rules == [rule_of_subject("autopet5-mixed", subject) for subject in subjects]
    # these are fixed: a changed hash would change the prompts of every run
    assert [list(LINES).index(rule) for rule in rules[:8]] == [0, 0, 1, 0, 0, 2, 0, 2]
    assert rule_of_subject("autopet5-random", "subject-0") == "autopet5-random"


def test_a_simulated_user_draws_the_line_of_its_subject():
    reference = crop_mask(block((1, 1, 2), (13, 9, 5)), GRID)
    drawn = {}
    for rule in ("autopet5", "autopet5-random", "autopet5-boundary", "autopet5-mixed"):
        plan = replace(PLAN, click_rule=rule)
        first = {"lesion": TargetPrompt(target="lesion")}
        user = SimulatedUser(plan, first, {"lesion": reference}, seed=0, subject="subject-1")
        user.tell({"lesion": crop_mask(np.zeros(GRID.shape, bool), GRID)})
        drawn[rule] = user.ask().targets["lesion"].added
    assert len({str(points) for points in drawn.values()}) == 3
    assert drawn["autopet5-mixed"] == drawn[rule_of_subject("autopet5-mixed", "subject-1")]


@pytest.mark.parametrize("kind", ["random", "boundary", "mixed"])
def test_the_protocols_differ_in_the_line_alone(kind):
    protocol = load_protocol(f"autopet-v-{kind}")
    assert protocol.rounds == replace(PLAN, click_rule=f"autopet5-{kind}")
    assert protocol.metrics == load_protocol("autopet-v").metrics
