"""A small version of the simulation of image-blind models on grids of two sizes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bench_grid import BLIND, LOSS, conclusions, make_pool


@pytest.fixture(scope="module")
def pool():
    """Subjects whose PET voxels are 3 times as large across as CT's."""
    return make_pool(12, 3.0)


def shares(pool, model, n, **more):
    """Shares of cohorts: raw verdict worse, controlled verdict worse, any direction claimed."""
    results = conclusions(pool, model, n, 200, **more)
    claims = [result[2] in ("worse on PET", "better on PET") for result in results]
    return [np.mean([result[k] for result in results]) for k in (0, 1)] + [np.mean(claims)]


@pytest.mark.parametrize("model", [BLIND[0], BLIND[-1]])
def test_an_image_blind_model_is_worse_by_the_raw_scores_and_not_beyond_the_grid(pool, model):
    raw, controlled, _ = shares(pool, model, 30)
    assert raw > 0.9
    assert controlled <= 0.06


@pytest.mark.parametrize(
    ("model", "power"), [(BLIND[0], 0.8), ("image only, middling", 0.75)], ids=str
)
def test_a_planted_loss_is_found(pool, model, power):
    """Twelve tumours, so less power than docs/confounds.md states for more of them."""
    _, controlled, _ = shares(pool, model, 100, loss=LOSS)
    assert controlled >= power


@pytest.mark.parametrize("model", ["image only, good", "image only, perfect", "image and box"])
def test_equal_skill_on_both_grids_is_no_difference(pool, model):
    _, found, claims = shares(pool, model, 30)
    assert found <= 0.08
    assert claims <= 0.08
