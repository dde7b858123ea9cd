"""Controlled differences against each image-blind answer, as one estimate that all of them allow.

The floor is the best image-blind answer of each scan. A model that looks at no image may give
another answer, which loses more on a coarse grid than the floor does. So the difference of a model
that is not better than the floor is claimed only if it is there beyond the grid's effect on each of
the answers: an intersection-union test, whose p is the largest one (Berger, Technometrics
1982;24:295-300). A model that is better than the floor on both images is no image-blind answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from evaluator.statistics import ALPHA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray

    Floats = NDArray[np.float64]
    Estimates = Mapping[str, NDArray[Any]]

#: name of the best image-blind answer of each scan
FLOOR = "floor"


def arms_of_answers(
    score_array: ScoreArray, modalities: tuple[int, int], used: NDArray[np.bool_]
) -> dict[str, list[Floats]]:
    """Scores of each image-blind answer on both images, of the units that are used.

    Args:
        score_array: The scores.
        modalities: Numbers of the structural and the functional modality.
        used: (models, targets, units), units with score, floor and ceiling on both images.

    Returns:
        Name -> two arrays (models, targets, units), NaN where unused; ``FLOOR`` is the first.
        Where an answer has no score for a unit of a model's target, the floor stands for it in all
        units. Answers that nowhere differ from the floor are left out.
    """
    floor = [np.where(used, score_array.floor[:, :, number], np.nan) for number in modalities]
    answers = {FLOOR: floor}
    for name, scores in score_array.blind.items():
        arms = [np.where(used, scores[:, :, number], np.nan) for number in modalities]
        present = ~np.isnan(arms[0] + arms[1])
        complete = (present | ~used).all(axis=-1, keepdims=True)
        arms = [np.where(complete, a, b) for a, b in zip(arms, floor, strict=True)]
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arms, floor, strict=True)):
            answers[name] = arms
    return answers


def beats_floor(
    scores: Sequence[Floats], floors: Sequence[Floats], *, higher_is_better: bool
) -> NDArray[np.bool_]:
    """Whether a model is better than the best image-blind answer on both images.

    Args:
        scores: Of the structural and the functional image, (..., subjects), NaN where unused.
        floors: Likewise.
        higher_is_better: The metric's direction.

    Returns:
        (...): one-sided t tests of the subjects' gains over the floor are significant at 5 % on
        both images.
    """
    better = np.ones(scores[0].shape[:-1], dtype=bool)
    for score, floor in zip(scores, floors, strict=True):
        gains = score - floor if higher_is_better else floor - score
        count = (~np.isnan(gains)).sum(axis=-1)
        enough = np.maximum(count, 2)
        mean = np.nansum(gains, axis=-1) / enough
        squares = np.nansum((gains - mean[..., None]) ** 2, axis=-1)
        error = np.sqrt(squares / (enough - 1) / enough)
        better &= (count >= 2) & (mean > stdtrit(enough - 1, 1 - ALPHA) * error)
    return better


def allowed_by_all(
    estimates: Sequence[Estimates], floor_alone: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[Any]], Any]:
    """Combine the estimates of the same comparisons against several answers.

    Args:
        estimates: For each answer the arrays (c,) of ``paired_estimates``; the floor is the first.
        floor_alone: (c,) the floor is the only answer that counts, see ``beats_floor``.

    Returns:
        ``n``; ``difference``, the one that is nearest to 0; ``low`` and ``high``, which enclose all
        intervals; ``p_sign_flip``, the largest, or 1 where the signs of the differences are not
        equal; ``p_equivalence``, the largest. And (c,) the number of the answer whose difference
        it is.
    """
    stacked = {
        name: np.stack(
            [np.where(floor_alone, estimates[0][name], values[name]) for values in estimates]
        )
        for name in ("difference", "low", "high", "p_sign_flip", "p_equivalence")
    }
    difference = stacked["difference"]
    chosen = np.argmin(np.nan_to_num(np.abs(difference), nan=np.inf), axis=0)
    one_sign = (difference > 0).all(axis=0) | (difference < 0).all(axis=0)
    p = stacked["p_sign_flip"].max(axis=0)
    combined = {
        "n": estimates[0]["n"],
        "difference": np.take_along_axis(difference, chosen[None], axis=0)[0],
        "low": stacked["low"].min(axis=0),
        "high": stacked["high"].max(axis=0),
        "p_sign_flip": np.where(one_sign | np.isnan(p), p, 1.0),
        "p_equivalence": stacked["p_equivalence"].max(axis=0),
    }
    return combined, chosen
