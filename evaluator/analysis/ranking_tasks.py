"""The scores of the models by task, as a ranking needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.analysis.comparison.compare_groups import compared_scores
from evaluator.analysis.comparison.score_array import EXCLUDED, INCLUDED, make_score_array
from evaluator.errors import UnknownNameError, UserError
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import failure_value
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray
    from evaluator.runs.results import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingTasks:
    """Scores by task: one target, modality and metric."""

    #: labels of the models that are ranked
    models: tuple[str, ...]
    #: (subjects, tasks, models), higher is better, NaN where there is none
    scores: NDArray[np.float64]
    #: (tasks,)
    weights: NDArray[np.float64]
    #: remark on the ranking; may be empty
    explanation: str


def ranking_tasks(
    group: Group,
    metrics: tuple[str, ...],
    weights: Mapping[tuple[str, str], float],
    number: int | None,
) -> RankingTasks:
    """Arrange the scores of a benchmark by task.

    Args:
        group: The runs.
        metrics: Metrics of the tasks; none: those of the protocol.
        weights: Weights by ("target", name), ("modality", name) or ("metric", name), default 1.
        number: Round of corrections; None: the last.

    Raises:
        UnknownNameError: A metric or the name of a weight does not exist.
        UserError: A weight is below 0.
    """
    available = group.protocol.metrics
    for name in metrics:
        if name not in available:
            raise UnknownNameError(f"metric in protocol {group.protocol.id}", name, available)
    scores = compared_scores(group, number)
    labels = [run.label for run in group.results.runs]
    arrays = [
        make_score_array(scores, name, group.protocol, labels) for name in metrics or available
    ]
    _check_weights(weights, arrays[0].targets, [array.metric for array in arrays])
    task_weights = []
    for array, target, modality in product(arrays, arrays[0].targets, MODALITIES):
        keys = (("metric", array.metric), ("target", target), ("modality", str(modality)))
        task_weights.append(math.prod(weights.get(key, 1.0) for key in keys))
    supported = np.any(arrays[0].attempted & ~arrays[0].unsupported, axis=(1, 2, 3))
    ranked = np.asarray(supported | ~np.any(arrays[0].unsupported, axis=(1, 2, 3)))
    scores_by_task = np.concatenate([_by_task(array, group) for array in arrays], axis=1)
    return RankingTasks(
        models=tuple(
            name for name, has_place in zip(arrays[0].models, ranked, strict=True) if has_place
        ),
        scores=scores_by_task[:, :, ranked],
        weights=np.array(task_weights),
        explanation=_explain_unsupported(arrays[0], ranked),
    )


def _explain_unsupported(array: ScoreArray, ranked: NDArray[np.bool_]) -> str:
    """Say which models are not ranked, and for which ones tasks are left out; may be empty."""
    some = array.unsupported.any(axis=(1, 2, 3))
    absent = ", ".join(array.models[k] for k in np.flatnonzero(~ranked))
    partial = ", ".join(array.models[k] for k in np.flatnonzero(some & ranked))
    sentences = []
    if absent:
        sentences.append(f"not ranked, because it supports none of the tasks: {absent}")
    if partial:
        sentences.append(f"tasks that a model does not support are left out for all: {partial}")
    return "; ".join(sentences)


def _by_task(array: ScoreArray, group: Group) -> NDArray[np.float64]:
    """Return scores (subjects, targets x modalities, models), higher is better."""
    values = np.where(array.failed, _failure_value(array, group), array.values[INCLUDED])
    sign = 1 if METRICS[array.metric].direction == "higher" else -1
    by_subject = sign * array.per_subject(values)
    subjects = by_subject.shape[3]
    tasks = by_subject.shape[1] * by_subject.shape[2]
    reordered: NDArray[np.float64] = by_subject.transpose(3, 1, 2, 0)
    return reordered.reshape(subjects, tasks, len(array.models))


def _failure_value(array: ScoreArray, group: Group) -> float:
    """Return what a failure counts as: never better than any mask of the benchmark."""
    worst = failure_value(array.metric, group.protocol)
    if worst is not None and not METRICS[array.metric].signed:
        return worst
    return float(np.nanmax(np.abs(array.values[EXCLUDED]), initial=abs(worst or 0.0)))


def _check_weights(
    weights: Mapping[tuple[str, str], float], targets: Sequence[str], metrics: Sequence[str]
) -> None:
    names = {"target": targets, "modality": MODALITIES, "metric": metrics}
    for (kind, name), weight in weights.items():
        if kind not in names:
            raise UnknownNameError("kind of weight", kind, names)
        if name not in names[kind]:
            raise UnknownNameError(kind, name, names[kind])
        if not 0 <= weight < np.inf:
            raise UserError(
                f"the weight of {kind} {name} is {weight}; a weight is a number, 0 or above"
            )
