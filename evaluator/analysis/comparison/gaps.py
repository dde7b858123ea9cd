"""The two gaps: modality discrepancy, measured within the subject, and generalization gap, against the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS, GAPS, PUBLISHED
from evaluator.analysis.comparison.score_array import INCLUDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.manifests.published import Figure, Published
    from evaluator.runs.results import RunFacts

DISCREPANCY, GENERALIZATION = "modality discrepancy", "generalization gap"


def published_figures(published: Iterable[Published]) -> pd.DataFrame:
    """Everything published, one row for each figure and model name."""
    rows = [
        {
            "model": name,
            "kind": figure.kind,
            "metric": figure.metric,
            "modality": figure.modality,
            "modality_pair": figure.modality_pair,
            "target": figure.target or ALL_TARGETS,
            "prompt": figure.prompt,
            "value": figure.value,
            "data": figure.data,
            "source": figure.source,
            "certainty": figure.certainty,
        }
        for one in published
        for name in one.models
        for figure in one.figures
    ]
    return pd.DataFrame(rows, columns=list(PUBLISHED))


def find_gaps(
    modality: pd.DataFrame,
    means: pd.DataFrame,
    runs: Iterable[RunFacts],
    published: Iterable[Published],
) -> pd.DataFrame:
    """The gaps of the mean over all targets, failures counted; ``modality`` and ``means`` are one group's frames."""
    known = list(published)
    rows = [_discrepancy(row) for row in _overall(modality)]
    for run in runs:
        figures = [figure for one in known if run.model in one.models for figure in one.figures]
        for figure in figures:
            if figure.kind == "literature" and figure.target is None:
                rows += _generalization(run.label, figure, means)
    return pd.DataFrame(
        rows, columns=[name for name in GAPS if name not in ("dataset", "protocol")]
    )


def _overall(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    own = frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == INCLUDED)]
    yield from (
        dict(zip(own.columns, row, strict=True)) for row in own.itertuples(index=False, name=None)
    )


def _discrepancy(row: dict[str, Any]) -> dict[str, Any]:
    same = {
        name: row[name]
        for name in ("model", "modality_pair", "metric", "failures", "n", "status", "explanation")
    }
    figures = {
        "measured": row["difference"],
        "value": row["difference"],
        "low": row["low"],
        "high": row["high"],
    }
    return same | {"gap": DISCREPANCY} | figures


def _generalization(model: str, figure: Figure, means: pd.DataFrame) -> list[dict[str, Any]]:
    """Literature minus measured, on the figure's modality, or on each where the literature has one figure for all."""
    own = means[
        (means["model"] == model)
        & (means["modality_pair"] == "all")
        & (means["metric"] == figure.metric)
    ]
    rows = []
    for row in _overall(own):
        if figure.modality not in (None, row["modality"]):
            continue
        given = {
            name: row[name]
            for name in ("model", "modality", "metric", "failures", "n", "status", "explanation")
        }
        about = {"literature": figure.value, "source": figure.source, "certainty": figure.certainty}
        ends = {"low": figure.value - row["high"], "high": figure.value - row["low"]}
        gap = {
            "gap": GENERALIZATION,
            "modality_pair": "all",
            "measured": row["mean"],
            "value": figure.value - row["mean"],
        }
        if row["status"] == "unsupported":  # a limit that the card states, and no gap
            gap |= {"measured": pd.NA, "value": pd.NA}
            ends = {"low": pd.NA, "high": pd.NA}
        rows.append(given | gap | about | ends)
    return rows
