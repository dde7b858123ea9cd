"""Estimates and tests of many paired comparisons, and the status of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.verdict_reasons import (
    NEITHER_WORKS,
    TOO_FEW,
    JudgedRow,
    explain_verdict,
)
from evaluator.metrics.metric_table import METRICS
from evaluator.statistics import FEWEST, compare_pairs, equivalence_p, holm, smallest_p, verdict
from evaluator.statistics.sample_size import spread, subjects_for_tests, subjects_needed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.analysis.comparison.families import Family
    from evaluator.analysis.comparison.subject_failures import SubjectFailures

    Estimates = dict[str, NDArray[Any]]

#: results of ``compare_pairs`` that are columns of the tables
_ESTIMATES = (
    "difference", "low", "high", "low_90", "high_90", "low_observed", "high_observed",
    "low_90_observed", "high_90_observed", "shift", "rank_biserial", "wins", "p", "p_sign_flip",
)  # fmt: skip
#: further results of ``paired_estimates``
_FURTHER = (
    "first", "second", "p_equivalence", "p_equivalence_observed", "sd", "sd_low", "sd_high",
)  # fmt: skip
#: estimates without an allowance for failures -> the columns that they are in if failures are
#: excluded
WITHOUT_ALLOWANCE = {
    "low_observed": "low",
    "high_observed": "high",
    "low_90_observed": "low_90",
    "high_90_observed": "high_90",
    "p_equivalence_observed": "p_equivalence",
}
#: an overlap score below this in both arms means that the model works in neither
COLLAPSED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """Options that are the same for all estimates of a comparison."""

    #: metric -> margin of equivalence in the metric's unit
    margins: Mapping[str, float]
    #: coverage of intervals, such as 0.95
    confidence: float
    #: bootstrap samples
    resamples: int
    #: seed of the resampling
    seed: int
    #: declared families of tests
    families: tuple[Family, ...] = ()
    #: labels of models that are in no family with others -> reason
    outside: Mapping[str, str] = field(default_factory=dict)


def paired_estimates(
    first: Any,
    second: Any,
    metric: str,
    options: ComparisonOptions,
    failures: tuple[SubjectFailures, SubjectFailures] | None = None,
) -> Estimates:
    """Compute the estimates of c paired comparisons.

    Args:
        first: Scores of one arm, array of shape (c, subjects), NaN where a subject has no pair.
        second: Scores of the other arm.
        metric: Name of the metric.
        options: Margins, confidence and resampling.
        failures: Of the first and the second arm alone, as rows; None: no allowance is made.

    Returns:
        Arrays of shape (c,), NaN where undefined: ``n``, ``first`` and ``second`` (means of the
        arms), the fields of ``evaluator.statistics.Paired``, ``margin``, ``p_equivalence`` with
        and without the allowance for failures, ``sd`` of the differences with its interval, and
        ``loss`` (what a failure costs, the larger one of both arms; 0 without failures).
        Differences are first minus second in the metric's unit. ``rank_biserial`` and ``wins`` are
        oriented: a large positive value means that the first arm is better.
    """
    paired = ~np.isnan(first) & ~np.isnan(second)
    n = paired.sum(axis=1)
    estimates: Estimates = {name: np.full(len(n), np.nan) for name in (*_ESTIMATES, *_FURTHER)}
    estimates["n"] = n
    estimates["margin"] = np.full(len(n), options.margins.get(metric, np.nan))
    estimates["loss"] = np.zeros(len(n))
    for count in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == count)
        a, b = (
            values[rows][paired[rows]].reshape(len(rows), count).T for values in (first, second)
        )
        parts = _parts(failures, rows, paired[rows])
        of_rows = _estimates_of_n(a, b, estimates["margin"][rows], options, parts)
        for name, values in of_rows.items():
            estimates[name][rows] = values
    if METRICS[metric].direction == "lower":
        estimates["rank_biserial"] = -estimates["rank_biserial"]
        estimates["wins"] = 1 - estimates["wins"]
    return estimates


def _parts(
    failures: tuple[SubjectFailures, SubjectFailures] | None, rows: Any, present: Any
) -> tuple[Any, ...]:
    if failures is None:
        return ()
    of_first, of_second = failures
    return (of_first.part(rows, present, -1.0), of_second.part(rows, present, 1.0))


def _estimates_of_n(
    first: Any, second: Any, margin: Any, options: ComparisonOptions, parts: tuple[Any, ...]
) -> Estimates:
    result = compare_pairs(
        first,
        second,
        failures=parts,
        confidence=options.confidence,
        resamples=options.resamples,
        seed=options.seed,
    )
    estimates = {name: getattr(result, name) for name in _ESTIMATES}
    estimates["first"], estimates["second"] = first.mean(axis=0), second.mean(axis=0)
    estimates["p_equivalence"] = equivalence_p(first - second, margin, parts)
    estimates["p_equivalence_observed"] = equivalence_p(first - second, margin)
    deviations = spread(first - second, seed=options.seed)
    estimates["sd"], estimates["sd_low"], estimates["sd_high"] = deviations
    if parts:
        estimates["loss"] = np.abs([part.effect for part in parts]).max(axis=0)
    return estimates


def adjusted_verdicts(
    estimates: Estimates, metric: str, reasons: list[tuple[str, str]]
) -> dict[str, list[Any]]:
    """Adjust the p values of one family of comparisons and derive their verdicts.

    Args:
        estimates: ``n``, ``first``, ``second``, ``p_sign_flip`` and ``p_equivalence`` of
            ``paired_estimates`` for the family.
        metric: Name of the metric.
        reasons: For each comparison the status and explanation of why it has no valid estimate,
            or two empty strings. Comparisons with a status are not part of the family.

    Returns:
        Lists with one entry for each comparison: ``p_holm`` (of the sign-flip test of the mean),
        ``p_equivalence_holm``, ``verdict`` and ``tests`` (size of the family).
    """
    outside = np.array([bool(status) for status, _ in reasons], dtype=bool)
    p = np.where(outside, np.nan, estimates["p_sign_flip"])
    p_holm = holm(p)
    p_equivalence_holm = holm(np.where(outside, np.nan, estimates["p_equivalence"]))
    verdicts = []
    for i in range(len(reasons)):
        conclusive = estimates["n"][i] >= FEWEST and not _both_collapsed(estimates, i, metric)
        tests = (p_holm[i], p_equivalence_holm[i]) if conclusive else (np.nan, np.nan)
        verdicts.append(verdict(*tests))
    return {
        "p_holm": list(p_holm),
        "p_equivalence_holm": list(p_equivalence_holm),
        "verdict": verdicts,
        "tests": [int((~np.isnan(p)).sum())] * len(reasons),
    }


def judge(
    estimates: Estimates, metric: str, reasons: list[tuple[str, str]]
) -> dict[str, list[Any]]:
    """Adjust the p values of one family of comparisons, derive their verdicts and explain them.

    Args:
        estimates: Results of ``paired_estimates`` for the family.
        metric: Name of the metric.
        reasons: As for ``adjusted_verdicts``.

    Returns:
        The lists of ``adjusted_verdicts``, and with one entry for each comparison
        ``smallest_p_holm``, ``subjects_for_tests``, ``subjects_needed`` and its interval,
        ``verdict_reason``, ``status`` and ``explanation``.
    """
    columns = adjusted_verdicts(estimates, metric, reasons)
    tests = columns["tests"][0] if reasons else 0
    outside = np.array([bool(status) for status, _ in reasons], dtype=bool)
    needed = np.where(outside, np.nan, _needed(estimates, max(tests, 1)))
    smallest = [
        np.nan if status or n < 2 else min(1.0, tests * smallest_p(int(n)))
        for (status, _), n in zip(reasons, estimates["n"], strict=True)
    ]
    texts = [
        (status, "", explanation)
        if status
        else _explain(estimates, i, metric, columns["verdict"][i], tests, needed[:, i])
        for i, (status, explanation) in enumerate(reasons)
    ]
    for number, name in enumerate(("status", "verdict_reason", "explanation")):
        columns[name] = [text[number] for text in texts]
    return columns | {
        "smallest_p_holm": smallest,
        "subjects_for_tests": list(np.where(outside, np.nan, subjects_for_tests(max(tests, 1)))),
        "subjects_needed": list(needed[0]),
        "subjects_needed_low": list(needed[1]),
        "subjects_needed_high": list(needed[2]),
    }


def _needed(estimates: Estimates, tests: int) -> NDArray[np.float64]:
    """The subjects that the margin needs, (3, c); NaN where they are unknown."""
    deviations = np.stack([estimates[name] for name in ("sd", "sd_low", "sd_high")])
    needed = subjects_needed(deviations, estimates["margin"], tests)
    return np.where(estimates["n"] >= FEWEST, needed, np.nan)


def _explain(
    estimates: Estimates,
    i: int,
    metric: str,
    word: str,
    tests: int,
    needed: NDArray[np.float64],
) -> tuple[str, str, str]:
    """Return status, reason of the verdict and explanation."""
    status, explanation = _status(estimates, i)
    if status != "ok":
        return status, TOO_FEW if estimates["n"][i] else "", explanation
    if _both_collapsed(estimates, i, metric):
        text = (
            f"both means are below {COLLAPSED}: neither arm works, which is not evidence of "
            "agreement"
        )
        return status, NEITHER_WORKS, _joined(explanation, text)
    names = (
        "p", "p_sign_flip", "low", "high", "low_observed", "high_observed", "low_90_observed",
        "high_90_observed", "margin", "loss",
    )  # fmt: skip
    row = JudgedRow(
        n=int(estimates["n"][i]),
        tests=tests,
        verdict=word,
        needed=(float(needed[0]), float(needed[1]), float(needed[2])),
        **{name: float(estimates[name][i]) for name in names},
    )
    reason, sentence = explain_verdict(row)
    return status, reason, _joined(explanation, sentence)


def _joined(*sentences: str) -> str:
    return "; ".join(filter(None, sentences))


def _both_collapsed(estimates: Estimates, i: int, metric: str) -> bool:
    """Report whether the metric is an overlap score and both arms are near zero."""
    if METRICS[metric].unit or METRICS[metric].direction != "higher":
        return False
    return bool(max(estimates["first"][i], estimates["second"][i]) < COLLAPSED)


def _status(estimates: Estimates, i: int) -> tuple[str, str]:
    """Return status and explanation by the number of subjects and the interval."""
    n = int(estimates["n"][i])
    if n == 0:
        return "no pairs", "no subject has a score in both arms"
    if n == 1:
        return "one subject", "one subject allows neither an interval nor a test"
    if n < FEWEST:
        return "few subjects", f"fewer than {FEWEST} subjects do not allow an interval"
    if estimates["low_observed"][i] == estimates["high_observed"][i]:
        return "ok", "the differences of all subjects are equal"
    return "ok", ""
