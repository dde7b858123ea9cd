"""Validation by simulation: coverage, false positives and power on simulated subjects.

A subject has 13 organs on two images. Each organ's score is correlated with the subject's others
(0.5 on an image, more within an organ). Scores are Dice-like (beta) or normal; some scenarios have
failures, which count as 0. The true effect is given.

    make bench-statistics                the full simulation, minutes; writes docs/statistics.md
    benchmarks/bench_statistics.py --cohorts 40   a short run; prints only
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from benchmarks.tables import ROOT, machine, write
from evaluator.statistics import compare_pairs, equivalence_p, fit_mixed_model, holm

ORGANS, MODELS = 13, 6


@dataclass(frozen=True)
class Scenario:
    """How scores are simulated; ``effect`` is added to the structural score of every organ."""

    title: str
    shape: str = "dice"
    failures: float = 0.0
    effect: float = 0.0


SCENARIOS = (
    Scenario("normal", shape="normal"),
    Scenario("Dice"),
    Scenario("Dice, 5 % failures on each image, as 0", failures=0.05),
    Scenario("Dice of a model near its floor", shape="floor"),
)


def simulate_scores(scenario: Scenario, subjects: int, models: int, rng: np.random.Generator):
    """Scores (subjects, models * organs) on the structural and the functional image."""
    subject = rng.normal(size=(subjects, 1, 1))
    organ = rng.normal(size=(subjects, models, ORGANS))
    images = []
    for _ in range(2):
        residual = (
            rng.normal(size=(subjects, models, 1)) * 0.5
            + rng.normal(size=(subjects, models, ORGANS)) * 0.5
        )
        z = np.sqrt(0.3) * subject + np.sqrt(0.2) * organ + residual
        if scenario.shape == "normal":
            score = 0.7 + 0.1 * z
        else:
            a, b = (6, 2) if scenario.shape == "dice" else (0.6, 4)
            score = beta.ppf(ndtr(z), a, b)
        images.append(score.reshape(subjects, -1))
    failed = [rng.random(scores.shape) < scenario.failures for scores in images]
    structural, functional = (
        np.where(bad, 0.0, scores) for bad, scores in zip(failed, images, strict=True)
    )
    # the effect is added to scores that did not fail
    return np.where(failed[0], 0.0, structural + scenario.effect), functional


def covered(scenario: Scenario, subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """For each cohort the share of organs whose 95 % interval holds the true difference."""
    rng = np.random.default_rng([seed, subjects])
    truth = scenario.effect * (1 - scenario.failures)
    shares = []
    for number in range(cohorts):
        result = compare_pairs(
            *simulate_scores(scenario, subjects, 1, rng), resamples=1999, seed=number
        )
        shares.append(np.mean((result.low <= truth) & (truth <= result.high)))
    return np.array(shares)


def false_positives(scenario: Scenario, subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """For each cohort without any effect: whether one of the 78 tests is significant after Holm."""
    rng = np.random.default_rng([seed, subjects, 1])
    results = [
        holm(compare_pairs(*simulate_scores(scenario, subjects, MODELS, rng), resamples=9).p)
        for _ in range(cohorts)
    ]
    return np.array([(p <= 0.05).any() for p in results])


def false_equivalences(
    subjects: int, cohorts: int, margin: float = 0.05, seed: int = 0
) -> np.ndarray:
    """For each cohort whose differences equal the margin: whether a test of 78 is equivalent."""
    rng = np.random.default_rng([seed, subjects, 2])
    scenario = Scenario("Dice", effect=margin)
    margins = np.full(MODELS * ORGANS, margin)
    results = []
    for _ in range(cohorts):
        structural, functional = simulate_scores(scenario, subjects, MODELS, rng)
        results.append((holm(equivalence_p(structural - functional, margins)) <= 0.05).any())
    return np.array(results)


def power(
    scenario: Scenario, subjects: int, cohorts: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The power to detect an effect that is in all organs.

    Returns:
        For each cohort the share of the 78 tests that are significant after Holm, and that of the
        models' tests.
    """
    rng = np.random.default_rng([seed, subjects, 3])
    organs, overall = [], []
    for _ in range(cohorts):
        arms = simulate_scores(scenario, subjects, MODELS, rng)
        means = [arm.reshape(subjects, MODELS, ORGANS).mean(axis=2) for arm in arms]
        organs.append((holm(compare_pairs(*arms, resamples=9).p) <= 0.05).mean())
        overall.append((holm(compare_pairs(*means, resamples=9).p) <= 0.05).mean())
    return np.array(organs), np.array(overall)


def joint(scenario: Scenario, subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Coverage of the mixed model.

    Returns:
        For each cohort whether the interval holds the truth, and whether the model was fitted.
    """
    rng = np.random.default_rng([seed, subjects, 4])
    truth = scenario.effect * (1 - scenario.failures)
    results = []
    for _ in range(cohorts):
        result = fit_mixed_model(*simulate_scores(scenario, subjects, 1, rng), resamples=99, seed=0)
        results.append((result.low <= truth <= result.high, result.method == "mixed model"))
    return np.array(results)


def simulate(cohorts: int) -> str:
    """Every result as Markdown, each with its simulation's standard error."""
    lines = ["| property | scenario | n | expected | result |", "|---|---|---|---|---|"]
    for scenario in SCENARIOS:
        for subjects in (10, 30, 100):
            shares = covered(scenario, subjects, cohorts)
            what = "95 % intervals of 13 organs hold the truth"
            lines.append(_line(what, scenario.title, subjects, "93 to 97 %", shares))
    for scenario in SCENARIOS:
        for subjects in (30, 100):
            shares = false_positives(scenario, subjects, cohorts)
            what = "no effect: any of 78 tests significant after Holm"
            lines.append(_line(what, scenario.title, subjects, "at most 5 %", shares))
    for subjects in (30, 100):
        shares = false_equivalences(subjects, cohorts)
        what = "true difference = margin 0.05: any of 78 called equivalent"
        lines.append(_line(what, "Dice", subjects, "at most 5 %", shares))
    for scenario in SCENARIOS[1:3]:
        for subjects in (30, 100):
            organs, overall = power(replace(scenario, effect=0.05), subjects, cohorts // 4)
            lines.append(
                _line(
                    "effect of 0.05 detected: share of 78 tests after Holm",
                    scenario.title,
                    subjects,
                    "",
                    organs,
                )
            )
            what = "effect of 0.05 detected: share of 6 models, all targets, after Holm"
            lines.append(_line(what, scenario.title, subjects, "", overall))
    for scenario in SCENARIOS:
        for subjects in (10, 30, 100):
            results = joint(scenario, subjects, cohorts)
            fitted = f"fitted in {results[:, 1].mean():.0%}"
            what = f"mixed model's 95 % interval holds the truth ({fitted})"
            lines.append(_line(what, scenario.title, subjects, "93 to 97 %", results[:, 0]))
    return "\n".join(lines)


def _line(what: str, scenario: str, subjects: int, expected: str, shares: np.ndarray) -> str:
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    result = f"{100 * shares.mean():.1f} ± {100 * error:.1f} %"
    line = f"| {what} | {scenario} | {subjects} | {expected} | {result} |"
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=500)
    cohorts = parser.parse_args().cohorts
    host, started = machine(), time.perf_counter()
    text = simulate(cohorts)
    took = time.perf_counter() - started
    print(f"{cohorts} cohorts each, {took:.0f} s")
    if cohorts < 500:
        return
    note = (
        f"{host}. {cohorts} simulated cohorts a line, result ± its standard error; "
        "`make bench-statistics`."
    )
    write("bench-statistics", f"{note}\n\n{text}", ROOT / "docs/statistics.md")


if __name__ == "__main__":
    main()
