"""The frame of joint models: one row for each model and modality_pair, over all of its targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.pairing import NO_FIGURE, make_pairs, side_of, why_no_figure
from evaluator.analysis.comparison.schema import JOINT, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import FAILURES, LEFT_OUT
from evaluator.statistics import fit_mixed_model
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.analysis.comparison.paired_tests import Setting
    from evaluator.analysis.comparison.pairing import Pairs
    from evaluator.analysis.comparison.score_array import Cube


def compare_jointly(cube: Cube, setting: Setting) -> pd.DataFrame:
    """Fit every model's scores jointly, in each modality_pair that the data have, with failures and without."""
    rows: list[dict[str, Any]] = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        if not (cube.has[a] & cube.has[b]).any():
            continue
        sides = tuple(side_of(cube, slice(None), number) for number in (a, b))
        pairs = {failures: make_pairs(sides[0], sides[1], cube, failures) for failures in FAILURES}
        for k, model in enumerate(cube.models):
            for failures in FAILURES:
                named = {
                    "model": model,
                    "modality_pair": f"{structural}-{functional}",
                    "metric": cube.metric,
                }
                same = failures == LEFT_OUT and np.array_equal(
                    *(own.used[k] for own in pairs.values())
                )
                own = (
                    rows[-1]
                    if same
                    else _row(pairs[failures], k, (structural, functional), setting)
                )
                rows.append(own | named | {"failures": failures})
    return pd.DataFrame(
        rows, columns=[name for name in JOINT if name not in ("dataset", "protocol")]
    )


def _row(pairs: Pairs, k: int, names: tuple[str, str], setting: Setting) -> dict[str, Any]:
    status, explanation = why_no_figure(pairs, k, -1, names)
    if status in NO_FIGURE:
        nothing = {"method": "none", "reason": explanation, "n": 0, "scores": 0, "targets": 0}
        return nothing | {"status": status, "explanation": explanation}
    first, second = (side[k, :-1].T for side in (pairs.first, pairs.second))
    fitted = asdict(
        fit_mixed_model(
            first,
            second,
            resamples=setting.resamples,
            seed=setting.seed,
            confidence=setting.confidence,
        )
    )
    few = fitted["p"] is None
    said = f"{fitted['n']} subjects allow no test" if few else ""
    return fitted | {"status": "few subjects" if few else "ok", "explanation": said}
