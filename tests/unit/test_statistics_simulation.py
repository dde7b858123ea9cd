"""Simulated cohorts with known effects: a small version of ``make bench-statistics``.

Each tolerance is the nominal bound (93 to 97 %, at most 5 %) widened by two and a half standard
errors of the simulation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import failure_cohorts
from benchmarks.bench_statistics import (
    SCENARIOS,
    covered,
    false_equivalences,
    false_positives,
    joint,
    power,
)


def _tolerance(shares: np.ndarray, spread: float = 0.0) -> float:
    return 2.5 * max(float(shares.std(ddof=1)), spread) / np.sqrt(len(shares))


@pytest.mark.parametrize("subjects", [30, 100])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_intervals_cover(scenario, subjects):
    shares = covered(scenario, subjects, 60)
    assert 0.93 - _tolerance(shares) <= shares.mean() <= 0.97 + _tolerance(shares)


@pytest.mark.parametrize("scenario", SCENARIOS[1:3], ids=lambda scenario: scenario.title)
def test_without_an_effect_few_families_have_a_significant_test(scenario):
    errors = false_positives(scenario, 30, 100)
    assert errors.mean() <= 0.05 + _tolerance(errors, spread=0.218)


def test_a_difference_of_the_margin_is_seldom_called_equivalent():
    errors = false_equivalences(100, 150)
    assert errors.mean() <= 0.05 + _tolerance(errors, spread=0.218)


def test_a_simulated_effect_is_detected_at_a_hundred_subjects():
    organs, overall = power(replace(SCENARIOS[1], effect=0.05), 100, 30)
    assert overall.mean() >= 0.9
    assert organs.mean() >= 0.3


def test_the_joint_interval_covers():
    results = joint(SCENARIOS[2], 30, 60)
    assert results[:, 1].all()
    assert (
        0.93 - _tolerance(results[:, 0]) <= results[:, 0].mean() <= 0.97 + _tolerance(results[:, 0])
    )


ONE_SIDED = [(0.0, 0.05), (0.0, 0.10), (0.30, 0.60)]


@pytest.mark.parametrize("subjects", [5, 10, 30])
@pytest.mark.parametrize("rates", ONE_SIDED, ids=str)
def test_intervals_cover_with_failures_that_are_rare_and_of_one_image(rates, subjects):
    shares = failure_cohorts.coverage(rates, subjects, 40)[:, 0]
    assert shares.mean() >= 0.93 - _tolerance(shares)
    of_means = failure_cohorts.coverage_of_means(rates[1], subjects, 40)[:, 0]
    assert of_means.mean() >= 0.93 - _tolerance(of_means)


@pytest.mark.parametrize("rates", ONE_SIDED, ids=str)
def test_equivalence_is_seldom_false_with_failures_of_one_image(rates):
    for subjects in (5, 10, 30, 100):
        shares = failure_cohorts.false_equivalence(rates, subjects, 30)[:, 0]
        assert shares.mean() <= 0.06 + _tolerance(shares)


def test_the_observed_spread_alone_cannot_know_of_failures():
    """The simulation sees the faults that the allowance mends."""
    shares = failure_cohorts.coverage((0.0, 0.05), 10, 30, True)
    assert shares[:, 0].mean() >= 0.93
    assert shares[:, 1].mean() <= 0.75
    equivalent = failure_cohorts.false_equivalence((0.0, 0.10), 10, 30, True)
    assert equivalent[:, 0].mean() <= 0.06
    assert equivalent[:, 1].mean() >= 0.15
    joint_shares = failure_cohorts.joint((0.0, 0.05), 10, 20, True)
    assert joint_shares[:, 0].mean() >= 0.93
    assert joint_shares[:, 1].mean() <= 0.75


def test_equal_means_are_seldom_different_without_a_remark():
    shares = failure_cohorts.silent_differences(30, 40)
    assert shares[:, 2].mean() <= 0.05 + _tolerance(shares[:, 2])
    assert shares[:, 0].mean() > shares[:, 2].mean()


def test_the_stated_number_of_subjects_has_the_power():
    found = failure_cohorts.power_at_the_number(30, 150)
    assert 0.70 <= found.mean() <= 0.90
