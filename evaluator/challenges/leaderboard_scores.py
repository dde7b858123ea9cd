"""The scores of signed results as arrays, and their means with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evaluator.challenges.leaderboard_records import Estimate, ModalityGap
from evaluator.statistics import compare_pairs, mean_intervals
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.challenges.result_file import ChallengeResult, ResultMetric
    from evaluator.statistics.resampling import Matrix

    Scores = NDArray[np.float64]

#: decimals of means, intervals and p values in the leaderboard
DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """The counted scores of several results of one dataset."""

    metrics: tuple[ResultMetric, ...]
    modalities: tuple[str, ...]
    targets: tuple[str, ...]
    subjects: tuple[str, ...]
    #: (results, metrics, modalities, targets, subjects): sums over the cases and seeds of a subject
    sums: Scores
    #: of the same shape: how many values were added
    counts: Scores

    def tasks(self) -> Scores:
        """Scores for a ranking, (subjects, tasks, results): higher is better, NaN is none.

        A task is one metric, modality and target, in this order. Of a subject's cases and seeds
        the mean is taken.
        """
        signs = np.array([1.0 if m.direction == "higher" else -1.0 for m in self.metrics])
        signed = _ratio(self.sums, self.counts) * signs[None, :, None, None, None]
        moved: Scores = signed.transpose(4, 1, 2, 3, 0)
        by_task: Scores = moved.reshape(len(self.subjects), -1, len(self.sums))
        return by_task

    def weights(self) -> NDArray[np.float64]:
        """The weight of each task: that of its metric."""
        repeats = len(self.modalities) * len(self.targets)
        return np.repeat([metric.weight for metric in self.metrics], repeats)

    def by_modality(self, result: int) -> Scores:
        """Means over a subject's scores, (metrics, modalities, subjects)."""
        return _ratio(self.sums[result].sum(axis=2), self.counts[result].sum(axis=2))

    def by_target(self, result: int) -> Scores:
        """Means over a subject's scores, (metrics, modalities, targets, subjects)."""
        return _ratio(self.sums[result], self.counts[result])


def make_score_table(
    results: Sequence[ChallengeResult], metrics: tuple[ResultMetric, ...]
) -> ScoreTable:
    """Arrange the counted scores of results.

    Args:
        results: of one hidden dataset and one protocol.
        metrics: that are ranked; scores of others are left out.
    """
    scores = [score for result in results for score in result.scores]
    present = {score.modality for score in scores}
    modalities = tuple(name for name in MODALITIES if name in present)
    targets = tuple(sorted({score.target for score in scores}))
    subjects = tuple(sorted({score.subject for score in scores}))
    names = [metric.name for metric in metrics]
    shape = (len(results), len(names), len(modalities), len(targets), len(subjects))
    sums, counts = np.zeros(shape), np.zeros(shape)
    index = [{name: i for i, name in enumerate(axis)} for axis in (modalities, targets, subjects)]
    for number, result in enumerate(results):
        for score in result.scores:
            if score.counted is None or score.metric not in names:
                continue
            place = (
                number,
                names.index(score.metric),
                index[0][score.modality],
                index[1][score.target],
                index[2][score.subject],
            )
            sums[place] += score.counted
            counts[place] += 1
    return ScoreTable(
        metrics=metrics,
        modalities=modalities,
        targets=targets,
        subjects=subjects,
        sums=sums,
        counts=counts,
    )


def overall_estimates(
    table: ScoreTable, result: int, *, resamples: int, seed: int
) -> tuple[Estimate, ...]:
    """The mean of each metric over all modalities and targets, as in a result's totals."""
    columns = {}
    for metric, values in zip(table.metrics, table.by_modality(result), strict=True):
        columns[metric.name, "", ""] = _mean_of_present(values)
    return tuple(_estimates(columns, resamples, seed))


def detailed_estimates(
    table: ScoreTable, result: int, *, resamples: int, seed: int
) -> tuple[Estimate, ...]:
    """The mean of each metric by modality, and by modality and target."""
    columns = {}
    by_modality, by_target = table.by_modality(result), table.by_target(result)
    for i, metric in enumerate(table.metrics):
        for j, modality in enumerate(table.modalities):
            columns[metric.name, modality, ""] = by_modality[i, j]
            for k, target in enumerate(table.targets):
                columns[metric.name, modality, target] = by_target[i, j, k]
    return tuple(_estimates(columns, resamples, seed))


def _estimates(
    columns: dict[tuple[str, str, str], Scores], resamples: int, seed: int
) -> list[Estimate]:
    """Means with intervals; columns of the same subjects are resampled together."""
    together: dict[bytes, list[tuple[str, str, str]]] = {}
    for key, column in columns.items():
        together.setdefault((~np.isnan(column)).tobytes(), []).append(key)
    found: dict[tuple[str, str, str], Estimate] = {}
    for keys in together.values():
        present = ~np.isnan(columns[keys[0]])
        if not present.any():
            continue
        values = np.stack([columns[key][present] for key in keys], axis=1)
        ends = mean_intervals(values, resamples=resamples, seed=seed)[0]
        for number, (metric, modality, target) in enumerate(keys):
            found[metric, modality, target] = Estimate(
                metric=metric,
                modality=modality,
                target=target,
                value=round(float(values[:, number].mean()), DIGITS),
                low=rounded(ends[0, number]),
                high=rounded(ends[1, number]),
                subjects=len(values),
            )
    return [found[key] for key in columns if key in found]


def modality_gaps(
    table: ScoreTable, result: int, *, resamples: int, seed: int
) -> tuple[ModalityGap, ...]:
    """Differences between modalities within the subject, with p values that are not adjusted.

    A subject's difference is that of its means over the targets which both modalities have.
    """
    gaps = []
    for metric, values in zip(table.metrics, table.by_target(result), strict=True):
        for i, j in combinations(range(len(table.modalities)), 2):
            shared = ~np.isnan(values[i]) & ~np.isnan(values[j])
            used = shared.any(axis=0)
            if not used.any():
                continue
            first, second = (_shared_mean(values[n], shared)[used, None] for n in (i, j))
            pair = compare_pairs(first, second, resamples=resamples, seed=seed)
            gaps.append(
                ModalityGap(
                    metric=metric.name,
                    first=table.modalities[i],
                    second=table.modalities[j],
                    difference=round(float(pair.difference[0]), DIGITS),
                    low=rounded(pair.low[0]),
                    high=rounded(pair.high[0]),
                    p_holm=rounded(pair.p[0]),
                    subjects=pair.n,
                )
            )
    return tuple(gaps)


def rounded(value: float) -> float | None:
    """A number of the leaderboard; None for NaN."""
    return None if np.isnan(value) else round(float(value), DIGITS)


def _ratio(sums: Scores, counts: Scores) -> Scores:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts


def _mean_of_present(values: Matrix) -> Scores:
    """Means over the first axis of the values that are there; NaN where none is."""
    present = ~np.isnan(values)
    return _ratio(np.where(present, values, 0.0).sum(axis=0), present.sum(axis=0).astype(float))


def _shared_mean(values: Matrix, shared: NDArray[np.bool_]) -> Scores:
    """Means over the targets that are shared, (subjects,)."""
    return _ratio(np.where(shared, values, 0.0).sum(axis=0), shared.sum(axis=0).astype(float))
