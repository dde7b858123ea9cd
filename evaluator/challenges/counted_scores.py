"""The scores of a submission, and what each counts as in the ranking."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from evaluator.challenges.pseudonyms import case_pseudonym, subject_pseudonym
from evaluator.challenges.result_file import ResultScore, ResultTotal
from evaluator.metrics.registry import NOT_EVALUATED, failure_value
from evaluator.runs.tables import last_round

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from evaluator.challenges.result_file import ChallengeResult, CountsAs
    from evaluator.types import Protocol

    Key = tuple[str, str, str, int, str]


def count_scores(
    frame: pd.DataFrame,
    protocol: Protocol,
    *,
    metrics: Sequence[str],
    modalities: Collection[str],
    salt: Path,
    baseline: ChallengeResult | None,
) -> tuple[ResultScore, ...]:
    """Decide what each score counts as.

    A prediction without a valid mask counts as the metric's worst value, or as the baseline's score
    of the same target where there is one. So does one that the model does not support: every
    submission is asked for the same targets. A metric that is not defined for a target counts for
    nothing. A distance to an empty mask is the worst value.

    Args:
        frame: table of scores of the hidden run.
        protocol: of the run.
        metrics: of the ranking.
        modalities: that count; none: all.
        salt: file of the challenge's secret.
        baseline: result whose scores replace failures; None: failures are the worst value.
    """
    rows: Any = last_round(frame)
    replacements = _replacements(baseline)
    scores = []
    for row in rows.itertuples():
        if row.metric not in metrics or (modalities and row.modality not in modalities):
            continue
        case = case_pseudonym(salt, str(row.case))
        key = (case, str(row.modality), str(row.target), int(row.seed), str(row.metric))
        counted, counts_as = _counted(row, protocol, replacements.get(key))
        scores.append(
            ResultScore(
                subject=subject_pseudonym(salt, str(row.subject)),
                case=case,
                modality=str(row.modality),
                target=str(row.target),
                seed=int(row.seed),
                round=int(row.round),
                metric=str(row.metric),
                value=float(row.value) if row.status == "ok" else None,
                status=str(row.status),
                counted=counted,
                counts_as=counts_as,
            )
        )
    return tuple(sorted(scores, key=_order))


def _order(score: ResultScore) -> tuple[Any, ...]:
    return (score.case, score.modality, score.target, score.seed, score.metric)


def _replacements(baseline: ChallengeResult | None) -> dict[Key, float]:
    values = {}
    for score in baseline.scores if baseline else ():
        if score.counted is not None:
            key = (score.case, score.modality, score.target, score.seed, score.metric)
            values[key] = score.counted
    return values


def _counted(
    row: Any, protocol: Protocol, replacement: float | None
) -> tuple[float | None, CountsAs]:
    if row.status == "ok":
        return float(row.value), "submission"
    if row.status in NOT_EVALUATED:
        return None, "excluded"
    worst = failure_value(str(row.metric), protocol)
    if row.status == "one-empty":
        return worst, "worst"
    if replacement is not None:
        return replacement, "baseline"
    return worst, "worst"


def total_scores(scores: Iterable[ResultScore]) -> tuple[ResultTotal, ...]:
    """Means over subjects for each metric: of each modality, and of all together."""
    by_scan: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for score in scores:
        if score.counted is not None:
            by_scan[score.metric, score.modality, score.subject].append(score.counted)
    means = {key: fmean(values) for key, values in by_scan.items()}
    by_modality: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_subject: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (metric, modality, subject), mean in means.items():
        by_modality[metric, modality].append(mean)
        by_subject[metric, subject].append(mean)
    for (metric, _), values in by_subject.items():
        by_modality[metric, ""].append(fmean(values))
    totals = []
    for (metric, modality), values in sorted(by_modality.items()):
        value = math.fsum(values) / len(values)
        totals.append(
            ResultTotal(
                metric=metric, modality=modality, value=round(value, 6), subjects=len(values)
            )
        )
    return tuple(totals)
