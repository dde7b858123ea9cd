"""Statistics of interaction, calculated by hand."""

from __future__ import annotations

import pytest

from evaluator.challenges import cvpr25
from evaluator.metrics import interaction

FAILED_AT_3 = [0.5, 0.7, 0.8, None, 0.9, 0.85]


def test_a_failed_round_counts_as_zero_and_never_as_the_score_before() -> None:
    assert interaction.curve(FAILED_AT_3, 6) == (0.5, 0.7, 0.8, 0.0, 0.9, 0.85)


def test_a_target_that_ended_early_keeps_its_score() -> None:
    assert interaction.curve([0.5, 1.0], 4) == (0.5, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("scores", [[], [0.1] * 5])
def test_a_curve_needs_scores_and_no_more_than_there_are_rounds(scores) -> None:
    with pytest.raises(ValueError, match="for 4 rounds"):
        interaction.curve(scores, 4)


def test_the_area_is_normalised() -> None:
    assert interaction.area((1.0,) * 6) == 1.0
    assert interaction.area((0.0, 1.0)) == 0.5
    assert interaction.area((0.2, 0.4, 0.8)) == pytest.approx(0.45)
    assert interaction.area((0.3,)) == 0.3


def test_clicks_to_reach_counts_interactions() -> None:
    clicks = [1, 2, 3, 4, 4, 5]
    assert interaction.clicks_to_reach(FAILED_AT_3, clicks, 0.8) == 3
    assert interaction.clicks_to_reach(FAILED_AT_3, clicks, 0.85) == 4
    assert interaction.clicks_to_reach(FAILED_AT_3, clicks, 0.95) is None


def test_failures_to_reach_count_as_the_budget() -> None:
    assert interaction.number_of_clicks([1, 3, None, None], 10) == (6.0, 2)
    with pytest.raises(ValueError, match="no targets"):
        interaction.number_of_clicks([], 10)


def test_the_first_gain_needs_both_rounds() -> None:
    assert interaction.first_gain([0.5, 0.75, 0.1]) == 0.25
    assert interaction.first_gain([0.5]) is None
    assert interaction.first_gain([None, 0.5]) is None
    assert interaction.first_gain([0.5, None]) is None


def test_instability_is_the_mean_loss_by_a_correction() -> None:
    assert interaction.instability([0.5, 0.7, 0.6, 0.8, 0.5]) == pytest.approx((0.1 + 0.3) / 4)
    assert interaction.instability(FAILED_AT_3) == pytest.approx(0.05 / 3)
    assert interaction.instability([0.5]) is None


def test_the_challenges_totals() -> None:
    assert cvpr25.cvpr25_area([0.1, 1.0, 1.0, 1.0, 1.0, 1.0]) == 4.0
    assert cvpr25.cvpr25_area([0.9, 0.0, 0.5, None, 0.5, 1.0]) == pytest.approx(
        0.25 + 0.25 + 0.25 + 0.75
    )
    assert cvpr25.cvpr25_nsd(0.2, 0.9) == 0.0
    assert cvpr25.cvpr25_nsd(0.21, 0.9) == 0.9
