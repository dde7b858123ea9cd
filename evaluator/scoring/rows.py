"""Rows of a score file: one for each seed, round, target and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.runs.records import ScoreRow
from evaluator.scoring.masks import scores_without_value
from evaluator.types import Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.types import Protocol, Scan


def score_rows(
    seed: int, round_number: int, scores: Mapping[str, tuple[Score, ...]]
) -> list[ScoreRow]:
    """The rows of one round: target -> its scores."""
    rows = []
    for target, of_target in scores.items():
        for score in of_target:
            row = ScoreRow(
                seed=seed,
                round=round_number,
                target=target,
                metric=score.metric,
                value=score.value,
                status=str(score.status),
            )
            rows.append(row)
    return rows


def rows_without_prompt(
    protocol: Protocol, scan: Scan, missing: Mapping[int, Mapping[str, str]]
) -> list[ScoreRow]:
    """Rows of targets that got no prompt: ``undefined`` for an empty reference, else not run.

    Args:
        protocol: its metrics are the rows.
        scan: the scan that the targets belong to.
        missing: seed -> target -> why there is no prompt.
    """
    rows: list[ScoreRow] = []
    for seed, reasons in missing.items():
        for target, reason in reasons.items():
            empty = reason == "empty-reference"
            status = ScoreStatus.UNDEFINED if empty else ScoreStatus.NOT_RUN
            scores = scores_without_value(protocol, scan, target, status)
            rows += score_rows(seed, 0, {target: scores})
    return rows


def rows_not_run(protocol: Protocol, scan: Scan) -> list[ScoreRow]:
    """Rows of a scan whose data allow no fair prompt."""
    scores = {
        target: scores_without_value(protocol, scan, target, ScoreStatus.NOT_RUN)
        for target in scan.targets
    }
    rows: list[ScoreRow] = []
    for seed in protocol.seeds:
        rows += score_rows(seed, 0, scores)
    return rows
