"""Compare modalities within models and models within modalities (``docs/statistics.md``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.analysis.comparison.column_types import typed
from evaluator.analysis.comparison.differences import compare_modalities, compare_models
from evaluator.analysis.comparison.families import Family, check_families, models_outside
from evaluator.analysis.comparison.gaps import find_gaps, published_figures
from evaluator.analysis.comparison.joint_model import compare_jointly
from evaluator.analysis.comparison.means import mean_scores
from evaluator.analysis.comparison.paired_tests import ComparisonOptions
from evaluator.analysis.comparison.schema import ALL_TARGETS, FRAMES, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import make_score_array
from evaluator.analysis.comparison.volume_agreement import agree_on_volumes
from evaluator.errors import UnknownNameError, UserError
from evaluator.manifests.published import load_published
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.tables import at_round
from evaluator.statistics import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.results import Group, Results
    from evaluator.types import Protocol

__all__ = ["ALL_TARGETS", "FRAMES", "MARGINS", "MODALITY_PAIRS", "SEED", "Comparison", "compare"]

#: default margins of equivalence; other metrics have none unless the user declares one
MARGINS: Mapping[str, float] = {"dice": 0.05, "iou": 0.05, "nsd": 0.05}
#: default seed of the resampling
SEED = 20260207


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Tables of a comparison. ``FRAMES[name]`` lists the columns of each and their meaning."""

    #: each model, target and modality alone
    means: pd.DataFrame
    #: structural minus functional, within the session
    modality: pd.DataFrame
    #: model minus model, within the image; first metric only
    models: pd.DataFrame
    #: mixed model over all targets of a model; first metric only
    joint: pd.DataFrame
    #: modality discrepancies and generalization gaps
    gaps: pd.DataFrame
    #: agreement of volumes (Bland-Altman)
    volumes: pd.DataFrame
    #: results for these models from the literature and the UMD paper
    published: pd.DataFrame
    #: metric -> margin of equivalence in the metric's unit
    margins: Mapping[str, float]
    confidence: float
    resamples: int
    seed: int

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name, in the order of ``FRAMES``."""
        return {name: getattr(self, name) for name in FRAMES}


def compare(
    results: Results,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
    families: Sequence[Family] = (),
    round_number: int | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare the runs of each benchmark (one dataset under one protocol).

    Runs of different benchmarks are never mixed; their rows follow each other in the tables.

    Args:
        results: Scores and predictions of the runs.
        metrics: Metrics to compare; the first is the primary one. Default: those of the protocol.
        margins: Margins of equivalence by metric, in addition to ``MARGINS``.
        families: Declared families of tests, the first that fits a comparison counts. Default:
            one family for each table.
        round_number: Round of corrections. Default: each prediction's last round.
        confidence: Coverage of the intervals.
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling; the same seed gives the same result.

    Returns:
        The tables.

    Raises:
        RunConflictError: The runs have two versions of one dataset or protocol.
        UnknownNameError: A protocol does not have a metric, or a family names a model or target
            that no run has.
        UserError: A margin is not above 0.
    """
    all_margins = dict(MARGINS) | dict(margins or {})
    _check_margins(all_margins)
    options = ComparisonOptions(
        margins=all_margins,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        families=tuple(families),
    )
    labels = {run.label for run in results.runs}
    check_families(families, labels, set(results.scores["target"].unique()))
    tables = [
        _compare_group(group, tuple(metrics), round_number, options) for group in results.groups()
    ]
    frames = {name: _stack(name, tables) for name in tables[0]}
    models = {run.model for run in results.runs}
    published = published_figures(load_published())
    published = published[published["model"].isin(models)].reset_index(drop=True)
    return Comparison(
        **frames,
        published=published,
        margins=all_margins,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def _check_margins(margins: Mapping[str, float]) -> None:
    for metric, margin in margins.items():
        if metric not in METRICS:
            raise UnknownNameError("metric", metric, METRICS)
        if not 0 < margin < math.inf:
            raise UserError(
                f"a margin of equivalence is a number above 0; that of {metric} is {margin}"
            )


def _compare_group(
    group: Group, metrics: tuple[str, ...], number: int | None, options: ComparisonOptions
) -> dict[str, pd.DataFrame]:
    scores = compared_scores(group, number)
    selected = compared_metrics(group.protocol, scores, metrics)
    labels = [run.label for run in group.results.runs]
    options = replace(options, outside=models_outside(group.results.runs))
    arrays = [make_score_array(scores, name, group.protocol, labels) for name in selected]
    means = pd.concat([mean_scores(array, options) for array in arrays], ignore_index=True)
    modality = pd.concat(
        [compare_modalities(array, options) for array in arrays], ignore_index=True
    )
    frames = {
        "means": means,
        "modality": modality,
        "models": compare_models(arrays[0], options),
        "joint": compare_jointly(arrays[0], options),
        "gaps": find_gaps(modality, means, group.results.runs, load_published()),
        "volumes": agree_on_volumes(group, scores),
    }
    return {
        name: frame.assign(dataset=group.dataset, protocol=group.protocol.id)
        for name, frame in frames.items()
    }


def compared_scores(group: Group, number: int | None) -> pd.DataFrame:
    """Scores of one round; of a protocol with image plans only those on the images' own grids."""
    scores = at_round(group.results.scores, number, group.protocol)
    if group.protocol.image_variants:
        # seeds on other grids are steps of resolution, not repetitions
        scores = scores[scores["seed"] == group.protocol.seeds[0]]
    return scores


def compared_metrics(
    protocol: Protocol, scores: pd.DataFrame, metrics: Sequence[str]
) -> Sequence[str]:
    """The metrics asked for, or those of the protocol that have scores; at least one.

    Raises:
        UnknownNameError: the protocol does not have a metric.
    """
    available = protocol.metrics
    for metric in metrics:
        if metric not in available:
            raise UnknownNameError(f"metric in protocol {protocol.id}", metric, available)
    scored = set(scores["metric"].unique())
    return metrics or [name for name in available if name in scored] or available[:1]


def _stack(name: str, tables: list[dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """Concatenate one table of all benchmarks."""
    return pd.concat([typed(table[name], FRAMES[name]) for table in tables], ignore_index=True)
