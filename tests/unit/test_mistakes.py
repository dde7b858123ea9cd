"""Kinds of mistakes on an oblique, flipped, anisotropic, non-square grid, each made on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.analysis.failure_modes import KINDS, classify, mirrored, shared_voxels
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask

AFFINE = np.array([[0.2, -2.1, 0.2, 10], [1.9, 0.1, 0.3, 4], [0.1, 0.2, -3, 7], [0, 0, 0, 1.0]])
GRID = make_grid((90, 80, 60), AFFINE)
AT = np.indices(GRID.shape)


def ball(centre, radius):
    """Voxels within so many voxels of a place."""
    return ((AT - np.array(centre)[:, None, None, None]) ** 2).sum(axis=0) <= radius**2


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


def told(mask, target="kidney-left"):
    return classify(crop_mask(mask, GRID), REFERENCES, target)


@pytest.mark.parametrize(
    ("mask", "kind"),
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
        (KIDNEY & (AT[0] < 56) & ((AT[1] + AT[2]) % 2 == 0), "fragment"),
        (ball((56, 40, 30), 1), "fragment"),
        (KIDNEY | ((np.abs(AT[1] - 56) < 8) & (np.abs(AT[2] - 30) < 6) & (AT[0] > 40)), "leak"),
        ((AT[0] == 88) & (AT[1] > 60), "elsewhere"),
    ],
)
def test_kinds(mask, kind):
    assert told(mask).kind == kind
    assert kind in KINDS


def test_the_figures_are_those_of_the_masks():
    mask = ball((66, 47, 30), 8)
    found = told(mask)
    assert found.volume_ratio == pytest.approx(mask.sum() / KIDNEY.sum())
    assert found.inside == pytest.approx((mask & KIDNEY).sum() / mask.sum())
    assert found.found == pytest.approx((mask & KIDNEY).sum() / KIDNEY.sum())
    assert found.shift_mm == pytest.approx(np.linalg.norm(AFFINE[:3, :3] @ (6, 7, 0)))
    neighbour = told(ball((30, 30, 30), 11))
    assert neighbour.neighbour == "liver"
    overlap = ball((30, 30, 30), 11) & ORGANS["liver"]
    size = ball((30, 30, 30), 11).sum() + ORGANS["liver"].sum()
    assert neighbour.neighbour_dice == pytest.approx(2 * overlap.sum() / size)


def test_the_neighbour_is_named_and_the_side_goes_first():
    assert told(ORGANS["spleen"]).neighbour == "spleen"
    assert told(ORGANS["kidney-right"]).neighbour == "kidney-right"
    assert told(ORGANS["kidney-left"], "kidney-right").kind == "wrong side"
    assert told(ORGANS["liver"], "aorta").neighbour == "liver"


def test_mirrors():
    assert mirrored("kidney-left") == "kidney-right"
    assert mirrored("rib-right-7") == "rib-left-7"
    assert mirrored("liver") == "liver"


def test_a_scan_with_one_reference():
    only = {"lesion": crop_mask(KIDNEY, GRID)}
    assert classify(crop_mask(ball((60, 40, 30), 30), GRID), only, "lesion").kind in (
        "leak",
        "whole-body leak",
    )
    assert classify(crop_mask(KIDNEY, GRID), only, "lesion").neighbour is None


@given(
    st.lists(st.tuples(*(st.integers(0, n - 1) for n in (9, 7, 8))), max_size=40),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_every_mask_has_a_kind(places, seed):
    grid = make_grid((9, 7, 8), AFFINE)
    labels = np.random.default_rng(seed).integers(0, 4, grid.shape)
    references = {f"organ-{n}": crop_mask((labels == n).view(np.uint8), grid) for n in (1, 2, 3)}
    mask = np.zeros(grid.shape, np.uint8)
    for place in places:
        mask[place] = 1
    found = classify(crop_mask(mask, grid), references, "organ-1")
    assert found.kind in KINDS
    assert (found.kind == "empty") == (not places)
    for name, reference in references.items():
        n = int(name[-1])
        assert (
            shared_voxels(crop_mask(mask, grid), reference)
            == (mask.astype(bool) & (labels == n)).sum()
        )
