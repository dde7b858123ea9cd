"""The frame of joint models: one row for each model and modality_pair, over all of its targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.pairing import NO_FIGURE, arm_of, make_pairs, why_no_figure
from evaluator.analysis.comparison.schema import JOINT, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import EXCLUDED, FAILURE_RULES
from evaluator.statistics import fit_jointly
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.pairing import Pairs
    from evaluator.analysis.comparison.score_array import ScoreArray


def compare_jointly(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Fit every model's scores jointly, in each modality_pair that the data have, with failures and without."""
    rows: list[dict[str, Any]] = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        if not (score_array.has[a] & score_array.has[b]).any():
            continue
        arms = tuple(arm_of(score_array, slice(None), number) for number in (a, b))
        pairs = {
            failures: make_pairs(arms[0], arms[1], score_array, failures)
            for failures in FAILURE_RULES
        }
        for k, model in enumerate(score_array.models):
            for failures in FAILURE_RULES:
                named = {
                    "model": model,
                    "modality_pair": f"{structural}-{functional}",
                    "metric": score_array.metric,
                }
                same = failures == EXCLUDED and np.array_equal(
                    *(own.used[k] for own in pairs.values())
                )
                own = (
                    rows[-1]
                    if same
                    else _row(pairs[failures], k, (structural, functional), options)
                )
                rows.append(own | named | {"failures": failures})
    return pd.DataFrame(
        rows, columns=[name for name in JOINT if name not in ("dataset", "protocol")]
    )


def _row(
    pairs: Pairs, k: int, names: tuple[str, str], options: ComparisonOptions
) -> dict[str, Any]:
    status, explanation = why_no_figure(pairs, k, -1, names)
    if status in NO_FIGURE:
        nothing = {"method": "none", "reason": explanation, "n": 0, "scores": 0, "targets": 0}
        return nothing | {"status": status, "explanation": explanation}
    first, second = (arm[k, :-1].T for arm in (pairs.first, pairs.second))
    fitted = asdict(
        fit_jointly(
            first,
            second,
            resamples=options.resamples,
            seed=options.seed,
            confidence=options.confidence,
        )
    )
    few = fitted["p"] is None
    said = f"{fitted['n']} subjects allow no test" if few else ""
    return fitted | {"status": "few subjects" if few else "ok", "explanation": said}
