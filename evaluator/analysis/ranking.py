"""Rank the models of each benchmark by both orders of aggregation, with the ranking's stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.compare_groups import SEED
from evaluator.analysis.comparison.families import models_outside
from evaluator.analysis.ranking_tasks import ranking_tasks
from evaluator.statistics.ranking import RESAMPLES, rank_models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.ranking_tasks import RankingTasks
    from evaluator.runs.results import Group, Results
    from evaluator.statistics import Ranking

#: with fewer subjects, resamples repeat the same few subjects
FEW_SUBJECTS = 6

_BENCHMARK = {"dataset": "name of the dataset", "protocol": "id of the protocol"}
_ORDER = {"order": '"aggregate-then-rank" or "rank-then-aggregate"'}

FRAMES = {
    "ranks": _BENCHMARK
    | _ORDER
    | {
        "model": "label of the model",
        "place": "1 is best; ties share the better place",
        "mean_rank": "weighted mean rank over tasks",
        "place_low": "2.5 % quantile of the place over resamples of subjects; NA for one subject",
        "place_high": "97.5 % quantile of the place",
        "first": "share of the resamples in which the model is first; NA for one subject",
        "explanation": "a remark on the ranking, or why there is none",
    },
    "distribution": _BENCHMARK
    | _ORDER
    | {
        "model": "label of the model",
        "place": "a place",
        "share": "share of the resamples in which the model has this place",
    },
    "stability": _BENCHMARK
    | _ORDER
    | {
        "subjects": "subjects in the ranking",
        "tasks": "number of tasks (targets x modalities x metrics)",
        "tau": "mean over resamples of Kendall's tau-b to the ranking of all subjects",
        "tau_low": "2.5 % quantile of tau",
        "tau_high": "97.5 % quantile of tau",
        "tau_between": "Kendall's tau-b between the two orders, for all subjects",
    },
    "significance": _BENCHMARK
    | {
        "model": "the model with the better mean rank over subjects",
        "other": "the model that it is compared with",
        "p_holm": (
            "of equal weighted mean ranks of the two models over subjects (signed-rank test), "
            "adjusted by Holm over all pairs; pairs with an image-blind model or random weights "
            "are a family by themselves"
        ),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Tables with the columns of ``FRAMES``; benchmarks follow each other."""

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
    """Rank the models of each benchmark; each target, modality and metric is a task.

    A failed prediction counts as the metric's worst value. Where that is not finite (volume
    errors), it counts as the worst value of any model. This holds for every protocol, because
    excluding failures would reward them.

    A prediction that a model does not support has no score. A model without any score is not
    ranked. A task of a subject that one of the ranked models does not support counts for none of
    them. The explanation names these models.

    Args:
        results: Scores of the runs.
        metrics: Metrics of the tasks. Default: those of the protocol.
        weights: Weights by ("target", name), ("modality", name) or ("metric", name), default 1. A
            task's weight is the product of its weights.
        round_number: Round of corrections. Default: each prediction's last round.
        resamples: Number of bootstrap samples of subjects.
        seed: Seed of the resampling.

    Returns:
        The tables.

    Raises:
        UnknownNameError: A metric or the name of a weight does not exist.
        UserError: A weight is below 0, or none is above 0.
    """
    all_weights = dict(weights or {})
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in FRAMES}
    for group in results.groups():
        tasks = ranking_tasks(group, tuple(metrics), all_weights, round_number)
        for name, frame in _frames(group, tasks, resamples, seed).items():
            labelled = frame.assign(dataset=group.dataset, protocol=group.protocol.id)
            tables[name].append(labelled[list(FRAMES[name])])
    frames = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    return Ranks(**frames, weights=all_weights)


def _frames(
    group: Group, tasks: RankingTasks, resamples: int, seed: int
) -> dict[str, pd.DataFrame]:
    models = tasks.models or tuple(sorted(run.label for run in group.results.runs))
    weighted = tasks.weights > 0
    scores = tasks.scores[:, weighted]
    if not tasks.models or np.isnan(scores).any(axis=2).all():
        reason = "no subject has a score of every model in any task with a weight above 0"
        if tasks.explanation:
            reason = f"{reason}; {tasks.explanation}"
        empty = {name: pd.DataFrame(columns=list(columns)) for name, columns in FRAMES.items()}
        rows = {"model": models, "explanation": reason}
        return empty | {"ranks": pd.DataFrame(rows, columns=list(FRAMES["ranks"]))}
    outside = models_outside(group.results.runs)
    ranking = rank_models(
        scores,
        tasks.weights[weighted],
        outside=np.array([model in outside for model in models]),
        resamples=resamples,
        seed=seed,
    )
    remarks = (tasks.explanation, _few_subjects(ranking.subjects))
    remark = {"explanation": "; ".join(filter(None, remarks))}
    ranks, distribution, stability = [], [], []
    for name, order in ranking.orders.items():
        labels = {"order": name}
        ranks += [labels | row | remark for row in _ranks(order, models)]
        if ranking.subjects == 1:  # every resample is that subject
            ranks = [row | dict.fromkeys(("place_low", "place_high", "first")) for row in ranks]
        for i, j in np.ndindex(order.distribution.shape):
            place = {"model": models[i], "place": j + 1, "share": order.distribution[i, j]}
            distribution.append(labels | place)
        stability.append(labels | _stability(ranking, order))
    rows_by_name = {
        "ranks": ranks,
        "distribution": distribution,
        "stability": stability,
        "significance": _significance(ranking, models),
    }
    return {
        name: pd.DataFrame(rows, columns=list(FRAMES[name])) for name, rows in rows_by_name.items()
    }


def _few_subjects(subjects: int) -> str:
    if subjects == 1:
        return "one subject cannot show how stable the places are"
    if subjects < FEW_SUBJECTS:
        return f"{subjects} subjects are too few to judge how stable the places are"
    return ""


def _ranks(order: Any, models: tuple[str, ...]) -> list[dict[str, Any]]:
    cumulated = np.cumsum(order.distribution, axis=1)
    rows = []
    for i, model in enumerate(models):
        low, high = (int(np.searchsorted(cumulated[i], q - 1e-9)) + 1 for q in (0.025, 0.975))
        rows.append(
            {
                "model": model,
                "place": int(order.place[i]),
                "mean_rank": order.mean_rank[i],
                "place_low": low,
                "place_high": high,
                "first": order.distribution[i, 0],
            }
        )
    return rows


def _stability(ranking: Ranking, order: Any) -> dict[str, Any]:
    row = {
        "subjects": ranking.subjects,
        "tasks": ranking.tasks,
        "tau_between": ranking.tau_between,
    }
    tau = order.tau[~np.isnan(order.tau)]
    if not len(tau) or ranking.subjects == 1:
        return row | {"tau": None}
    low, high = np.quantile(tau, (0.025, 0.975))
    return row | {"tau": tau.mean(), "tau_low": low, "tau_high": high}


def _significance(ranking: Ranking, models: tuple[str, ...]) -> list[dict[str, Any]]:
    mean_rank = ranking.orders["rank-then-aggregate"].mean_rank
    rows = []
    for i, j in zip(*np.triu_indices(len(models), 1), strict=True):
        better, worse = (i, j) if mean_rank[i] <= mean_rank[j] else (j, i)
        p = ranking.p_holm[i, j]
        p_holm = None if np.isnan(p) else p
        rows.append({"model": models[better], "other": models[worse], "p_holm": p_holm})
    return rows
