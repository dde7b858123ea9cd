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
from evaluator.statistics import fit_mixed_model
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.pairing import Pairs
    from evaluator.analysis.comparison.score_array import ScoreArray


def compare_jointly(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Fit a mixed model to each model's scores, by modality pair and failure rule.

    Returns:
        Rows with the columns ``JOINT`` (without dataset and protocol).
    """
    rows: list[dict[str, Any]] = []
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
                fit = rows[-1]
            else:
                fit = _row(pairs[failures], k, (structural, functional), options)
            rows.append(fit | labels)
    return pd.DataFrame(
        rows, columns=[name for name in JOINT if name not in ("dataset", "protocol")]
    )


def _row(
    pairs: Pairs, k: int, names: tuple[str, str], options: ComparisonOptions
) -> dict[str, Any]:
    status, explanation = why_no_estimate(pairs, k, -1, names)
    if status in NO_ESTIMATE:
        nothing = {"method": "none", "reason": explanation, "n": 0, "scores": 0, "targets": 0}
        return nothing | {"status": status, "explanation": explanation}
    first, second = (means[k, :-1].T for means in (pairs.first, pairs.second))
    fit = fit_mixed_model(
        first,
        second,
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
    )
    row = asdict(fit)
    if fit.p is None:
        explanation = f"{fit.n} subjects do not allow a test"
        return row | {"status": "few subjects", "explanation": explanation}
    return row | {"status": "ok", "explanation": ""}
