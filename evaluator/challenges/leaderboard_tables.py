"""The tables of the leaderboard's pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.metrics.metric_table import METRICS
from evaluator.report.benchmark import DOUBTS, RANDOM
from evaluator.report.tables import (
    MODALITY_NAMES,
    NOTHING,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    interval,
    number,
    probability,
)
from evaluator.statistics import ALPHA
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from evaluator.challenges.leaderboard_records import Board, Entry, Estimate
    from evaluator.challenges.result_file import ResultMetric

#: ground and ink of a significant difference
_SIGNIFICANT = ("#0f537d", "#ffffff")


def board_key(board: Board) -> str:
    """Part of the names of a board's files."""
    return f"{board.phase}.{board.track}"


def doubts(entry: Entry) -> str:
    """What must stand beside every score of an entry; may be empty."""
    words = []
    if entry.random_weights:
        words.append(RANDOM)
    if entry.image_blind:
        words.append("DOES NOT LOOK AT THE IMAGE")
    if entry.reproducibility in DOUBTS:
        words.append(DOUBTS[entry.reproducibility])
    return "\n".join(words)


def _name(entry: Entry) -> Cell:
    return Cell(text=entry.team, small=doubts(entry))


def _titled(metric: ResultMetric) -> str:
    unit = METRICS[metric.name].unit
    return f"{METRICS[metric.name].title}{f', {unit}' if unit else ''}"


def _estimate_cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return figure_cell(None)
    digits = digits_of(estimate.metric)
    spread = interval(estimate.low, estimate.high, digits)
    small = "" if spread == NOTHING else spread
    return figure_cell(estimate.value, digits, small=small)


def ranking_table(board: Board, warnings: Sequence[str]) -> Table:
    """Places, groups and scores of all entries."""
    columns = [
        Column(title="team", words=True),
        Column(title="place"),
        Column(title="groups", words=True, help="entries that share a letter cannot be told apart"),
        Column(title="mean rank"),
        Column(title="first in, %"),
        Column(title="place by the other order"),
        *(Column(title=_titled(metric), starts=True) for metric in board.metrics),
    ]
    rows, data = [], []
    for entry in board.entries:
        spread = ""
        if entry.place_low is not None:
            spread = f"{entry.place_low} to {entry.place_high}"
        first = 100 * entry.places[0] if entry.places else None
        scores = {estimate.metric: estimate for estimate in entry.scores}
        place = number(entry.place, 0) if entry.place else "not ranked"
        rows.append(
            [
                _name(entry),
                Cell(text=place, small=spread, sort=entry.place or len(board.entries) + 1),
                Cell(text=entry.groups or NOTHING),
                figure_cell(entry.mean_rank, 2),
                figure_cell(first, 0),
                figure_cell(entry.other_place, 0),
                *(_estimate_cell(scores.get(metric.name)) for metric in board.metrics),
            ]
        )
        data.append(_ranking_row(entry, scores))
    return Table(
        name=f"{board_key(board)}.ranking",
        title="Ranking",
        note="In small print: 95 % interval of the place over resamples of subjects, and of the "
        "mean over subjects by the observed spread. Entries that share a letter cannot be told "
        "apart at 5 %; that does not show that they are equal.",
        columns=columns,
        rows=rows,
        data=pd.DataFrame(data),
        warnings=warnings,
    )


def _ranking_row(entry: Entry, scores: dict[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "team": entry.team,
        "submission": entry.submission,
        "place": entry.place,
        "place_low": entry.place_low,
        "place_high": entry.place_high,
        "groups": entry.groups,
        "mean_rank": entry.mean_rank,
        "place_other_order": entry.other_place,
    }
    for name, estimate in scores.items():
        values = (estimate.value, estimate.low, estimate.high)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return row


def pairs_table(board: Board, warnings: Sequence[str]) -> Table | None:
    """The tests between entries; None without a pair."""
    if not board.pairs:
        return None
    ranked = [entry for entry in board.entries if entry.place is not None]
    p = {(pair.better, pair.worse): pair.p_holm for pair in board.pairs}
    rows = []
    for entry in ranked:
        cells = [Cell(text=entry.team)]
        for other in ranked:
            value = p.get((entry.submission, other.submission))
            if value is None:
                is_same = entry.submission == other.submission
                cells.append(Cell(text="" if is_same else NOTHING, kind="nothing"))
                continue
            heat = _SIGNIFICANT if value < ALPHA else None
            cells.append(Cell(text=probability(value), sort=value, heat=heat))
        rows.append(cells)
    return Table(
        name=f"{board_key(board)}.pairs",
        title="Which differences are significant",
        note="Adjusted p of equal mean ranks of two entries over subjects (signed-rank test, Holm "
        "over all pairs). Filled: the row’s entry is better and p is below 5\u00a0%.",
        columns=[
            Column(title="better than", words=True),
            *(Column(title=entry.team) for entry in ranked),
        ],
        rows=rows,
        data=pd.DataFrame([asdict(pair) for pair in board.pairs]),
        warnings=warnings,
    )


def detail_tables(board: Board, warnings: Sequence[str]) -> list[Table]:
    """One table for each metric: by modality, and by modality and target."""
    return [_detail_table(board, metric, warnings) for metric in board.metrics]


def _detail_table(board: Board, metric: ResultMetric, warnings: Sequence[str]) -> Table:
    estimates = {}
    for entry in board.entries:
        for estimate in entry.details:
            if estimate.metric == metric.name:
                key = (estimate.modality, estimate.target)
                estimates[entry.submission, key] = estimate
    # an entry may lack a target of a modality, so the order of the first entry is not enough
    keys = sorted({key for _, key in estimates}, key=lambda key: (MODALITIES.index(key[0]), key[1]))
    columns, upper = [Column(title="team", words=True)], [("", 1)]
    for modality in dict.fromkeys(name for name, _ in keys):
        targets = [target for name, target in keys if name == modality]
        upper.append((MODALITY_NAMES[modality], len(targets)))
        for position, target in enumerate(targets):
            columns.append(Column(title=target or "all targets", starts=position == 0))
    rows = []
    for entry in board.entries:
        cells = [_estimate_cell(estimates.get((entry.submission, key))) for key in keys]
        rows.append([_name(entry), *cells])
    data = []
    for entry in board.entries:
        for key in keys:
            if (entry.submission, key) in estimates:
                row = asdict(estimates[entry.submission, key])
                data.append({"team": entry.team, "submission": entry.submission} | row)
    return Table(
        name=f"{board_key(board)}.{metric.name}",
        title=f"{METRICS[metric.name].title} by modality and target",
        note=f"{_titled(metric)}, {metric.direction} is better: mean over subjects; in small print "
        "its 95 % interval.",
        columns=columns,
        upper=upper,
        rows=rows,
        data=pd.DataFrame(data),
        warnings=warnings,
    )


def gaps_table(board: Board, warnings: Sequence[str]) -> Table | None:
    """Differences between modalities within the subject; None with one modality."""
    rows, data = [], []
    for entry in board.entries:
        for gap in entry.gaps:
            digits = digits_of(gap.metric)
            spread = interval(gap.low, gap.high, digits, sign=True)
            first, second = MODALITY_NAMES[gap.first], MODALITY_NAMES[gap.second]
            rows.append(
                [
                    _name(entry),
                    Cell(text=METRICS[gap.metric].title),
                    Cell(text=f"{first} minus {second}"),
                    figure_cell(
                        gap.difference,
                        digits,
                        small="" if spread == NOTHING else spread,
                        sign=True,
                    ),
                    Cell(text=probability(gap.p_holm), sort=gap.p_holm),
                    figure_cell(gap.subjects, 0),
                ]
            )
            data.append({"team": entry.team, "submission": entry.submission} | asdict(gap))
    if not rows:
        return None
    return Table(
        name=f"{board_key(board)}.gaps",
        title="Gap between modalities",
        note="Mean difference within the subject over the targets that both modalities have, with "
        "its 95 % interval; p of the signed-rank test, adjusted by Holm over this table. The gap "
        "includes what the grid of the images allows.",
        columns=[
            Column(title="team", words=True),
            Column(title="metric", words=True),
            Column(title="modalities", words=True),
            Column(title="difference"),
            Column(title="p"),
            Column(title="subjects"),
        ],
        rows=rows,
        data=pd.DataFrame(data),
        warnings=warnings,
    )
