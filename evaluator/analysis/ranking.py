"""Rank the models of each group by both orders of aggregation, with how much the ranking hangs on the subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison import SEED
from evaluator.analysis.comparison.score_array import COUNTED, LEFT_OUT, make_cube
from evaluator.errors import UnknownNameError, UserError
from evaluator.metrics import METRICS
from evaluator.metrics.registry import failure_value
from evaluator.runs.tables import at_round
from evaluator.statistics.ranking import RESAMPLES, rank_models
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.score_array import Cube
    from evaluator.runs.results import Group, Results
    from evaluator.statistics import Ranking

FRAMES = {
    "ranks": {
        "dataset": "the dataset's name",
        "protocol": "the protocol's id",
        "order": '"aggregate-then-rank" or "rank-then-aggregate"',
        "model": "the model's label",
        "place": "1 is best; ties share the better place",
        "mean_rank": "weighted mean rank over tasks",
        "place_low": "2.5 % quantile of the place over resamples of subjects",
        "place_high": "97.5 % quantile",
        "first": "share of the resamples in which the model is first",
        "explanation": "what to keep in mind; why there is no ranking",
    },
    "distribution": {
        "dataset": "the dataset's name",
        "protocol": "the protocol's id",
        "order": "as above",
        "model": "the model's label",
        "place": "a place",
        "share": "share of the resamples in which the model has it",
    },
    "stability": {
        "dataset": "the dataset's name",
        "protocol": "the protocol's id",
        "order": "as above",
        "subjects": "subjects in the ranking",
        "tasks": "targets x modalities x metrics in it",
        "tau": "mean over resamples of Kendall's tau-b to the full data's ranking",
        "tau_low": "2.5 % quantile",
        "tau_high": "97.5 % quantile",
        "tau_between": "Kendall's tau-b between the two orders on the full data",
    },
    "significance": {
        "dataset": "the dataset's name",
        "protocol": "the protocol's id",
        "model": "the model with the better mean rank over subjects",
        "other": "the one it is held against",
        "p_holm": "of the two models' weighted mean ranks being equal over subjects (signed-rank), Holm over all pairs",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Frames with the columns of ``FRAMES``; groups stand under each other."""

    ranks: pd.DataFrame
    distribution: pd.DataFrame
    stability: pd.DataFrame
    significance: pd.DataFrame
    weights: Mapping[tuple[str, str], float]


def rank(
    results: Results,
    *,
    metrics: Sequence[str] = (),
    weights: Mapping[tuple[str, str], float] | None = None,
    round_number: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Ranks:
    """Rank over tasks: each target, modality and metric (those of the protocol, unless named) is one.

    A task weighs the product of its ``weights``, given for ("target", name), ("modality", name) and ("metric", name). A
    failure counts as the metric's worst, or where that has no end (volume errors) as the worst that any model has
    here, whatever the protocol says: leaving it out would reward it. Raises UnknownNameError
    for a weight of what is not there, UserError for one below 0 or for none above 0.
    """
    given = dict(weights or {})
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in FRAMES}
    for group in results.groups():
        scores, own, explanation = _scores(group, tuple(metrics), given, round_number)
        frames = _frames(group, scores, own, explanation, resamples, seed)
        for name, frame in frames.items():
            parts[name].append(
                frame.assign(dataset=group.dataset, protocol=group.protocol.id)[list(FRAMES[name])]
            )
    return Ranks(
        **{name: pd.concat(own, ignore_index=True) for name, own in parts.items()}, weights=given
    )


def _scores(
    group: Group,
    metrics: tuple[str, ...],
    weights: Mapping[tuple[str, str], float],
    number: int | None,
) -> tuple[Any, Any, str]:
    """Scores (subjects, tasks, models), higher better, the tasks' weights, and what to keep in mind."""
    rounds = at_round(group.results.scores, number, group.protocol)
    known = group.protocol.metrics
    if wrong := [name for name in metrics if name not in known]:
        raise UnknownNameError(f"metric in protocol {group.protocol.id}", wrong[0], known)
    cubes = [make_cube(group, rounds, name) for name in metrics or known]
    _check(weights, cubes[0].targets, [cube.metric for cube in cubes])
    parts, own = [], []
    for cube in cubes:
        values = np.where(cube.failed, _worst(cube, group), cube.values[COUNTED])
        values = cube.per_subject(values) * (
            1 if METRICS[cube.metric].direction == "higher" else -1
        )
        parts.append(
            values.transpose(3, 1, 2, 0).reshape(
                values.shape[3], values.shape[1] * values.shape[2], len(cube.models)
            )
        )
        own += [
            weights.get(("metric", cube.metric), 1.0) * weights.get(("target", target), 1.0)
            * weights.get(("modality", modality), 1.0)
            for target in cube.targets for modality in MODALITIES
        ]  # fmt: skip
    refused = {cubes[0].models[k] for k in np.flatnonzero(cubes[0].unsupported.any(axis=(1, 2, 3)))}
    said = (
        f"what a model does not support counts as failed: {', '.join(sorted(refused))}"
        if refused
        else ""
    )
    return np.concatenate(parts, axis=1), np.array(own), said


def _worst(cube: Cube, group: Group) -> float:
    """What a failure counts as: never better than any mask here, where the metric's own worst has no such end."""
    worst = failure_value(cube.metric, group.protocol)
    if worst is not None and not METRICS[cube.metric].signed:
        return worst
    return float(np.nanmax(np.abs(cube.values[LEFT_OUT]), initial=abs(worst or 0.0)))


def _check(
    weights: Mapping[tuple[str, str], float], targets: Sequence[str], metrics: Sequence[str]
) -> None:
    there = {"target": targets, "modality": MODALITIES, "metric": metrics}
    for (kind, name), weight in weights.items():
        if kind not in there:
            raise UnknownNameError("kind of weight", kind, there)
        if name not in there[kind]:
            raise UnknownNameError(kind, name, there[kind])
        if not 0 <= weight < np.inf:
            raise UserError(
                f"the weight of {kind} {name} is {weight}; a weight is a number, 0 or above"
            )


def _frames(
    group: Group, scores: Any, weights: Any, explanation: str, resamples: int, seed: int
) -> dict[str, pd.DataFrame]:
    models = tuple(sorted(run.label for run in group.results.runs))
    weighty = weights > 0
    if np.isnan(scores[:, weighty]).any(axis=2).all():
        nothing = "no subject has a score of every model in any task that weighs"
        bare = {name: pd.DataFrame(columns=list(columns)) for name, columns in FRAMES.items()}
        return bare | {
            "ranks": pd.DataFrame(
                {"model": models, "explanation": nothing}, columns=list(FRAMES["ranks"])
            )
        }
    made = rank_models(scores[:, weighty], weights[weighty], resamples=resamples, seed=seed)
    ranks, distribution, stability = [], [], []
    for name, order in made.orders.items():
        reached = np.cumsum(order.distribution, axis=1)
        for i, model in enumerate(models):
            low, high = (
                int(np.searchsorted(reached[i], share - 1e-9)) + 1 for share in (0.025, 0.975)
            )
            place = {
                "place": int(order.place[i]),
                "mean_rank": order.mean_rank[i],
                "place_low": low,
                "place_high": high,
            }
            first = {"first": order.distribution[i, 0], "explanation": explanation}
            ranks.append({"order": name, "model": model} | place | first)
            distribution += [
                {"order": name, "model": model, "place": j + 1, "share": share}
                for j, share in enumerate(order.distribution[i])
            ]
        tau = order.tau[~np.isnan(order.tau)]
        figures = (
            dict(zip(("tau_low", "tau_high"), np.quantile(tau, (0.025, 0.975)), strict=True))
            if len(tau)
            else {}
        )
        counts = {
            "order": name,
            "subjects": made.subjects,
            "tasks": made.tasks,
            "tau_between": made.tau_between,
        }
        stability.append(counts | {"tau": tau.mean() if len(tau) else None} | figures)
    return {
        "ranks": pd.DataFrame(ranks, columns=list(FRAMES["ranks"])),
        "distribution": pd.DataFrame(distribution, columns=list(FRAMES["distribution"])),
        "stability": pd.DataFrame(stability, columns=list(FRAMES["stability"])),
        "significance": _significance(made, models),
    }


def _significance(made: Ranking, models: tuple[str, ...]) -> pd.DataFrame:
    mean = made.orders["rank-then-aggregate"].mean_rank
    rows = []
    for i, j in zip(*np.triu_indices(len(models), 1), strict=True):
        better, worse = (i, j) if mean[i] <= mean[j] else (j, i)
        p = made.p_holm[i, j]
        rows.append(
            {"model": models[better], "other": models[worse], "p_holm": None if np.isnan(p) else p}
        )
    return pd.DataFrame(rows, columns=list(FRAMES["significance"]))
