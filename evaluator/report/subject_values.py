"""Each subject's values as in comparisons: sessions and seeds averaged, failures included."""

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


def subject_values(benchmark: Benchmark, array: ScoreArray, privacy: Privacy) -> pd.DataFrame:
    """Return each subject's value for each model, target and modality.

    Returns:
        Columns model, target, modality, subject, value and failed. A subject has a row if a
        prediction was requested that the model supports.
    """
    values = array.per_subject(array.values[INCLUDED])
    failed = array.count(array.failed) > 0
    attempted = array.count(array.attempted & ~array.unsupported) > 0
    model, target, modality, subject = np.nonzero(attempted)
    return pd.DataFrame(
        {
            "model": _labels(array.models)[model],
            "target": _labels(array.targets)[target],
            "modality": _labels(MODALITIES)[modality],
            "subject": _subject_names(benchmark, privacy)[subject],
            "value": values[attempted],
            "failed": failed[attempted],
        }
    )


def paired_values(benchmark: Benchmark, array: ScoreArray, privacy: Privacy) -> pd.DataFrame:
    """Return each subject's pair of values for each model, target and modality pair.

    Returns:
        Columns model, target, modality_pair, subject, structural, functional and failed, for
        subjects with both values.
    """
    supported = array.attempted & ~array.unsupported
    frames = []
    for modality_pair in benchmark.modality_pairs:
        a, b = (MODALITIES.index(name) for name in modality_pair.split("-"))
        units = supported[:, :, a] & supported[:, :, b]
        structural, functional = (
            array.per_subject(np.where(units, array.values[INCLUDED][:, :, number], np.nan))
            for number in (a, b)
        )
        failed = array.count((array.failed[:, :, a] | array.failed[:, :, b]) & units) > 0
        is_paired = ~np.isnan(structural) & ~np.isnan(functional)
        model, target, subject = np.nonzero(is_paired)
        columns = {
            "model": _labels(array.models)[model],
            "target": _labels(array.targets)[target],
            "modality_pair": modality_pair,
            "subject": _subject_names(benchmark, privacy)[subject],
            "structural": structural[is_paired],
            "functional": functional[is_paired],
            "failed": failed[is_paired],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def mean_with_interval(
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute means over subjects with their 95 % intervals.

    Args:
        columns: Array of shape (subjects, m); subjects with a NaN are left out.

    Returns:
        Means of shape (m,) and intervals of shape (2, m); NaN without subjects.
    """
    complete = columns[~np.isnan(columns).any(axis=1)]
    if not len(complete):
        empty = np.full(columns.shape[1], np.nan)
        return empty, np.stack([empty, empty])
    return complete.mean(axis=0), mean_intervals(complete)[0]


def _labels(names: tuple[str, ...]) -> NDArray[np.object_]:
    return np.array(names, dtype=object)


def _subject_names(benchmark: Benchmark, privacy: Privacy) -> NDArray[np.object_]:
    """Return the subjects' names in the report, in the order of their ids."""
    dataset = benchmark.group.dataset
    subjects = sorted(benchmark.group.results.scores["subject"].unique())
    return _labels(tuple(privacy.subject(dataset, str(subject)) for subject in subjects))
