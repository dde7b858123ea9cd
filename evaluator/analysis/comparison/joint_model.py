"""The table of joint models: one row for each model and modality pair, over all targets."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.pairing import NO_ESTIMATE, arm_of, make_pairs, why_no_estimate
from evaluator.analysis.comparison.schema import JOINT, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import EXCLUDED, FAILURE_RULES, INCLUDED
from evaluator.analysis.comparison.subject_failures import SubjectFailures
from evaluator.statistics import ALPHA, FEWEST, fit_mixed_model
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.pairing import Pairs
    from evaluator.analysis.comparison.score_array import ScoreArray
    from evaluator.statistics import FailurePart


def compare_jointly(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Fit a mixed model to each model's scores, by modality pair and failure rule.

    Returns:
        Rows with the columns ``JOINT`` (without dataset and protocol).
    """
    rows: list[dict[str, Any]] = []
    margin = options.margins.get(score_array.metric, np.nan)
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        if not (score_array.has[a] & score_array.has[b]).any():
            continue
        first, second = (arm_of(score_array, slice(None), number) for number in (a, b))
        pairs = {
            failures: make_pairs(first, second, score_array, failures) for failures in FAILURE_RULES
        }
        for (k, model), failures in product(enumerate(score_array.models), FAILURE_RULES):
            labels = {
                "model": model,
                "modality_pair": f"{structural}-{functional}",
                "metric": score_array.metric,
                "failures": failures,
            }
            no_failures = np.array_equal(pairs[INCLUDED].used[k], pairs[EXCLUDED].used[k])
            if failures == EXCLUDED and no_failures:
                fit = _without_allowance(rows[-1])
            else:
                fit = _row(pairs[failures], k, (structural, functional), margin, options)
            rows.append(fit | labels)
    return pd.DataFrame(
        rows, columns=[name for name in JOINT if name not in ("dataset", "protocol")]
    )


def _row(
    pairs: Pairs, k: int, names: tuple[str, str], margin: float, options: ComparisonOptions
) -> dict[str, Any]:
    status, explanation = why_no_estimate(pairs, k, -1, names)
    if status in NO_ESTIMATE:
        nothing = {"method": "none", "reason": explanation, "n": 0, "scores": 0, "targets": 0}
        return nothing | {"status": status, "explanation": explanation, "margin": margin}
    first, second = (means[k, :-1].T for means in (pairs.first, pairs.second))
    fit = fit_mixed_model(
        first,
        second,
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
        failures=_parts(pairs, k),
        margin=margin,
    )
    row = asdict(fit) | {"margin": margin}
    if fit.n < FEWEST:
        explanation = (
            "one subject allows neither an interval nor a test"
            if fit.n == 1
            else f"fewer than {FEWEST} subjects do not allow an interval"
        )
        status = "one subject" if fit.n == 1 else "few subjects"
        return row | {"status": status, "explanation": explanation}
    return row | {"status": "ok", "explanation": _remark(row)}


def _parts(pairs: Pairs, k: int) -> tuple[FailurePart, ...]:
    """The failures of a model's subjects over all targets."""
    if pairs.failures is None:
        return ()
    present = ~np.isnan(pairs.first[k, -1:])
    parts = []
    for failures, sign in zip(pairs.failures, (-1.0, 1.0), strict=True):
        of_model = SubjectFailures(share=failures.share[k, -1:], loss=failures.loss[k, -1:])
        parts.append(of_model.part(slice(None), present, sign))
    return tuple(parts)


def _remark(row: dict[str, Any]) -> str:
    """A p below 5 % beside an interval that holds 0 is explained."""
    if row["p"] is None or row["low"] is None:
        return ""
    if row["p"] > ALPHA or not row["low"] <= 0 <= row["high"]:
        return ""
    return (
        f"different if failures are as rare as among these {row['n']} subjects; the interval also "
        "allows for failures that were not seen, and so holds 0"
    )


def _without_allowance(row: dict[str, Any]) -> dict[str, Any]:
    """The row with failures excluded where none occurred: its interval makes no allowance."""
    names = ("low", "high", "p_equivalence")
    observed = {name: row.get(f"{name}_observed") for name in names}
    remark = {"explanation": ""} if row["status"] == "ok" else {}
    return row | observed | remark
