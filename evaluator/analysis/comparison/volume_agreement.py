"""The frame of volumes: predicted against reference, by Bland and Altman."""

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
    """One row for each model, modality and target, in all scans and in those of each modality_pair.

    The reference volume of a scan is had from a prediction's volume and its ``rve`` or ``volume_error_ml``; without one
    of these metrics in the protocol the frame is empty.
    """
    frame = _volumes(group, scores)
    rows = []
    for modality_pair, part in _slots(frame):
        known = part.dropna(subset=["predicted", "reference"])
        subjects = _by_subject(known)
        of_cell = subjects.groupby(_BY, observed=True).indices
        sizes = (one.groupby(_BY, observed=True).size() for one in (part, known))
        lost = next(sizes).sub(next(sizes), fill_value=0).rename("lost").reset_index()
        predicted, reference = (
            subjects[name].to_numpy(dtype=np.float64) for name in ("predicted", "reference")
        )
        for model, modality, target, excluded in lost[[*_BY, "lost"]].itertuples(
            index=False, name=None
        ):
            own = of_cell.get((model, modality, target), [])
            named = {"model": model, "modality": modality, "target": target} | {
                "modality_pair": modality_pair,
                "excluded": int(excluded),
            }
            rows.append(named | _row(predicted[own], reference[own]))
    return pd.DataFrame(rows, columns=_COLUMNS)


def subject_volumes(group: Group, scores: pd.DataFrame) -> pd.DataFrame:
    """model, modality, target, subject, predicted, reference: mean millilitres of each subject whose volumes are known."""
    return _by_subject(_volumes(group, scores).dropna(subset=["predicted", "reference"]))


def _by_subject(known: pd.DataFrame) -> pd.DataFrame:
    by_subject = known.groupby([*_BY, "subject"], observed=True, sort=True)[
        ["predicted", "reference"]
    ]
    return by_subject.mean().reset_index()


def _volumes(group: Group, scores: pd.DataFrame) -> pd.DataFrame:
    """Predicted and reference millilitres of every prediction that was asked for."""
    metric = next(
        (name for name in ("volume_error_ml", "rve") if name in group.protocol.metrics), None
    )
    own = scores.loc[scores["metric"] == metric, [*_KEY, "model", "subject", "value"]]
    frame = own.merge(group.results.predictions[[*_KEY, "status", "voxels", "voxel_ml"]], on=_KEY)
    frame = frame[~frame["status"].isin(("undefined", "not-run"))]
    predicted = (frame["voxels"] * frame["voxel_ml"]).to_numpy(dtype=np.float64, na_value=np.nan)
    error = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        reference = predicted - error if metric == "volume_error_ml" else predicted / (1 + error)
    frame = frame.assign(
        predicted=predicted, reference=np.where(np.isfinite(reference), reference, np.nan)
    )
    # an empty prediction does not tell the reference's volume, but another one of the same scan does
    frame["reference"] = frame.groupby(["case", "modality", "target"], observed=True)[
        "reference"
    ].transform("median")
    return frame


def _slots(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    by_case = frame.groupby("case", observed=True)["modality"].agg(frozenset)
    slots = []
    for pair in MODALITY_PAIRS:
        cases = by_case.index[[set(pair) <= own for own in by_case]]
        slots.append(
            ("-".join(pair), frame[frame["case"].isin(cases) & frame["modality"].isin(pair)])
        )
    return [*slots, ("all", frame)]


def _row(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, Any]:
    if not len(predicted):
        return {
            "n": 0,
            "status": "no volumes",
            "explanation": "no prediction has both a mask and a reference volume",
        }
    found = bland_altman(predicted, reference)
    few = found.lower is None
    none = (None, None)
    return {
        "n": found.n,
        "reference_ml": float(reference.mean()),
        "predicted_ml": float(predicted.mean()),
        "bias": found.bias,
        "bias_percent": found.bias_percent,
        "limit_low": found.lower,
        "limit_high": found.upper,
        **dict(zip(("bias_low", "bias_high"), found.bias_interval or none, strict=True)),
        **dict(zip(("limit_low_low", "limit_low_high"), found.lower_interval or none, strict=True)),
        **dict(
            zip(("limit_high_low", "limit_high_high"), found.upper_interval or none, strict=True)
        ),
        "status": "few subjects" if few else "ok",
        "explanation": "too few subjects for limits of agreement" if few else "",
    }
