"""Two arms of a comparison, model by model and target by target: their pairs, counted, and averaged within the subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.score_array import EXCLUDED, INCLUDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray


#: statuses of comparisons without a figure to believe
NO_FIGURE = ("no pairs", "excluded", "unsupported", "all failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Arrays (k, targets, units) of one arm of k comparisons."""

    values: dict[str, Any]
    asked: Any
    failed: Any
    unsupported: Any
    excluded: Any

    @property
    def present(self) -> Any:
        """The target is in the references and the run has the scan."""
        return self.asked | self.excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of two arms under one rule for failures; arrays (k, targets + 1), the last of all targets together."""

    #: (k, targets + 1, subjects), NaN where a subject has no pair
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    #: pairs in the figures; asked for on both arms; not askable; failed and unsupported on each arm
    used: NDArray[np.int64]
    asked: NDArray[np.int64]
    excluded: NDArray[np.int64]
    failed: tuple[NDArray[np.int64], NDArray[np.int64]]
    unsupported: tuple[NDArray[np.int64], NDArray[np.int64]]


def arm_of(score_array: ScoreArray, models: Any, modality: int, units: Any = slice(None)) -> Arm:
    """The arm of some models (their numbers) on a modality, for some units."""

    def part(array: Any) -> Any:
        return array[models, :, modality][..., units]

    return Arm(
        values={name: part(score_array.values[name]) for name in (INCLUDED, EXCLUDED)},
        asked=part(score_array.asked),
        failed=part(score_array.failed),
        unsupported=part(score_array.unsupported),
        excluded=part(score_array.excluded),
    )


def make_pairs(one: Arm, two: Arm, score_array: ScoreArray, failures: str) -> Pairs:
    """Pair the arms unit by unit (all of the score_array's), average within subjects, then over each subject's targets."""
    known = ~np.isnan(one.values[failures]) & ~np.isnan(two.values[failures])
    first, second = (
        score_array.per_subject(np.where(known, arm.values[failures], np.nan)) for arm in (one, two)
    )
    both = one.asked & two.asked
    return Pairs(
        first=with_all(first),
        second=with_all(second),
        used=_count(known),
        asked=_count(both),
        excluded=_count(one.present & two.present & ~both),
        failed=(_count(both & one.failed), _count(both & two.failed)),
        unsupported=(_count(both & one.unsupported), _count(both & two.unsupported)),
    )


def with_all(values: Any) -> Any:
    """The subjects' means over targets as one more target, (k, targets, subjects) to (k, targets + 1, subjects)."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nan_to_num(values).sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True)
    return np.concatenate([values, mean], axis=1)


def _count(marks: Any) -> NDArray[np.int64]:
    counts = marks.sum(axis=2)
    return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)


def why_no_figure(pairs: Pairs, k: int, target: int, names: tuple[str, str]) -> tuple[str, str]:
    """Status and explanation where a comparison has no figure to believe; ("", "") where it has."""
    asked, failed = int(pairs.asked[k, target]), [int(arm[k, target]) for arm in pairs.failed]
    refused = [bool(asked) and int(arm[k, target]) == asked for arm in pairs.unsupported]
    if not asked:
        if pairs.excluded[k, target]:
            return (
                "excluded",
                "the data allow no fair question about any pair, or the metric has no meaning there",
            )
        return "no pairs", f"no case has it on both {names[0]} and {names[1]}"
    if any(refused):
        which = " and ".join(name for name, one in zip(names, refused, strict=True) if one)
        return "unsupported", f"not supported by the model: {which}"
    if failed == [asked, asked]:
        return "all failed", "no prediction on either arm has a mask"
    if not pairs.used[k, target]:
        return "all failed", "every pair has a failed prediction"
    return "", ""
