"""The table of volumes: predicted against reference, by Bland and Altman."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.schema import MODALITY_PAIRS, VOLUMES
from evaluator.statistics import bland_altman

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.runs.results import Group

_BY = ["model", "modality", "target"]
_KEY = ["run", "case", "modality", "target", "seed", "round"]
_COLUMNS = [name for name in VOLUMES if name not in ("dataset", "protocol")]


def agree_on_volumes(group: Group, scores: pd.DataFrame) -> pd.DataFrame:
    """Compute limits of agreement for each model, modality and target.

    The reference volume of a scan is computed from a prediction's volume and its ``rve`` or
    ``volume_error_ml``. If the protocol has neither metric the table is empty.

    Args:
        group: Runs of one dataset under one protocol.
        scores: Their scores in one round.

    Returns:
        Rows with the columns ``VOLUMES`` (without dataset and protocol), for all scans and for
        those of each modality pair.
    """
    frame = _volumes(group, scores)
    rows = []
    for modality_pair, scans in _selections(frame):
        complete = scans.dropna(subset=["predicted", "reference"])
        subjects = _by_subject(complete)
        row_numbers = subjects.groupby(_BY, observed=True).indices
        n_all = scans.groupby(_BY, observed=True).size()
        n_complete = complete.groupby(_BY, observed=True).size()
        excluded = n_all.sub(n_complete, fill_value=0).rename("excluded").reset_index()
        predicted, reference = (
            subjects[name].to_numpy(dtype=np.float64) for name in ("predicted", "reference")
        )
        for model, modality, target, count in excluded.itertuples(index=False, name=None):
            selected = row_numbers.get((model, modality, target), [])
            labels = {
                "model": model,
                "modality": modality,
                "target": target,
                "modality_pair": modality_pair,
                "excluded": int(count),
            }
            rows.append(labels | _row(predicted[selected], reference[selected]))
    return pd.DataFrame(rows, columns=_COLUMNS)


def subject_volumes(group: Group, scores: pd.DataFrame) -> pd.DataFrame:
    """Average the volumes of each subject.

    Returns:
        Rows with model, modality, target, subject, and mean predicted and reference volume in ml,
        for subjects with both volumes.
    """
    return _by_subject(_volumes(group, scores).dropna(subset=["predicted", "reference"]))


def _by_subject(volumes: pd.DataFrame) -> pd.DataFrame:
    by_subject = volumes.groupby([*_BY, "subject"], observed=True, sort=True)
    return by_subject[["predicted", "reference"]].mean().reset_index()


def _volumes(group: Group, scores: pd.DataFrame) -> pd.DataFrame:
    """Return predicted and reference volume (ml) of every prediction that was requested."""
    metrics = [name for name in ("volume_error_ml", "rve") if name in group.protocol.metrics]
    metric = metrics[0] if metrics else None
    rows = scores.loc[scores["metric"] == metric, [*_KEY, "model", "subject", "value"]]
    frame = rows.merge(group.results.predictions[[*_KEY, "status", "voxels", "voxel_ml"]], on=_KEY)
    frame = frame[~frame["status"].isin(("undefined", "not-run"))]
    predicted = (frame["voxels"] * frame["voxel_ml"]).to_numpy(dtype=np.float64, na_value=np.nan)
    error = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        reference = predicted - error if metric == "volume_error_ml" else predicted / (1 + error)
    reference = np.where(np.isfinite(reference), reference, np.nan)
    frame = frame.assign(predicted=predicted, reference=reference)
    # an empty prediction does not determine the reference's volume; another one of the scan does
    by_scan = frame.groupby(["case", "modality", "target"], observed=True)
    frame["reference"] = by_scan["reference"].transform("median")
    return frame


def _selections(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of cases with both modalities of a pair, for each pair; then all rows."""
    modalities_by_case = frame.groupby("case", observed=True)["modality"].agg(frozenset)
    selections = []
    for pair in MODALITY_PAIRS:
        is_paired = [set(pair) <= modalities for modalities in modalities_by_case]
        cases = modalities_by_case.index[is_paired]
        rows = frame[frame["case"].isin(cases) & frame["modality"].isin(pair)]
        selections.append(("-".join(pair), rows))
    return [*selections, ("all", frame)]


def _row(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, Any]:
    if not len(predicted):
        return {
            "n": 0,
            "status": "no volumes",
            "explanation": "no prediction has both a mask and a reference volume",
        }
    agreement = bland_altman(predicted, reference)
    few = agreement.lower is None
    bias_low, bias_high = agreement.bias_interval or (None, None)
    limit_low_low, limit_low_high = agreement.lower_interval or (None, None)
    limit_high_low, limit_high_high = agreement.upper_interval or (None, None)
    return {
        "n": agreement.n,
        "reference_ml": float(reference.mean()),
        "predicted_ml": float(predicted.mean()),
        "bias": agreement.bias,
        "bias_low": bias_low,
        "bias_high": bias_high,
        "bias_percent": agreement.bias_percent,
        "limit_low": agreement.lower,
        "limit_low_low": limit_low_low,
        "limit_low_high": limit_low_high,
        "limit_high": agreement.upper,
        "limit_high_low": limit_high_low,
        "limit_high_high": limit_high_high,
        "status": "few subjects" if few else "ok",
        "explanation": "too few subjects for limits of agreement" if few else "",
    }
