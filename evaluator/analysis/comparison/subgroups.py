"""Modalities compared within subgroups of subjects: by scanner, sex, age group, tracer or dose.

The columns are those of the dataset's table of subjects. All subgroups of all columns are one
family of tests for each modality pair, failure rule and declared family, so a split into k
subgroups makes each family k times as large. The comparison is of raw differences; the grid's part
is not taken out of them. A difference that is found in one subgroup and not in another is no
evidence that the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.column_types import typed
from evaluator.analysis.comparison.compare_groups import (
    MARGINS,
    SEED,
    compared_metrics,
    compared_scores,
)
from evaluator.analysis.comparison.differences import paired_blocks, with_families
from evaluator.analysis.comparison.families import models_outside
from evaluator.analysis.comparison.means import mean_scores
from evaluator.analysis.comparison.paired_tests import ComparisonOptions
from evaluator.analysis.comparison.pairing import arm_of
from evaluator.analysis.comparison.schema import MEANS, MODALITY, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import make_score_array
from evaluator.analysis.subgroup_members import SPLIT, subgroups_of
from evaluator.statistics import RESAMPLES
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.families import Family
    from evaluator.analysis.comparison.score_array import ScoreArray
    from evaluator.runs.results import Group, Results

#: columns that only differences without the grid's part have
_CONTROL = ("floor_", "ceiling_", "controlled_", "conclusion", "grid_")
SUBGROUPS = SPLIT | {name: text for name, text in MODALITY.items() if not name.startswith(_CONTROL)}
SUBGROUP_MEANS = SPLIT | MEANS
SUBGROUP_FRAMES = {"subgroups": SUBGROUPS, "subgroup_means": SUBGROUP_MEANS}
_RENAMED = {
    "first": "mean_structural",
    "second": "mean_functional",
    "failed_first": "failed_structural",
    "failed_second": "failed_functional",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupComparison:
    """Tables of a comparison within subgroups."""

    #: structural minus functional within each subgroup, columns ``SUBGROUPS``
    subgroups: pd.DataFrame
    #: each model, target and modality within each subgroup, columns ``SUBGROUP_MEANS``
    subgroup_means: pd.DataFrame

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name, in the order of ``SUBGROUP_FRAMES``."""
        return {name: getattr(self, name) for name in SUBGROUP_FRAMES}


def compare_subgroups(
    results: Results,
    columns: Sequence[str],
    *,
    metric: str | None = None,
    margins: Mapping[str, float] | None = None,
    families: Sequence[Family] = (),
    round_number: int | None = None,
) -> SubgroupComparison:
    """Compare structural with functional images within each subgroup.

    Args:
        results: The results.
        columns: Columns of the datasets' tables of subjects.
        metric: One metric; None: the first that each protocol has.
        margins: Metric -> margin of equivalence.
        families: Declared families of tests.
        round_number: Round of corrections; None: the last.

    Raises:
        UserError: A dataset has no table of subjects.
        UnknownNameError: A table has no such column.
    """
    options = ComparisonOptions(
        margins=dict(MARGINS) | dict(margins or {}),
        confidence=0.95,
        resamples=RESAMPLES,
        seed=SEED,
        families=tuple(families),
    )
    differences, means = [], []
    for group in results.groups():
        arrays = _arrays(group, columns, metric, round_number)
        options = replace(options, outside=models_outside(group.results.runs))
        benchmark = {"dataset": group.dataset, "protocol": group.protocol.id}
        differences.append(_differences(arrays, options).assign(**benchmark))
        for (by, subgroup), array in arrays.items():
            block = mean_scores(array, options)
            means.append(block.assign(by=by, subgroup=subgroup, **benchmark))
    return SubgroupComparison(
        subgroups=typed(pd.concat(differences, ignore_index=True), SUBGROUPS),
        subgroup_means=typed(pd.concat(means, ignore_index=True), SUBGROUP_MEANS),
    )


def _arrays(
    group: Group, columns: Sequence[str], metric: str | None, number: int | None
) -> dict[tuple[str, str], ScoreArray]:
    scores = compared_scores(group, number)
    first = compared_metrics(group.protocol, scores, [metric] if metric else [])[0]
    labels = [run.label for run in group.results.runs]
    arrays = {}
    for key, subjects in subgroups_of(group, columns).items():
        part = scores[scores["subject"].isin(subjects)]
        if len(part):
            arrays[key] = make_score_array(part, first, group.protocol, labels)
    return arrays


def _differences(
    arrays: Mapping[tuple[str, str], ScoreArray], options: ComparisonOptions
) -> pd.DataFrame:
    blocks = []
    for structural, functional in MODALITY_PAIRS:
        numbers = (MODALITIES.index(structural), MODALITIES.index(functional))
        pair = f"{structural}-{functional}"
        parts = []
        for (by, subgroup), array in arrays.items():
            if not np.logical_and.reduce(array.has[list(numbers)]).any():
                continue
            models = np.arange(len(array.models))
            names = [{"model": model, "modality_pair": pair} for model in array.models]
            first, second = (arm_of(array, models, number) for number in numbers)
            labels = [(structural, functional)] * len(models)
            part = paired_blocks(array, (first, second), labels, names, options)
            parts.append(part.assign(by=by, subgroup=subgroup))
        if parts:
            array = next(iter(arrays.values()))
            family = f"{array.metric}, {pair}, {len(parts)} subgroups"
            joined = pd.concat(parts, ignore_index=True)
            blocks.append(with_families(joined, array.metric, family, options))
    if not blocks:
        return pd.DataFrame(columns=list(SUBGROUPS))
    return pd.concat(blocks, ignore_index=True).rename(columns=_RENAMED)
