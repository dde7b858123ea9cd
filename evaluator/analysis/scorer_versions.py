"""Whether the scores of a run were computed by the present rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.scorers import read_scorers
from evaluator.runs.tables import SCORERS, SOURCE, source_of

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


def scorer_line(run: RunStore, label: str) -> list[str]:
    """Say that scores were computed by other rules than the present ones; empty if they were not.

    Args:
        run: the run.
        label: what tables call it.
    """
    others = [version for version in scorer_versions(run) if version != SCORER_VERSION]
    if not others:
        return []
    names = [f"version {version}" if version else "an earlier version" for version in others]
    line = (
        f"{label}: scores by {' and '.join(names)} of the scorer, the present one is "
        f"{SCORER_VERSION}; `umd score {run.name}` computes them again."
    )
    return [line]


def scorer_versions(run: RunStore) -> list[int]:
    """The versions of the scorer that computed a run's scores; 0: before there was a number.

    They are read from the table of scores where that is of the record as it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (run.path / "scores.parquet").open("rb") as file:
            metadata = pq.read_schema(file).metadata or {}
        if SCORERS in metadata and metadata.get(SOURCE) == source_of(run).encode():
            return list(map(int, metadata[SCORERS].split()))
    except (OSError, ValueError, pa.ArrowInvalid):
        pass
    return read_scorers(run)
