"""Two gaps: modality discrepancy within the subject, and generalization gap to the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS, GAPS, PUBLISHED
from evaluator.analysis.comparison.score_array import INCLUDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evaluator.manifests.published import Figure, Published
    from evaluator.runs.results import RunFacts

DISCREPANCY, GENERALIZATION = "modality discrepancy", "generalization gap"
_LABELS = ("model", "metric", "failures", "n", "status", "explanation")


def published_figures(published: Iterable[Published]) -> pd.DataFrame:
    """Arrange all published results as rows, one for each result and model name."""
    rows = []
    for publication in published:
        results = [_published_row(figure) for figure in publication.figures]
        for name in publication.models:
            rows += [{"model": name} | result for result in results]
    return pd.DataFrame(rows, columns=list(PUBLISHED))


def _published_row(figure: Figure) -> dict[str, Any]:
    columns = [name for name in PUBLISHED if name not in ("model", "target")]
    row = {name: getattr(figure, name) for name in columns}
    return row | {"target": figure.target or ALL_TARGETS}


def find_gaps(
    modality: pd.DataFrame,
    means: pd.DataFrame,
    runs: Iterable[RunFacts],
    published: Iterable[Published],
) -> pd.DataFrame:
    """Compute the gaps of the mean over all targets, with failures included.

    Args:
        modality: The table of modality comparisons of one dataset and protocol.
        means: Its table of means.
        runs: Its runs.
        published: Results from the literature.

    Returns:
        Rows with the columns ``GAPS`` (without dataset and protocol).
    """
    publications = list(published)
    rows = [_discrepancy(row) for row in _overall(modality)]
    for run in runs:
        for publication in publications:
            if run.model not in publication.models:
                continue
            for figure in publication.figures:
                if figure.kind == "literature" and figure.target is None:
                    rows += _generalization(run.label, figure, means)
    return pd.DataFrame(
        rows, columns=[name for name in GAPS if name not in ("dataset", "protocol")]
    )


def _overall(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == INCLUDED)]
    return [
        dict(zip(rows.columns, row, strict=True)) for row in rows.itertuples(index=False, name=None)
    ]


def _discrepancy(row: dict[str, Any]) -> dict[str, Any]:
    labels = {name: row[name] for name in ("modality_pair", *_LABELS)}
    return labels | {
        "gap": DISCREPANCY,
        "measured": row["difference"],
        "value": row["difference"],
        "low": row["low"],
        "high": row["high"],
    }


def _generalization(model: str, figure: Figure, means: pd.DataFrame) -> list[dict[str, Any]]:
    """Subtract the measured mean from the published one, on each modality that it covers."""
    is_compared = (means["model"] == model) & (means["metric"] == figure.metric)
    rows = []
    for row in _overall(means[is_compared & (means["modality_pair"] == "all")]):
        if figure.modality not in (None, row["modality"]):
            continue
        gap = {name: row[name] for name in ("modality", *_LABELS)}
        gap |= {
            "gap": GENERALIZATION,
            "modality_pair": "all",
            "measured": row["mean"],
            "value": figure.value - row["mean"],
            "literature": figure.value,
            "source": figure.source,
            "certainty": figure.certainty,
            "low": figure.value - row["high"],
            "high": figure.value - row["low"],
        }
        if row["status"] == "unsupported":  # a limit that the model card states, not a gap
            gap |= dict.fromkeys(("measured", "value", "low", "high"), pd.NA)
        rows.append(gap)
    return rows
