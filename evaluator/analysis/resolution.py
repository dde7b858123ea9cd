"""How much of a difference between CT or MR and PET is resolution.

A protocol whose seeds differ in their images shows the structural image on its own grid, on PET's
grid, and there after a blur. The means of these steps lie between the structural image and PET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import INCLUDED, make_score_array
from evaluator.analysis.comparison.subject_means import with_target_mean
from evaluator.runs.tables import last_round
from evaluator.statistics import mean_intervals
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from evaluator.types import ImagePlan, Protocol

    #: (models, targets + 1, modalities, subjects)
    Values = NDArray[np.float64]

COLUMNS = {
    "model": "label of the model",
    "modality_pair": '"CT-PT" or "MR-PT"',
    "target": f'organ or lesion; "{ALL_TARGETS}": the mean over a subject\'s targets',
    "metric": "the metric",
    "step": "number of the step, from the structural image on its own grid to PET",
    "image": "what the model saw, in words",
    "n": "subjects with a score at every step",
    "mean": "mean over subjects",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "change": "mean of this step minus the step before; NA for the first",
    "change_low": "lower end of its 95 % interval",
    "change_high": "upper end of its 95 % interval",
}


def has_steps(protocol: Protocol) -> bool:
    """Whether the seeds of a protocol show structural images at PET's grid."""
    return any(plan.grid_of == "PT" for plan in protocol.image_variants)


def resolution_steps(
    scores: pd.DataFrame, protocol: Protocol, metric: str, models: Sequence[str]
) -> pd.DataFrame:
    """Means of the structural image at each step and of PET, and what each step changes.

    Args:
        scores: Score rows of one dataset under the protocol.
        protocol: A protocol with image plans by seed; see ``has_steps``.
        metric: Name of the metric.
        models: Labels of the models.

    Returns:
        Rows with the columns ``COLUMNS``, in the order of the steps.
    """
    by_seed: list[Values] = []
    targets: tuple[str, ...] = ()
    for seed in protocol.seeds:
        rows = last_round(scores[scores["seed"] == seed])
        array = make_score_array(rows, metric, protocol, models)
        targets = (*array.targets, ALL_TARGETS)
        by_subject = array.per_subject(array.values[INCLUDED])
        by_modality = [with_target_mean(by_subject[:, :, n]) for n in range(len(MODALITIES))]
        by_seed.append(np.stack(by_modality, axis=2))
    result = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        names = [image_words(structural, protocol.images_of(seed)) for seed in protocol.seeds]
        steps = [values[:, :, a] for values in by_seed] + [by_seed[0][:, :, b]]
        for m, model in enumerate(sorted(models)):
            for t, target in enumerate(targets):
                labels = {
                    "model": model,
                    "modality_pair": f"{structural}-{functional}",
                    "target": target,
                    "metric": metric,
                }
                values = np.stack([step[m, t] for step in steps])
                result += [labels | row for row in _rows(values, [*names, "PET"])]
    return pd.DataFrame(result, columns=list(COLUMNS))


def image_words(modality: str, plan: ImagePlan) -> str:
    """What an image plan shows of a structural modality, in words."""
    if plan.grid == "own":
        return modality
    grid = "PET's grid" if plan.grid_of == "PT" else "the common grid"
    blur = f", blurred by {plan.blur_fwhm_mm:g} mm" if plan.blur_fwhm_mm else ""
    return f"{modality} at {grid}{blur}"


def _rows(values: NDArray[np.float64], names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of the steps of one model and target; none without a subject that has them all."""
    complete = values[:, ~np.isnan(values).any(axis=0)]
    if not complete.shape[1]:
        return
    ends = mean_intervals(complete.T)[0]
    changes = np.diff(complete, axis=0)
    change_ends = mean_intervals(changes.T)[0]
    for step, name in enumerate(names):
        row = {
            "step": step,
            "image": name,
            "n": complete.shape[1],
            "mean": complete[step].mean(),
            "low": ends[0, step],
            "high": ends[1, step],
        }
        if step:
            row["change"] = changes[step - 1].mean()
            row["change_low"], row["change_high"] = change_ends[:, step - 1]
        yield row
