"""The versions of the scorer that computed a run's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


def read_scorers(run: RunStore) -> list[int]:
    """The versions in a run's score files; 0: before there was a number."""
    versions: set[int] = set()
    for record in run.records():
        scores = run.scores(record.case, record.modality)
        if scores is not None and scores.rows:
            versions.add(scores.scorer)
    return sorted(versions)
