"""The summary of a run that ``umd show`` prints: statistics over subjects by target and modality.

They are computed by the functions that ``umd compare`` and the report use, so the same number
stands in all of them. ``docs/statistics.md`` states the rule.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.score_array import EXCLUDED, INCLUDED, make_score_array
from evaluator.analysis.comparison.subject_means import describe_subjects, with_target_mean
from evaluator.analysis.displacements import displacements
from evaluator.analysis.subgroup_members import of_subjects, subgroups_of
from evaluator.errors import UnknownNameError
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.reproducibility import read_verdict
from evaluator.runs.results import load
from evaluator.runs.tables import at_round
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray
    from evaluator.runs.store import RunStore
    from evaluator.types import Protocol

    #: model, target, modality
    Key = tuple[str, str, str]


EFFORT = ("clicks", "boxes", "scribble_mm")
"""Columns of a prediction's effort."""


def summarise(
    run: RunStore,
    *,
    metrics: Sequence[str] = (),
    round_number: int | None = None,
    all_targets: bool = False,
    subjects: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Summarise the scores of a run for each model, target and modality.

    Args:
        run: The run.
        metrics: Metrics to summarise. Default: those of the protocol.
        round_number: Round of corrections. Default: each prediction's last round.
        all_targets: Add the mean over each subject's targets, if there are several targets.
        subjects: Summarise these subjects alone. Default: all. Then ``reproducibility`` and
            ``displacement_mm``, which are of the whole run, are absent.

    Returns:
        JSON objects, sorted by model, target and modality. ``predictions`` were requested;
        ``failed`` of them have no mask; ``unsupported`` of them are not supported by the model
        and have no score; ``excluded`` could not be requested or scored because of the data;
        ``statuses`` counts all of these by status. ``random_weights`` is present and true where no
        score is a result. ``reproducibility`` is the verdict on the scans that were predicted
        again. ``displacement_mm`` is the largest distance of a prompt from the image's own
        reference (``analysis.displacements``). ``effort`` has the means over subjects of clicks,
        boxes and millimetres of scribbles (``evaluator.runs.effort``). ``metrics`` has the
        statistics of each metric by name (see ``metric_statistics``); those of the first one,
        ``metric``, are also in the object itself.

    Raises:
        UnknownNameError: The run does not have one of the metrics.
        UserError: The protocol does not have the round.
    """
    protocol = load_protocol(run.info().protocol_source)
    for name in metrics:
        if name not in protocol.metrics:
            raise UnknownNameError(f"metric in run {run.name}", name, protocol.metrics)
    names = list(metrics or protocol.metrics)
    results = load(run) if subjects is None else of_subjects(load(run), subjects)
    scores = at_round(results.scores, round_number, protocol)
    if scores.empty:
        return []
    statistics = {name: metric_statistics(scores, name, protocol) for name in names}
    counts = _counts(scores, names[0], protocol)
    rows = scores[scores["metric"] == names[0]]
    warning = {"random_weights": True} if run.info().random_weights else {}
    of_all_subjects = subjects is None
    reproducibility = read_verdict(run) if of_all_subjects else ""
    moved = displacements(run) if of_all_subjects else {}
    effort = mean_effort(at_round(results.predictions, round_number, protocol))
    entries = []
    for model, target, modality, group in _groups(rows, all_targets=all_targets):
        labels = {"model": model, "target": target, "modality": modality} | warning
        details: dict[str, Any] = {
            "statuses": dict(sorted(Counter(map(str, group["status"])).items()))
        }
        if of_all_subjects:
            details["reproducibility"] = reproducibility
            details["displacement_mm"] = _largest(moved, target, modality)
        details["metric"] = names[0]
        details["effort"] = effort.get((target, modality), dict.fromkeys(EFFORT))
        by_metric = {name: statistics[name][model, target, modality] for name in names}
        entry = labels | counts[model, target, modality] | details
        entries.append(entry | by_metric[names[0]] | {"metrics": by_metric})
    return entries


def summarise_subgroups(
    run: RunStore,
    columns: Sequence[str],
    *,
    metrics: Sequence[str] = (),
    round_number: int | None = None,
    all_targets: bool = False,
) -> list[dict[str, Any]]:
    """Summarise the scores of a run within each subgroup of subjects.

    Args:
        run: The run.
        columns: Columns of the dataset's table of subjects.
        metrics: Metrics to summarise. Default: those of the protocol.
        round_number: Round of corrections. Default: each prediction's last round.
        all_targets: Add the mean over each subject's targets.

    Returns:
        Objects of ``summarise`` with ``by`` and ``subgroup``, which follow each other.

    Raises:
        UserError: The dataset has no table of subjects.
        UnknownNameError: The table has no such column.
    """
    entries = []
    for group in load(run).groups():
        for (by, subgroup), subjects in subgroups_of(group, columns).items():
            part = summarise(
                run,
                metrics=metrics,
                round_number=round_number,
                all_targets=all_targets,
                subjects=subjects,
            )
            entries += [{"by": by, "subgroup": subgroup} | entry for entry in part]
    return entries


def _groups(
    rows: pd.DataFrame, *, all_targets: bool
) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Yield model, target, modality and their rows; then those of all targets together."""
    names = ["model", "target", "modality"]
    for key, group in rows.groupby(names, observed=True, sort=True):
        model, target, modality = map(str, key)
        yield model, target, modality, group
    if all_targets and len(set(rows["target"])) > 1:
        for key, group in rows.groupby(["model", "modality"], observed=True, sort=True):
            model, modality = map(str, key)
            yield model, ALL_TARGETS, modality, group


def _largest(moved: Mapping[tuple[str, str], list[float]], target: str, modality: str) -> float:
    """The largest distance that a prompt was moved, mm."""
    distances = [0.0]
    for (name, image), values in moved.items():
        if image == modality and target in (name, ALL_TARGETS):
            distances += values
    return max(distances)


def mean_effort(predictions: pd.DataFrame) -> dict[tuple[str, str], dict[str, float | None]]:
    """Mean effort over subjects of one run's predictions in one round.

    Returns:
        (target, modality) -> clicks, boxes and scribble_mm; None where no effort is known.
    """
    efforts: dict[tuple[str, str], dict[str, float | None]] = {}
    for (target, modality), rows in predictions.groupby(["target", "modality"], observed=True):
        values = rows[list(EFFORT)].astype("float64")
        means = values.groupby(rows["subject"].astype("str")).mean().mean()
        efforts[str(target), str(modality)] = {
            name: _rounded(float(means[name])) for name in EFFORT
        }
    return efforts


def metric_statistics(
    scores: pd.DataFrame, metric: str, protocol: Protocol
) -> dict[Key, dict[str, int | float | None]]:
    """Compute the statistics of one metric for each model, target and modality.

    Args:
        scores: Score rows of one round with categories as text columns.
        metric: Name of the metric.
        protocol: Defines what failed predictions count as.

    Returns:
        By model, target and modality: ``subjects`` (with a value) and ``mean_over_subjects``,
        ``median_over_subjects``, ``q1_over_subjects`` and ``q3_over_subjects``. They include
        failed predictions as the protocol defines (``failures_count_as``); a distance to an empty
        mask counts as the protocol's cap. ``mean_over_subjects_without_failures`` and
        ``median_over_subjects_without_failures`` exclude failed predictions.
        ``floor_mean_over_subjects`` and ``ceiling_mean_over_subjects`` are of an image-blind
        answer and of what the grid allows. ``mean_over_predictions`` does not average a subject's
        sessions and seeds first. Signed metrics are averaged by magnitude, as in comparisons;
        ``signed_mean_over_subjects`` keeps the sign. None where there is nothing to average.
    """
    array = _score_array(scores, metric, protocol)
    included = array.values[INCLUDED]
    columns = _over_subjects(array, included, ("mean", "median", "q1", "q3"))
    without = _over_subjects(array, array.values[EXCLUDED], ("mean", "median"))
    columns |= {f"{name}_without_failures": values for name, values in without.items()}
    for name, limits in (("floor", array.floor), ("ceiling", array.ceiling)):
        of_limit = _over_subjects(array, limits, ("mean",))
        columns[f"{name}_mean_over_subjects"] = of_limit["mean_over_subjects"]
    columns["mean_over_predictions"] = _mean_over_units(included)
    if METRICS[metric].signed:
        signed = _score_array(scores, metric, protocol, magnitude=False)
        means = _over_subjects(signed, signed.values[INCLUDED], ("mean",))
        columns["signed_mean_over_subjects"] = means["mean_over_subjects"]
    subjects = (~np.isnan(_with_all_targets(array.per_subject(included)))).sum(axis=-1)
    statistics: dict[Key, dict[str, int | float | None]] = {}
    for key, index in _cells(array):
        cell: dict[str, int | float | None] = {"subjects": int(subjects[index])}
        cell |= {name: _rounded(values[index]) for name, values in columns.items()}
        statistics[key] = cell
    return statistics


def _score_array(
    scores: pd.DataFrame, metric: str, protocol: Protocol, *, magnitude: bool = True
) -> ScoreArray:
    models = sorted(map(str, scores["model"].unique()))
    return make_score_array(scores, metric, protocol, models, magnitude=magnitude)


def _cells(array: ScoreArray) -> Iterator[tuple[Key, tuple[int, int, int]]]:
    """Yield model, target and modality with their index; the last target is all of them."""
    axes = (array.models, (*array.targets, ALL_TARGETS), MODALITIES)
    for index in product(*(range(len(axis)) for axis in axes)):
        model, target, modality = (axis[n] for axis, n in zip(axes, index, strict=True))
        yield (model, target, str(modality)), (index[0], index[1], index[2])


def _over_subjects(
    array: ScoreArray, values: NDArray[np.float64], names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    by_subject = _with_all_targets(array.per_subject(values))
    shape = by_subject.shape
    statistics = describe_subjects(by_subject.reshape(-1, shape[-1]))
    return {f"{name}_over_subjects": statistics[name].reshape(shape[:-1]) for name in names}


def _with_all_targets(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Append the mean over targets as one more target, (m, t, k, n) to (m, t + 1, k, n)."""
    models, targets, modalities, count = values.shape
    by_cell = values.transpose(0, 2, 1, 3).reshape(-1, targets, count)
    extended = with_target_mean(by_cell).reshape(models, modalities, targets + 1, count)
    appended: NDArray[np.float64] = extended.transpose(0, 2, 1, 3)
    return appended


def _mean_over_units(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = _with_all_targets(values)
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = np.nansum(values, axis=-1) / present.sum(axis=-1)
    return mean


def _counts(scores: pd.DataFrame, metric: str, protocol: Protocol) -> dict[Key, dict[str, int]]:
    array = _score_array(scores, metric, protocol)
    masks = {
        "predictions": array.attempted,
        "failed": array.failed,
        "unsupported": array.unsupported,
        "excluded": array.excluded,
    }
    counts = {}
    for name, mask in masks.items():
        by_target = mask.sum(axis=-1)
        total = by_target.sum(axis=1, keepdims=True)
        counts[name] = np.concatenate([by_target, total], axis=1)
    by_key = {}
    for key, index in _cells(array):
        by_key[key] = {name: int(count[index]) for name, count in counts.items()}
    return by_key


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
