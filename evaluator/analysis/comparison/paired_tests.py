"""Estimates and tests of many paired comparisons, and the status of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics import METRICS
from evaluator.statistics import FEWEST, compare_pairs, equivalence_p, holm, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: results of ``compare_pairs`` that are columns of the tables
_ESTIMATES = (
    "difference", "low", "high", "low_90", "high_90", "shift", "rank_biserial", "wins",
    "p", "p_sign_flip",
)  # fmt: skip
#: an overlap score below this in both arms means that the model works in neither
COLLAPSED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """Options that are the same for all estimates of a comparison."""

    #: metric -> margin of equivalence in the metric's unit
    margins: Mapping[str, float]
    #: coverage of intervals, such as 0.95
    confidence: float
    #: bootstrap samples and random permutations
    resamples: int
    #: seed of the resampling
    seed: int


def paired_estimates(
    first: Any, second: Any, metric: str, options: ComparisonOptions
) -> dict[str, NDArray[Any]]:
    """Compute the estimates of c paired comparisons.

    Args:
        first: Scores of one arm, array of shape (c, subjects), NaN where a subject has no pair.
        second: Scores of the other arm.
        metric: Name of the metric.
        options: Margins, confidence and resampling.

    Returns:
        Arrays of shape (c,), NaN where undefined: ``n``, ``first`` and ``second`` (means of the
        arms), the fields of ``evaluator.statistics.Paired``, ``margin`` and ``p_equivalence``.
        Differences are first minus second in the metric's unit. ``rank_biserial`` and ``wins``
        are oriented: a large positive value means that the first arm is better.
    """
    paired = ~np.isnan(first) & ~np.isnan(second)
    n = paired.sum(axis=1)
    count_all = len(n)
    estimates: dict[str, NDArray[Any]] = {
        name: np.full(count_all, np.nan)
        for name in (*_ESTIMATES, "first", "second", "p_equivalence")
    }
    estimates["n"] = n
    estimates["margin"] = np.full(count_all, options.margins.get(metric, np.nan))
    for count in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == count)
        a, b = (
            values[rows][paired[rows]].reshape(len(rows), count).T for values in (first, second)
        )
        result = compare_pairs(
            a,
            b,
            confidence=options.confidence,
            resamples=options.resamples,
            seed=options.seed,
        )
        for name in _ESTIMATES:
            estimates[name][rows] = getattr(result, name)
        estimates["first"][rows] = a.mean(axis=0)
        estimates["second"][rows] = b.mean(axis=0)
        estimates["p_equivalence"][rows] = equivalence_p(a - b, estimates["margin"][rows])
    if METRICS[metric].direction == "lower":
        estimates["rank_biserial"] = -estimates["rank_biserial"]
        estimates["wins"] = 1 - estimates["wins"]
    return estimates


def judge(
    estimates: dict[str, NDArray[Any]], metric: str, reasons: list[tuple[str, str]]
) -> dict[str, list[Any]]:
    """Adjust the p values of one family of comparisons and derive their verdicts.

    Args:
        estimates: Results of ``paired_estimates`` for the family.
        metric: Name of the metric.
        reasons: For each comparison the status and explanation of why it has no valid estimate,
            or two empty strings. Comparisons with a status are not part of the family.

    Returns:
        Lists with one entry for each comparison: ``p_holm``, ``p_equivalence_holm``, ``verdict``,
        ``status``, ``explanation`` and ``tests`` (size of the family).
    """
    outside = np.array([bool(status) for status, _ in reasons], dtype=bool)
    p = np.where(outside, np.nan, estimates["p"])
    p_holm = holm(p)
    p_equivalence_holm = holm(np.where(outside, np.nan, estimates["p_equivalence"]))
    verdicts, statuses, explanations = [], [], []
    for i, (status, explanation) in enumerate(reasons):
        conclusive = estimates["n"][i] >= FEWEST
        explanation_parts = [explanation]
        if not status:
            status, explanation = _status(estimates, i)
            explanation_parts = [explanation]
            if _both_collapsed(estimates, i, metric):
                conclusive = False
                explanation_parts.append(
                    f"both means are below {COLLAPSED}: neither arm works, "
                    "which is not evidence of agreement"
                )
        tests = (p_holm[i], p_equivalence_holm[i]) if conclusive else (np.nan, np.nan)
        verdicts.append(verdict(*tests))
        statuses.append(status)
        explanations.append("; ".join(filter(None, explanation_parts)))
    return {
        "p_holm": list(p_holm),
        "p_equivalence_holm": list(p_equivalence_holm),
        "verdict": verdicts,
        "status": statuses,
        "explanation": explanations,
        "tests": [int((~np.isnan(p)).sum())] * len(reasons),
    }


def _both_collapsed(estimates: dict[str, NDArray[Any]], i: int, metric: str) -> bool:
    """Report whether the metric is an overlap score and both arms are near zero."""
    if METRICS[metric].unit or METRICS[metric].direction != "higher":
        return False
    return bool(max(estimates["first"][i], estimates["second"][i]) < COLLAPSED)


def _status(estimates: dict[str, NDArray[Any]], i: int) -> tuple[str, str]:
    """Return status and explanation by the number of subjects and the interval."""
    n = int(estimates["n"][i])
    if n == 0:
        return "no pairs", "no subject has a score in both arms"
    if n == 1:
        return "one subject", "one subject allows neither an interval nor a test"
    if n < FEWEST:
        return "few subjects", f"fewer than {FEWEST} subjects do not allow an interval"
    if estimates["low"][i] == estimates["high"][i]:
        return "ok", "the differences of all subjects are equal"
    return "ok", ""
