"""Simulated cohorts whose truth is known: the small form of ``make bench-statistics``, with room for chance.

Each tolerance is the promise (93 to 97 %, at most 5 %) widened by two and a half standard errors of the simulation.
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


def _room(shares: np.ndarray, spread: float = 0.0) -> float:
    return 2.5 * max(float(shares.std(ddof=1)), spread) / np.sqrt(len(shares))


@pytest.mark.parametrize("subjects", [30, 100])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_intervals_cover(scenario, subjects):
    shares = covered(scenario, subjects, 60)
    assert 0.93 - _room(shares) <= shares.mean() <= 0.97 + _room(shares)


@pytest.mark.parametrize("scenario", SCENARIOS[1:3], ids=lambda scenario: scenario.title)
def test_without_an_effect_few_families_have_a_significant_test(scenario):
    found = false_positives(scenario, 30, 100)
    assert found.mean() <= 0.05 + _room(found, spread=0.218)


def test_a_difference_of_the_margin_is_seldom_called_equivalent():
    found = false_equivalences(100, 150)
    assert found.mean() <= 0.05 + _room(found, spread=0.218)


def test_a_planted_effect_is_found_at_a_hundred_subjects():
    organs, overall = power(replace(SCENARIOS[1], effect=0.05), 100, 30)
    assert overall.mean() >= 0.9
    assert organs.mean() >= 0.3


def test_the_joint_interval_covers():
    held = joint(SCENARIOS[2], 30, 60)
    assert held[:, 1].all()
    assert 0.93 - _room(held[:, 0]) <= held[:, 0].mean() <= 0.97 + _room(held[:, 0])
