"""Validation by simulation: coverage, false positives and power on simulated subjects.

A subject has 13 organs on two images. Each organ's score is correlated with the subject's others
(0.5 on an image, more within an organ). Scores are Dice-like (beta) or normal; some scenarios have
failures, which count as 0. The true effect is given. ``benchmarks.failure_cohorts`` has failures
that are more frequent on one image.

    make bench-statistics                the full simulation, minutes; writes docs/statistics.md
    benchmarks/bench_statistics.py --cohorts 40   a short run; prints only
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from benchmarks import failure_cohorts
from benchmarks.tables import ROOT, machine, write
from evaluator.statistics import compare_pairs, equivalence_p, fit_mixed_model, holm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ORGANS, MODELS = 13, 6
NOTES = {
    "bench-statistics-failures": " Where entire scans fail, the mixed model is fitted to the first "
    f"{failure_cohorts.FITTED} cohorts of a line, which must agree with the subjects' means to "
    f"{failure_cohorts.BOUNDARY}; the others are computed from these means."
}
#: cohorts of a table for each cohort that is ordered; those with failures are computed in batches
TIMES = {"bench-statistics-failures": 5, "bench-statistics": 1}
#: shorter runs are printed and not written
FEWEST_COHORTS = 200


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
        holm(
            compare_pairs(
                *simulate_scores(scenario, subjects, MODELS, rng), resamples=9
            ).p_sign_flip
        )
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
        organs.append((holm(compare_pairs(*arms, resamples=9).p_sign_flip) <= 0.05).mean())
        overall.append((holm(compare_pairs(*means, resamples=9).p_sign_flip) <= 0.05).mean())
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


@dataclass(frozen=True)
class Line:
    """Lines of the table that one simulation gives."""

    simulation: Callable[..., np.ndarray]
    arguments: tuple[Any, ...]
    scenario: str
    subjects: int
    #: property and what is expected of it, for each column of the simulation's result
    properties: tuple[tuple[str, str], ...]


COVERAGE, ERRORS = "93 to 97 %", "at most 5 %"
WIDER = "at least 93 %"


def table_lines(cohorts: int) -> Iterator[Line]:
    """Every simulation of the table."""
    organs = (("95 % intervals of 13 organs hold the truth", COVERAGE),)
    for scenario in SCENARIOS:
        for n in (10, 30, 100):
            yield Line(covered, (scenario, n, cohorts), scenario.title, n, organs)
    any_test = (("no effect: any of 78 tests significant after Holm", ERRORS),)
    for scenario in SCENARIOS:
        for n in (30, 100):
            yield Line(false_positives, (scenario, n, cohorts), scenario.title, n, any_test)
    at_margin = (("true difference = margin 0.05: any of 78 called equivalent", ERRORS),)
    for n in (30, 100):
        yield Line(false_equivalences, (n, cohorts), "Dice", n, at_margin)
    found = (
        ("effect of 0.05 detected: share of 78 tests after Holm", ""),
        ("effect of 0.05 detected: share of 6 models, all targets, after Holm", ""),
    )
    for scenario in SCENARIOS[1:3]:
        for n in (30, 100):
            with_effect = replace(scenario, effect=0.05)
            yield Line(power, (with_effect, n, cohorts // 4), scenario.title, n, found)
    fitted = (("mixed model's 95 % interval holds the truth", COVERAGE), ("… is fitted", "100 %"))
    for scenario in SCENARIOS:
        for n in (10, 30, 100):
            yield Line(joint, (scenario, n, cohorts), scenario.title, n, fitted)


def failure_lines(cohorts: int) -> Iterator[Line]:
    """The simulations of failures, which are more frequent on one image."""
    differences = (
        ("95 % intervals of the difference hold it", WIDER),
        ("… by the observed spread alone", ""),
    )
    of_means = (("95 % intervals of a mean hold it", WIDER), ("… by the observed spread alone", ""))
    equivalent = (
        ("true difference = margin: called equivalent", "at most 6 %"),
        ("… by the observed spread alone", ""),
    )
    for rates in failure_cohorts.RATES:
        title = f"failures {100 * rates[0]:g} % / {100 * rates[1]:g} %"
        for n in failure_cohorts.SUBJECTS:
            arguments = (rates, n, cohorts)
            yield Line(failure_cohorts.coverage, arguments, title, n, differences)
            if rates[0] != rates[1]:
                yield Line(failure_cohorts.false_equivalence, arguments, title, n, equivalent)
    for rate in (0.02, 0.05, 0.10, 0.60):
        for n in failure_cohorts.SUBJECTS:
            title = f"failures {100 * rate:g} %"
            yield Line(failure_cohorts.coverage_of_means, (rate, n, cohorts), title, n, of_means)
    yield from _consistent_lines(cohorts, (differences, equivalent))
    nothing = (("no difference: called equivalent within 0.05", ""), equivalent[1])
    for n in (30, 60, 100):
        yield Line(failure_cohorts.true_equivalence, (n, cohorts), "no failures", n, nothing)
    joints = (
        ("mixed model's 95 % interval holds the difference", WIDER),
        ("… by the observed spread alone", ""),
        ("mixed model: called equivalent within the true difference", "at most 6 %"),
        ("… by the observed spread alone", ""),
    )
    for rates in ((0.0, 0.02), (0.0, 0.05), (0.0, 0.10), (0.01, 0.10), (0.30, 0.60)):
        title = f"entire scans fail, {100 * rates[0]:g} % / {100 * rates[1]:g} %"
        for n in failure_cohorts.SUBJECTS:
            arguments = (rates, n, cohorts)
            yield Line(failure_cohorts.joint, arguments, title, n, joints)
    equal = (
        ("equal means: Wilcoxon's p at most 0.05", ""),
        ("equal means: p of the sign flips at most 0.05", ""),
        ("… and the interval does not hold 0", ERRORS),
    )
    for n in (10, 30, 100):
        title = "failures 5 % / 0 %, else better"
        yield Line(failure_cohorts.silent_differences, (n, cohorts), title, n, equal)
    at_number = (("difference of 0.05 found with the number of subjects that is stated", "80 %"),)
    for n in (10, 30):
        yield Line(failure_cohorts.power_at_the_number, (n, cohorts), "normal", n, at_number)


def _consistent_lines(cohorts: int, properties: tuple[Any, Any]) -> Iterator[Line]:
    """The same for a model whose other scores have a small spread: 0.05 instead of 0.14."""
    differences, equivalent = properties
    joints = (*(_of_joint(what) for what in differences), *(_of_joint(what) for what in equivalent))
    for rate in (0.02, 0.05, 0.10):
        title = f"consistent model, failures 0 % / {100 * rate:g} %"
        entire = f"consistent model, entire scans fail, 0 % / {100 * rate:g} %"
        for n in failure_cohorts.SUBJECTS:
            arguments = ((0.0, rate), n, cohorts, True)
            yield Line(failure_cohorts.coverage, arguments, title, n, differences)
            yield Line(failure_cohorts.false_equivalence, arguments, title, n, equivalent)
            arguments = ((0.0, rate), n, cohorts, True)
            yield Line(failure_cohorts.joint, arguments, entire, n, joints)


def _of_joint(what: tuple[str, str]) -> tuple[str, str]:
    name, expected = what
    return (name if name.startswith("…") else f"mixed model: {name}"), expected


def simulate(lines: Iterable[Line]) -> str:
    """Every result as Markdown, each with its simulation's standard error."""
    table = ["| property | scenario | n | expected | result |", "|---|---|---|---|---|"]
    with ProcessPoolExecutor(2) as pool:
        for rows in pool.map(_rows, lines):
            print("\n".join(rows), flush=True)
            table += rows
    return "\n".join(table)


def _rows(line: Line) -> list[str]:
    results = line.simulation(*line.arguments)
    columns = results.T if isinstance(results, np.ndarray) else np.stack(results)
    columns = np.atleast_2d(columns)
    return [
        _row(what, line.scenario, line.subjects, expected, shares)
        for (what, expected), shares in zip(line.properties, columns, strict=True)
    ]


def _row(what: str, scenario: str, subjects: int, expected: str, shares: np.ndarray) -> str:
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    result = f"{100 * shares.mean():.1f} ± {100 * error:.1f} %"
    return f"| {what} | {scenario} | {subjects} | {expected} | {result} |"


#: name of the table in docs/statistics.md -> its simulations
TABLES = {"bench-statistics-failures": failure_lines, "bench-statistics": table_lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--table", choices=TABLES, action="append", help="default: each")
    arguments = parser.parse_args()
    cohorts = arguments.cohorts
    for name in arguments.table or TABLES:
        host, started = machine(), time.perf_counter()
        count = cohorts * TIMES[name]
        text = simulate(TABLES[name](count))
        print(f"{name}: {count} cohorts each, {time.perf_counter() - started:.0f} s")
        if cohorts < FEWEST_COHORTS:
            continue
        note = (
            f"{host}. {count} simulated cohorts a line (of power at a known effect {count // 4}), "
            f"result ± its standard error; `make bench-statistics`.{NOTES.get(name, '')}"
        )
        write(name, f"{note}\n\n{text}", ROOT / "docs/statistics.md")


if __name__ == "__main__":
    main()
