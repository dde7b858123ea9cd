"""Each subject's values, as comparisons see them: seeds and sessions averaged, failures counted as the protocol says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.score_array import INCLUDED, make_score_array
from evaluator.runs.tables import last_round
from evaluator.statistics.intervals import mean_intervals
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.privacy import Privacy


def score_array_of(
    benchmark: Benchmark, metric: str, scores: pd.DataFrame | None = None
) -> ScoreArray:
    """Arrange the scores of one metric in the last round.

    Args:
        benchmark: The benchmark.
        metric: Name of the metric.
        scores: Score rows of the benchmark. Default: all of them.
    """
    rows = last_round(benchmark.group.results.scores if scores is None else scores)
    return make_score_array(rows, metric, benchmark.protocol, benchmark.models)


def subject_values(benchmark: Benchmark, score_array: ScoreArray, privacy: Privacy) -> pd.DataFrame:
    """model, target, modality, subject, value, failed: one row for each subject about whom the model could be asked."""
    values = score_array.per_subject(score_array.values[INCLUDED])
    asked, failed = (
        score_array.count(score_array.attempted & ~score_array.unsupported) > 0,
        score_array.count(score_array.failed) > 0,
    )
    m, t, x, s = np.nonzero(asked)
    return pd.DataFrame(
        {
            "model": np.array(score_array.models, dtype=object)[m],
            "target": np.array(score_array.targets, dtype=object)[t],
            "modality": np.array(MODALITIES, dtype=object)[x],
            "subject": _named(benchmark, privacy)[s],
            "value": values[m, t, x, s],
            "failed": failed[m, t, x, s],
        }
    )


def paired_values(benchmark: Benchmark, score_array: ScoreArray, privacy: Privacy) -> pd.DataFrame:
    """model, target, modality_pair, subject, structural, functional, failed: one row for each subject with both images."""
    frames = []
    for modality_pair in benchmark.modality_pairs:
        a, b = (MODALITIES.index(name) for name in modality_pair.split("-"))
        taken = score_array.attempted & ~score_array.unsupported
        both = taken[:, :, a] & taken[:, :, b]
        ends = [
            score_array.per_subject(
                np.where(both, score_array.values[INCLUDED][:, :, place], np.nan)
            )
            for place in (a, b)
        ]
        failed = (
            score_array.count((score_array.failed[:, :, a] | score_array.failed[:, :, b]) & both)
            > 0
        )
        m, t, s = np.nonzero(~np.isnan(ends[0]) & ~np.isnan(ends[1]))
        frames.append(
            pd.DataFrame(
                {
                    "model": np.array(score_array.models, dtype=object)[m],
                    "target": np.array(score_array.targets, dtype=object)[t],
                    "modality_pair": modality_pair,
                    "subject": _named(benchmark, privacy)[s],
                    "structural": ends[0][m, t, s],
                    "functional": ends[1][m, t, s],
                    "failed": failed[m, t, s],
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def mean_with_interval(
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of columns over subjects (n, m), and their 95 % intervals (2, m); subjects with a gap are left out."""
    whole = columns[~np.isnan(columns).any(axis=1)]
    if not len(whole):
        empty = np.full(columns.shape[1], np.nan)
        return empty, np.stack([empty, empty])
    return whole.mean(axis=0), mean_intervals(whole)[0]


def _named(benchmark: Benchmark, privacy: Privacy) -> NDArray[np.object_]:
    """The subjects' names in the report, in the score_array's order, which is that of their ids."""
    subjects = sorted(benchmark.group.results.scores["subject"].unique())
    return np.array(
        [privacy.subject(benchmark.group.dataset, str(one)) for one in subjects], dtype=object
    )
