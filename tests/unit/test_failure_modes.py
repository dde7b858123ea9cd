"""Failure modes on an oblique, flipped, anisotropic and non-square grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.analysis.failure_modes import FAILURE_MODES, classify, mirrored, shared_voxels
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask

AFFINE = np.array([[0.2, -2.1, 0.2, 10], [1.9, 0.1, 0.3, 4], [0.1, 0.2, -3, 7], [0, 0, 0, 1.0]])
GRID = make_grid((90, 80, 60), AFFINE)
INDEX = np.indices(GRID.shape)


def ball(centre, radius):
    """A ball of a radius in voxels."""
    return ((INDEX - np.array(centre)[:, None, None, None]) ** 2).sum(axis=0) <= radius**2


ORGANS = {
    "kidney-left": ball((60, 40, 30), 8),
    "kidney-right": ball((30, 40, 30), 8),
    "liver": ball((25, 25, 30), 11),
    "spleen": ball((70, 20, 30), 7),
    "aorta": ball((45, 60, 30), 5),
    "lesion": np.zeros(GRID.shape, bool),
}
REFERENCES = {name: crop_mask(mask, GRID) for name, mask in ORGANS.items()}
KIDNEY = ORGANS["kidney-left"]


def failure_mode(mask, target="kidney-left"):
    return classify(crop_mask(mask, GRID), REFERENCES, target)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (KIDNEY & False, "empty"),
        (ball((45, 40, 30), 40), "whole-body leak"),
        (np.ones(GRID.shape, bool), "whole-body leak"),
        (ORGANS["kidney-right"], "wrong side"),
        (ball((33, 40, 30), 8), "wrong side"),
        (ORGANS["spleen"], "neighbour organ"),
        (ball((66, 47, 30), 8), "shifted"),
        (ball((60, 40, 45), 8), "shifted"),
        (ball((60, 40, 30), 14), "wrong scale"),
        (ball((60, 40, 30), 5), "wrong scale"),
        (KIDNEY & (INDEX[0] < 56) & ((INDEX[1] + INDEX[2]) % 2 == 0), "fragment"),
        (ball((56, 40, 30), 1), "fragment"),
        (
            KIDNEY | ((np.abs(INDEX[1] - 56) < 8) & (np.abs(INDEX[2] - 30) < 6) & (INDEX[0] > 40)),
            "leak",
        ),
        ((INDEX[0] == 88) & (INDEX[1] > 60), "elsewhere"),
    ],
)
def test_failure_modes(mask, expected):
    assert failure_mode(mask).name == expected
    assert expected in FAILURE_MODES


def test_measurements_are_those_of_the_masks():
    mask = ball((66, 47, 30), 8)
    result = failure_mode(mask)
    assert result.volume_ratio == pytest.approx(mask.sum() / KIDNEY.sum())
    assert result.precision == pytest.approx((mask & KIDNEY).sum() / mask.sum())
    assert result.sensitivity == pytest.approx((mask & KIDNEY).sum() / KIDNEY.sum())
    assert result.shift_mm == pytest.approx(np.linalg.norm(AFFINE[:3, :3] @ (6, 7, 0)))
    neighbour = failure_mode(ball((30, 30, 30), 11))
    assert neighbour.neighbour == "liver"
    overlap = ball((30, 30, 30), 11) & ORGANS["liver"]
    size = ball((30, 30, 30), 11).sum() + ORGANS["liver"].sum()
    assert neighbour.neighbour_dice == pytest.approx(2 * overlap.sum() / size)


def test_the_neighbour_is_named_and_the_side_goes_first():
    assert failure_mode(ORGANS["spleen"]).neighbour == "spleen"
    assert failure_mode(ORGANS["kidney-right"]).neighbour == "kidney-right"
    assert failure_mode(ORGANS["kidney-left"], "kidney-right").name == "wrong side"
    assert failure_mode(ORGANS["liver"], "aorta").neighbour == "liver"


def test_mirrors():
    assert mirrored("kidney-left") == "kidney-right"
    assert mirrored("rib-right-7") == "rib-left-7"
    assert mirrored("liver") == "liver"


def test_a_scan_with_one_reference():
    only = {"lesion": crop_mask(KIDNEY, GRID)}
    assert classify(crop_mask(ball((60, 40, 30), 30), GRID), only, "lesion").name in (
        "leak",
        "whole-body leak",
    )
    assert classify(crop_mask(KIDNEY, GRID), only, "lesion").neighbour is None


@given(
    st.lists(st.tuples(*(st.integers(0, n - 1) for n in (9, 7, 8))), max_size=40),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_every_mask_has_a_failure_mode(places, seed):
    grid = make_grid((9, 7, 8), AFFINE)
    labels = np.random.default_rng(seed).integers(0, 4, grid.shape)
    references = {f"organ-{n}": crop_mask((labels == n).view(np.uint8), grid) for n in (1, 2, 3)}
    mask = np.zeros(grid.shape, np.uint8)
    for place in places:
        mask[place] = 1
    result = classify(crop_mask(mask, grid), references, "organ-1")
    assert result.name in FAILURE_MODES
    assert (result.name == "empty") == (not places)
    for name, reference in references.items():
        n = int(name[-1])
        assert (
            shared_voxels(crop_mask(mask, grid), reference)
            == (mask.astype(bool) & (labels == n)).sum()
        )
