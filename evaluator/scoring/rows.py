"""Rows of a score file: one for each seed, round, target and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.files import Json, write_json
from evaluator.scoring.masks import _without_value
from evaluator.types import Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.runs.store import RunStore
    from evaluator.types import Modality, Protocol, Scan


def score_rows(seed: int, round_number: int, scores: Mapping[str, tuple[Score, ...]]) -> list[Json]:
    """Rows as they stand in a scan's score file."""
    return [
        {
            "seed": seed,
            "round": round_number,
            "target": target,
            "metric": score.metric,
            "value": score.value,
            "status": str(score.status),
        }
        for target, made in scores.items()
        for score in made
    ]


def rows_without_prompt(
    protocol: Protocol, scan: Scan, absent: Mapping[str, Mapping[str, str]]
) -> list[Json]:
    """Rows of targets that could not be asked for, by seed: ``undefined`` where the reference is empty, else not run."""
    rows: list[Json] = []
    for seed, reasons in absent.items():
        for target, reason in reasons.items():
            status = ScoreStatus.UNDEFINED if reason == "empty-reference" else ScoreStatus.NOT_RUN
            rows += score_rows(
                int(seed), 0, {target: _without_value(protocol, scan, target, status)}
            )
    return rows


def rows_not_run(protocol: Protocol, scan: Scan) -> list[Json]:
    """Rows of a scan whose data allow no fair question."""
    scores = {
        target: _without_value(protocol, scan, target, ScoreStatus.NOT_RUN)
        for target in scan.targets
    }
    return [row for seed in protocol.seeds for row in score_rows(seed, 0, scores)]


def write_scores(run: RunStore, case: str, modality: Modality, key: str, rows: list[Json]) -> None:
    """Write one scan's score file; ``key`` ties it to the record that it was made from."""
    write_json(
        run.score_path(case, modality),
        {"case": case, "modality": modality, "key": key, "rows": rows},
    )
