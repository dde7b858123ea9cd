"""Simulated cohorts with known effects: a small version of ``make bench-statistics``.

Each tolerance is the nominal bound (93 to 97 %, at most 5 %) widened by two and a half standard
errors of the simulation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
