"""Compare modalities within models and models within modalities, paired within the subject (``docs/statistics.md``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.analysis.comparison.differences import compare_modalities, compare_models
from evaluator.analysis.comparison.gaps import find_gaps, published_figures
from evaluator.analysis.comparison.joint_model import compare_jointly
from evaluator.analysis.comparison.means import mean_scores
from evaluator.analysis.comparison.paired_tests import ComparisonOptions
from evaluator.analysis.comparison.schema import ALL_TARGETS, FRAMES, MODALITY_PAIRS, typed
from evaluator.analysis.comparison.score_array import make_score_array
from evaluator.analysis.comparison.volume_agreement import agree_on_volumes
from evaluator.errors import UnknownNameError, UserError
from evaluator.manifests.published import load_published
from evaluator.metrics import METRICS
from evaluator.runs.tables import at_round
from evaluator.statistics import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.results import Group, Results

__all__ = ["ALL_TARGETS", "FRAMES", "MARGINS", "MODALITY_PAIRS", "SEED", "Comparison", "compare"]

#: differences smaller than this count as none, unless the user states another margin; others have none until stated
MARGINS: Mapping[str, float] = {"dice": 0.05, "iou": 0.05, "nsd": 0.05}
#: the resampling's, unless another is given
SEED = 20260207


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Frames of figures; the columns of each are ``FRAMES[name]``, with what they say."""

    #: each model x target x modality on its own
    means: pd.DataFrame
    #: structural against functional, within the session
    modality: pd.DataFrame
    #: model against model, within the image; of the first metric alone
    models: pd.DataFrame
    #: all targets of a model jointly; of the first metric alone
    joint: pd.DataFrame
    #: modality discrepancies and generalization gaps
    gaps: pd.DataFrame
    #: agreement of volumes (Bland-Altman)
    volumes: pd.DataFrame
    #: what literature and the paper report for the models at hand
    published: pd.DataFrame
    #: metric -> margin of equivalence
    margins: Mapping[str, float]
    confidence: float
    resamples: int
    seed: int

    def frames(self) -> dict[str, pd.DataFrame]:
        """The frames by name, in the order of ``FRAMES``."""
        return {name: getattr(self, name) for name in FRAMES}


def compare(
    results: Results,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
    round_number: int | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare within each group of one dataset and one protocol; groups are never mixed, their rows stand under each other.

    ``metrics``: those of the protocols, unless named; the first is the main one. ``margins`` go over ``MARGINS``.
    ``round_number``: of corrections; by default each prediction's last. The seed makes the resampling repeatable.
    Raises RunConflictError for two versions of one dataset or protocol, UnknownNameError for a metric that a protocol lacks, and
    UserError for a margin that is not above 0.
    """
    stated = dict(MARGINS) | dict(margins or {})
    _check_margins(stated)
    options = ComparisonOptions(
        margins=stated, confidence=confidence, resamples=resamples, seed=seed
    )
    parts = [
        _compare_group(group, tuple(metrics), round_number, options) for group in results.groups()
    ]
    frames = {name: _stack([part[name] for part in parts], FRAMES[name]) for name in parts[0]}
    models = {run.model for run in results.runs}
    published = published_figures(load_published())
    published = published[published["model"].isin(models)].reset_index(drop=True)
    return Comparison(
        **frames,
        published=published,
        margins=stated,
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
    known = group.protocol.metrics
    for metric in metrics:
        if metric not in known:
            raise UnknownNameError(f"metric in protocol {group.protocol.id}", metric, known)
    scores = at_round(group.results.scores, number, group.protocol)
    there = set(scores["metric"].unique())
    wanted = metrics or [metric for metric in known if metric in there] or known[:1]
    score_arrays = [make_score_array(group, scores, metric) for metric in wanted]
    means = pd.concat(
        [mean_scores(score_array, options) for score_array in score_arrays], ignore_index=True
    )
    modality = pd.concat(
        [compare_modalities(score_array, options) for score_array in score_arrays],
        ignore_index=True,
    )
    frames = {
        "means": means,
        "modality": modality,
        "models": compare_models(score_arrays[0], options),
        "joint": compare_jointly(score_arrays[0], options),
        "gaps": find_gaps(modality, means, group.results.runs, load_published()),
        "volumes": agree_on_volumes(group, scores),
    }
    return {
        name: frame.assign(dataset=group.dataset, protocol=group.protocol.id)
        for name, frame in frames.items()
    }


def _stack(frames: list[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """Groups under each other."""
    full = [typed(frame, columns) for frame in frames]
    return pd.concat(full, ignore_index=True)
