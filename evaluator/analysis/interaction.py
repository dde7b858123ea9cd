"""How a model answers to corrections: its figures over the rounds of a run, for each target and modality."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from evaluator.runs.results import displacements

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.interaction import (
    area,
    clicks_to_reach,
    curve,
    first_gain,
    instability,
    number_of_clicks,
)
from evaluator.runs.tables import read_scores

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

    #: case, modality, target, seed
    Prediction = tuple[str, str, str, int]

#: Dice values for which the number of clicks is told
WANTED = (0.80, 0.85, 0.90)


def summarise_rounds(run: RunStore, metric: str = "dice") -> list[dict[str, Any]]:
    """One object for each model x target x modality of a run with rounds; ``metric`` is in [0, 1], higher better.

    ``curve`` is the mean score of each round and ``area`` the mean area under the targets' curves, normalised, both with
    a failed round as 0; ``noc`` has, for each wanted score, the mean number of clicks (a target that never reaches it
    counts as the protocol's budget) and how many never did; ``first_gain`` and ``instability`` are means over those that
    have them; ``seconds`` is the median for one interaction, which asks for all targets of the image. Predictions that
    the model does not do at all are left out.
    """
    rounds = load_protocol(run.info().protocol_source).rounds
    count = rounds.count
    clicks, seconds = _clicks(run), _seconds(run)
    entries = []
    for (model, target, modality), series in _series(run, metric).items():
        scores = list(series.values())
        given = [
            [clicks[(*key, number)] for number in range(len(one))] for key, one in series.items()
        ]
        curves = [curve(one, count) for one in scores]
        gains = [gain for one in scores if (gain := first_gain(one)) is not None]
        losses = [loss for one in scores if (loss := instability(one)) is not None]
        budget = max(one[0] for one in given) + count - 1
        budget = min(budget, rounds.max_clicks or budget)
        noc = {}
        for wanted in WANTED:
            reached = [clicks_to_reach(s, c, wanted) for s, c in zip(scores, given, strict=True)]
            mean, never = number_of_clicks(reached, budget)
            noc[f"{wanted:.2f}"] = {"clicks": mean, "never": never}
        entries.append(
            {
                "model": model,
                "target": target,
                "modality": modality,
                "metric": metric,
                "n": len(scores),
                "failed_rounds": sum(value is None for one in scores for value in one),
                "curve": [round(fmean(values), 6) for values in zip(*curves, strict=True)],
                "area": round(fmean(area(one) for one in curves), 6),
                "noc": noc,
                "first_gain": round(fmean(gains), 6) if gains else None,
                "instability": round(fmean(losses), 6) if losses else None,
                "seconds": round(median(seconds[modality]), 4) if seconds[modality] else None,
            }
        )
    return entries


def _series(
    run: RunStore, metric: str
) -> dict[tuple[str, str, str], dict[Prediction, list[float | None]]]:
    """For each model, target and modality the scores of each prediction in the order of rounds; None: a failed round."""
    frame = read_scores(run)
    frame = frame[
        (frame["metric"] == metric)
        & ~frame["status"].isin(["undefined", "not-run", "not-applicable"])
    ]
    done = frame["status"] != "unsupported"
    frame = frame[
        done.groupby([frame[name] for name in ("case", "modality", "target", "seed")]).transform(
            "any"
        )
    ]
    series: dict[Any, Any] = {}
    for row in frame.sort_values(["model", "target", "modality", "round"]).to_dict("records"):
        group = series.setdefault((row["model"], row["target"], row["modality"]), {})
        value = float(row["value"]) if row["status"] == "ok" else None
        group.setdefault((row["case"], row["modality"], row["target"], row["seed"]), []).append(
            value
        )
    return series


def _clicks(run: RunStore) -> dict[tuple[str, str, str, int, int], int]:
    """Interactions given by each (case, modality, target, seed, round)."""
    counts: dict[tuple[str, str, str, int, int], int] = {}
    for record in run.records():
        for entry in record.rounds:
            for name, target in entry.targets.items():
                key = (record.case, record.modality, name, entry.seed, entry.round)
                counts[key] = target.interactions or 0
    return counts


def _seconds(run: RunStore) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in run.records():
        for entry in record.rounds:
            answered = any(target.status == "ok" for target in entry.targets.values())
            if answered and entry.seconds is not None:
                seconds[record.modality].append(entry.seconds)
    return seconds


def tell_displacements(run: RunStore) -> str:
    """One line; empty where no point was given."""
    every = [mm for own in displacements(run).values() for mm in own]
    moved = [mm for mm in every if mm > 0]
    if not every:
        return ""
    if not moved:
        return f"None of {len(every)} prompts with a point had to be moved on its image."
    return (
        f"{len(moved)} of {len(every)} prompts with a point fell where they may not lie on their image (beside its own "
        f"reference) and were moved to the nearest voxel, by up to {max(moved):.1f} mm; umd show --json has it by target."
    )
