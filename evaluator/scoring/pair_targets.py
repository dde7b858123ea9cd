"""The targets of a pair, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import VolumeError
from evaluator.metrics.target_measurement import labels_in
from evaluator.volumes import LabelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evaluator.scoring.file_pairs import Pair
    from evaluator.scoring.pair_volumes import PairVolumes

    Targets = Mapping[str, tuple[int, ...]]

MASK, MASK_255 = [1], [255]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTargets:
    """The labels of each target in the reference and in the prediction."""

    reference: Targets
    prediction: Targets
    warnings: tuple[str, ...] = ()


def declared_targets(labels: Targets, prediction_labels: Targets | None) -> PairTargets:
    """The targets of a table of labels."""
    theirs = prediction_labels or labels
    return PairTargets(
        reference=labels, prediction={target: theirs.get(target, ()) for target in labels}
    )


def found_targets(name: str, volumes: PairVolumes, *, by_file: bool) -> PairTargets:
    """A target for every label that is in either label map, under its number.

    A mask of 0 and 255 and a mask of 0 and 1 are one target.

    Args:
        name: the pair's name.
        volumes: the label maps.
        by_file: label 1 has the pair's name.

    Raises:
        VolumeError: there are more labels than a label map has.
    """
    try:
        in_reference, in_prediction = labels_in(volumes.reference), labels_in(volumes.prediction)
    except ValueError as error:
        raise VolumeError(f"{name}: {error}; is one of the files an image?") from None
    present = sorted({*in_reference, *in_prediction})
    first = name if by_file else "1"
    if [in_reference, in_prediction] in ([MASK, MASK_255], [MASK_255, MASK]):
        warning = (
            f"the reference is a mask of {in_reference[0]} and the prediction one of "
            f"{in_prediction[0]}; they are compared as masks"
        )
        reference, prediction = {first: tuple(in_reference)}, {first: tuple(in_prediction)}
        return PairTargets(reference=reference, prediction=prediction, warnings=(warning,))
    named = {first if value == 1 else str(value): (value,) for value in present}
    if not present:
        named = {first: (1,)}
    warnings = []
    if in_reference and in_prediction and not set(in_reference) & set(in_prediction):
        warning = (
            f"the files have no label in common: the reference holds {_some(in_reference)}, the "
            f"prediction {_some(in_prediction)}; name them with --labels and --prediction-labels"
        )
        warnings.append(warning)
    return PairTargets(reference=named, prediction=named, warnings=tuple(warnings))


def named_by_file(pairs: Iterable[Pair]) -> bool:
    """Whether every reference is a mask of one target, so that label 1 has the file's name.

    One name stands for one label in all pairs: if any reference has another label, label 1 is
    called "1" everywhere. A file that cannot be read is reported when it is scored.
    """
    for pair in pairs:
        try:
            labels = labels_in(LabelFile(pair.reference, untrusted=False).read())
        except (VolumeError, ValueError):
            continue
        if labels not in (MASK, []):
            return False
    return True


def _some(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:5])) + (" ..." if len(labels) > 5 else "")
