"""The figures of many comparisons of two arms, each with its own subjects, and the status of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics import METRICS
from evaluator.statistics import FEWEST, compare_pairs, equivalence_p, holm, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: figures of ``compare_pairs`` that are columns of the frames
_FIGURES = (
    "difference", "low", "high", "low_90", "high_90", "shift", "rank_biserial", "wins", "p", "p_sign_flip",
)  # fmt: skip
#: of an overlap: two arms both below it are a model that works on neither
COLLAPSED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """What is the same for all figures of a comparison."""

    margins: Mapping[str, float]
    confidence: float
    resamples: int
    seed: int


def pair_figures(
    first: Any, second: Any, metric: str, options: ComparisonOptions
) -> dict[str, NDArray[Any]]:
    """Figures of c comparisons of scores (c, subjects), NaN where a subject has no pair; arrays (c,), NaN where unknown.

    ``n``, ``first`` and ``second`` (the means of the arms), those of ``Paired``, ``margin`` and ``p_equivalence``.
    Differences are oriented as the metric's numbers; rank_biserial and wins so that positive and large is better.
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    n = both.sum(axis=1)
    c = len(n)
    figures: dict[str, NDArray[Any]] = {
        name: np.full(c, np.nan) for name in (*_FIGURES, "first", "second")
    }
    figures |= {
        "n": n,
        "margin": np.full(c, options.margins.get(metric, np.nan)),
        "p_equivalence": np.full(c, np.nan),
    }
    for count in np.unique(n[n > 0]):
        cells = np.flatnonzero(n == count)
        one, two = (arm[cells][both[cells]].reshape(len(cells), count).T for arm in (first, second))
        found = compare_pairs(
            one, two, confidence=options.confidence, resamples=options.resamples, seed=options.seed
        )
        for name in _FIGURES:
            figures[name][cells] = getattr(found, name)
        figures["first"][cells], figures["second"][cells] = one.mean(axis=0), two.mean(axis=0)
        figures["p_equivalence"][cells] = equivalence_p(one - two, figures["margin"][cells])
    if METRICS[metric].direction == "lower":
        figures["rank_biserial"], figures["wins"] = -figures["rank_biserial"], 1 - figures["wins"]
    return figures


def judge(
    figures: dict[str, NDArray[Any]], metric: str, reasons: list[tuple[str, str]]
) -> dict[str, list[Any]]:
    """Adjusted p, verdict, status and explanation of the comparisons of one family.

    ``reasons`` has for each comparison why there is no figure to believe, as (status, explanation); ("", "") if none is
    known. Those that have one are outside the family.
    """
    outside = np.array([bool(status) for status, _ in reasons], dtype=bool)
    p, p_equivalence = (np.where(outside, np.nan, figures[name]) for name in ("p", "p_equivalence"))
    p_holm, p_equivalence_holm = holm(p), holm(p_equivalence)
    overlap = METRICS[metric].unit == "" and METRICS[metric].direction == "higher"
    verdicts, statuses, explanations = [], [], []
    for i, (status, explanation) in enumerate(reasons):
        enough = figures["n"][i] >= FEWEST
        said = verdict(p_holm[i], p_equivalence_holm[i]) if enough else verdict(np.nan, np.nan)
        told = [explanation]
        if not status:
            status, explanation = _own(figures, i)
            told = [explanation]
            if overlap and max(figures["first"][i], figures["second"][i]) < COLLAPSED:
                said = verdict(np.nan, np.nan)
                told.append(
                    f"both means are below {COLLAPSED}: neither arm works, which is no agreement"
                )
        verdicts.append(said)
        statuses.append(status)
        explanations.append("; ".join(filter(None, told)))
    return {
        "p_holm": list(p_holm),
        "p_equivalence_holm": list(p_equivalence_holm),
        "verdict": verdicts,
        "status": statuses,
        "explanation": explanations,
        "tests": [int((~np.isnan(p)).sum())] * len(reasons),
    }


def _own(figures: dict[str, NDArray[Any]], i: int) -> tuple[str, str]:
    """Status and explanation that the figures themselves give."""
    n = int(figures["n"][i])
    if n == 0:
        return "no pairs", "no subject has a score on both arms"
    if n == 1:
        return "one subject", "one subject allows neither an interval nor a test"
    if n < FEWEST:
        return "few subjects", f"fewer than {FEWEST} subjects allow no interval"
    if figures["low"][i] == figures["high"][i]:
        return "ok", "the differences of all subjects are equal"
    return "ok", ""
