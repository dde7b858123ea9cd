"""Intervals that allow for failures which were not seen, beside scipy, statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from evaluator.statistics import (
    FailurePart,
    compare_pairs,
    equivalence_p,
    mean_intervals,
    mean_loss,
    paired_failures,
    smallest_p,
)
from evaluator.statistics.failures import failure_equivalence_p, failure_intervals, wilson


def _cohort(n: int, columns: int, rates: tuple[float, float], seed: int = 0):
    """Dice-like scores of two arms with a failure rate each, and the failures."""
    rng = np.random.default_rng([seed, n])
    level = rng.normal(0.8, 0.08, (n, columns))
    arms, failed = [], []
    for rate in rates:
        failed.append(rng.random((n, columns)) < rate)
        scores = np.clip(level + rng.normal(0, 0.05, (n, columns)), 0.1, 1)
        arms.append(np.where(failed[-1], 0.0, scores))
    return (*arms, *failed)


@pytest.mark.parametrize("n", [5, 10, 30, 100])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_wilsons_interval_is_statsmodels(n, confidence):
    counts = np.arange(n + 1)
    low, high = wilson(counts / n, n, stats.norm.ppf((1 + confidence) / 2))
    peer = proportion_confint(counts, n, alpha=1 - confidence, method="wilson")
    assert low == pytest.approx(peer[0], abs=1e-9)
    assert high == pytest.approx(peer[1], abs=1e-9)


@pytest.mark.parametrize("n", [5, 10, 30, 100])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_assembled_from_student_and_wilson(n, confidence):
    first, second, first_failed, second_failed = _cohort(n, 1, (0.05, 0.3))
    parts = paired_failures(first, second, first_failed, second_failed)
    low, high = failure_intervals(first - second, parts, (confidence,))[0][:, 0]
    # by hand, from statsmodels' and scipy's intervals
    level_first = first[~first_failed].mean()
    level_second = second[~second_failed].mean()
    only_first = (first_failed & ~second_failed)[:, 0]
    only_second = (second_failed & ~first_failed)[:, 0]
    difference = (first - second)[:, 0]
    without = difference + only_first * level_first - only_second * level_second
    student = stats.t.interval(confidence, n - 1, without.mean(), stats.sem(without))
    of_first, of_second = (
        proportion_confint(failed.sum(), n, alpha=1 - confidence, method="wilson")
        for failed in (only_first, only_second)
    )
    up = np.sqrt(
        (student[1] - without.mean()) ** 2
        + (level_second * (of_second[1] - only_second.mean())) ** 2
        + (level_first * (only_first.mean() - of_first[0])) ** 2
    )
    down = np.sqrt(
        (without.mean() - student[0]) ** 2
        + (level_second * (only_second.mean() - of_second[0])) ** 2
        + (level_first * (of_first[1] - only_first.mean())) ** 2
    )
    assert low == pytest.approx(difference.mean() - down, abs=1e-9)
    assert high == pytest.approx(difference.mean() + up, abs=1e-9)


@pytest.mark.parametrize("n", [10, 30, 100])
def test_p_of_equivalence_belongs_to_the_interval_of_90_per_cent(n):
    first, second, *failed = _cohort(n, 400, (0.0, 0.02))
    parts = paired_failures(first, second, *failed)
    for margin in (0.03, 0.1, 0.3):
        margins = np.full(400, margin)
        p = failure_equivalence_p(first - second, parts, margins)
        low, high = failure_intervals(first - second, parts, (0.9,))[0]
        assert np.array_equal(p <= 0.05, (low >= -margin) & (high <= margin))
    assert (equivalence_p(first - second, margins, parts) >= p).all()
    assert (equivalence_p(first - second, margins, parts) >= smallest_p(n)).all()


def test_a_margin_that_was_not_declared_has_no_p():
    first, second, *failed = _cohort(20, 3, (0.0, 0.1))
    parts = paired_failures(first, second, *failed)
    assert np.isnan(equivalence_p(first - second, np.full(3, np.nan), parts)).all()


def test_no_failure_among_a_few_subjects_excludes_none():
    scores = np.full((5, 1), 0.8)
    nothing = np.zeros((5, 1), dtype=bool)
    parts = paired_failures(scores, scores, nothing, nothing)
    result = compare_pairs(scores, scores, failures=parts)
    # 0 of 5: Wilson's upper limit is 43 %, each failure costs 0.8
    assert (result.low[0], result.high[0]) == pytest.approx((-0.348, 0.348), abs=0.001)
    assert (result.low_observed[0], result.high_observed[0]) == (0, 0)
    assert equivalence_p(scores - scores, np.array([0.05]), parts)[0] > 0.05


def test_a_failure_costs_the_largest_loss_where_no_prediction_succeeded():
    failed = np.array([[True, False], [True, True]])
    above = np.array([[0.0, 0.8], [0.0, np.nan]])
    assert mean_loss(above, failed, largest=1.0) == pytest.approx([1.0, 0.8])


def test_distances_fail_upwards():
    """A failed distance is large, so failures of the second arm lower the difference."""
    distances = np.full((30, 1), 10.0)
    nothing = np.zeros((30, 1), dtype=bool)
    first, second = paired_failures(
        distances, distances, nothing, nothing, first_worst=500.0, second_worst=500.0
    )
    assert first.effect[0] == pytest.approx(490)
    assert second.effect[0] == pytest.approx(-490)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 40), st.floats(0, 0.6), st.floats(0, 0.6), st.integers(0, 9999))
def test_the_interval_holds_the_mean_and_the_interval_of_the_observed_spread(n, one, two, seed):
    first, second, *failed = _cohort(n, 4, (one, two), seed)
    parts = paired_failures(first, second, *failed)
    result = compare_pairs(first, second, failures=parts, resamples=199)
    swapped = compare_pairs(
        second,
        first,
        failures=paired_failures(second, first, failed[1], failed[0]),
        resamples=199,
    )
    assert (result.low <= result.difference + 1e-12).all()
    assert (result.high >= result.difference - 1e-12).all()
    assert (result.low <= result.low_observed).all()
    assert (result.high >= result.high_observed).all()
    assert (result.low_90 >= result.low - 1e-12).all()
    assert (result.low >= -1 - 0.2).all()
    low, _ = failure_intervals(first - second, parts, (0.95,))[0]
    _, high = failure_intervals(
        second - first, paired_failures(second, first, failed[1], failed[0]), (0.95,)
    )[0]
    assert low == pytest.approx(-high, abs=1e-12)
    assert swapped.difference == pytest.approx(-result.difference)


def test_targets_that_fail_with_their_subject_are_no_independent_evidence():
    """13 targets of 20 subjects without a failure exclude no more than one target of each."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0.8, 0.01, (20, 1))
    part = FailurePart(share=np.zeros((20, 1)), effect=np.array([-0.8]))
    low, high = mean_intervals(scores, failures=(part,))[0]
    assert low[0] == pytest.approx(scores.mean() - 0.8 * 0.161, abs=0.01)
    assert high[0] < 0.81
