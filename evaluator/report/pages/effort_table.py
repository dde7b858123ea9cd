"""The table of score against the effort of the prompt, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.score_array import INCLUDED
from evaluator.metrics.metric_table import METRICS
from evaluator.report.subject_values import score_array_of
from evaluator.report.tables import (
    MODALITY_NAMES,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    rows_of,
)
from evaluator.runs.tables import at_round
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark

EFFORT = ("clicks", "boxes", "scribble_mm")


def effort_table(benchmark: Benchmark) -> Table:
    """Mean effort beside the mean score, for each model, modality and round."""
    rows = effort_rows(benchmark)
    digits = digits_of(benchmark.metric)
    title = METRICS[benchmark.metric].title
    columns = [
        Column(title="model", words=True),
        Column(title="modality", words=True),
        Column(title="round"),
        Column(title="clicks"),
        Column(title="boxes"),
        Column(title="scribble, mm"),
        Column(title=title, starts=True),
        Column(title="subjects"),
    ]
    cells = []
    for row in rows_of(rows):
        line = [Cell(text=str(row.model)), Cell(text=MODALITY_NAMES[str(row.modality)])]
        line.append(figure_cell(row.round, 0))
        line += [figure_cell(row.clicks, 1), figure_cell(row.boxes, 1)]
        line += [figure_cell(row.scribble_mm, 0), figure_cell(row.score, digits)]
        line.append(figure_cell(row.subjects, 0))
        cells.append(line)
    return Table(
        name=f"{benchmark.key}.effort",
        title=f"{title} against the effort of the prompt",
        columns=columns,
        rows=cells,
        data=rows,
        note="Effort of one target up to the round; means over subjects of the mean over their "
        "targets. A text or a class is no effort. Failures are included in the score as the "
        "protocol defines. A target that ended early keeps its last round.",
        warnings=benchmark.warnings,
    )


def effort_rows(benchmark: Benchmark) -> pd.DataFrame:
    """Return columns model, modality, round, clicks, boxes, scribble_mm, score and subjects."""
    results, protocol = benchmark.group.results, benchmark.protocol
    rows: list[dict[str, Any]] = []
    for number in range(protocol.rounds.count):
        effort = _mean_effort(at_round(results.predictions, number, protocol))
        array = score_array_of(
            benchmark, benchmark.metric, at_round(results.scores, number, protocol)
        )
        values = array.per_subject(array.values[INCLUDED])
        for m, model in enumerate(array.models):
            for place, modality in enumerate(MODALITIES):
                if not array.attempted[m, :, place].any():
                    continue
                subjects = pd.DataFrame(values[m, :, place]).mean().dropna()
                row = {"model": model, "modality": modality, "round": number}
                row |= effort.get((model, modality), dict.fromkeys(EFFORT, np.nan))
                score = subjects.mean() if len(subjects) else np.nan
                rows.append(row | {"score": score, "subjects": len(subjects)})
    names = ["model", "modality", "round", *EFFORT, "score", "subjects"]
    return pd.DataFrame(rows, columns=names)


def _mean_effort(predictions: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(model, modality) -> mean over subjects of the mean over their targets."""
    keys = ["model", "modality", "subject", "target"]
    frame = predictions.astype(dict.fromkeys(keys, "str") | dict.fromkeys(EFFORT, "float64"))
    by_target = frame.groupby(keys)[list(EFFORT)].mean()
    by_subject = by_target.groupby(keys[:3]).mean()
    means = by_subject.groupby(keys[:2]).mean()
    values = means.to_numpy(dtype=np.float64)
    return {
        (str(key[0]), str(key[1])): dict(zip(EFFORT, row, strict=True))
        for key, row in zip(means.index, values.tolist(), strict=True)
    }
