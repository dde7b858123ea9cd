"""Floor and ceiling of every score of a case, by the protocol's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.references import load_references
from evaluator.errors import VolumeError
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.limits.blind_masks import (
    NO_OTHER_SUBJECT,
    OUTSIDE,
    best_mask,
    blind_masks,
    needs_shape,
)
from evaluator.limits.typical_shapes import finest
from evaluator.metrics import failure_value
from evaluator.prompting.error_regions import dice
from evaluator.runs.score_limits import LimitRow
from evaluator.scoring.applicability import needs_image
from evaluator.scoring.masks import score_masks
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from evaluator.datasets.references import LoadedReferences
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.limits.typical_shapes import TypicalShapes
    from evaluator.runs.records import ScanPrompts
    from evaluator.types import Case, Modality, Protocol, Score, TargetPrompt

    #: metric -> value
    Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class _Ceiling:
    values: Values
    finest: Modality


class CaseLimits:
    """The limits of one case's scans; its references are read once."""

    def __init__(self, case: Case, protocol: Protocol, shapes: TypicalShapes) -> None:
        self._case, self._protocol, self._shapes = case, protocol, shapes
        self._references: dict[Modality, LoadedReferences] = {}
        for modality, scan in case.scans.items():
            try:
                self._references[modality] = load_references(
                    scan, with_image=needs_image(protocol.metrics)
                )
            except (VolumeError, OSError):
                continue  # the scan was not run, and its record says why

    def rows(self, modality: Modality, prompts: ScanPrompts) -> tuple[LimitRow, ...]:
        """Floors and ceilings of one scan.

        Args:
            modality: of the scan.
            prompts: round 0's prompts of the scan.

        Returns:
            A row for each seed, each target with a prompt, and each metric; none if the scan's
            references cannot be read.
        """
        references = self._references.get(modality)
        if references is None:
            return ()
        ceilings: dict[str, _Ceiling] = {}
        rows: list[LimitRow] = []
        for seed, targets in prompts.prompts.items():
            for target, prompt in targets.items():
                if target not in ceilings:
                    ceilings[target] = self._ceiling(modality, target)
                rule, floor = self._floor(modality, references, prompt)
                for metric in self._protocol.metrics:
                    row = LimitRow(
                        seed=seed,
                        target=target,
                        metric=metric,
                        floor=floor.get(metric),
                        ceiling=ceilings[target].values.get(metric),
                        floor_rule=rule,
                        ceiling_rule=str(ceilings[target].finest),
                    )
                    rows.append(row)
        return tuple(rows)

    def _floor(
        self, modality: Modality, references: LoadedReferences, prompt: TargetPrompt
    ) -> tuple[str, Values]:
        """The rule of the best image-blind mask, and its scores."""
        shape = None
        if needs_shape(prompt):
            named = prompt.text_of or prompt.target
            shape = self._shapes.of(named, without=self._case.subject)
            if shape is None:
                return NO_OTHER_SUBJECT, {}
        masks = blind_masks(prompt, references.grid, modality, shape)
        if not masks:
            return OUTSIDE, {}
        rule, mask = best_mask(masks, references.masks[prompt.target])
        return rule, self._values(references, prompt.target, mask)

    def _ceiling(self, modality: Modality, target: str) -> _Ceiling:
        """The scores of the finest reference: on this grid, or there and back.

        Two masks are compared. One is the finest reference on this grid against this grid's
        reference. The other is the finest reference resampled to this grid and back, against
        itself. The one with the better Dice counts: references of images that are not aligned do
        not lower the ceiling.
        """
        masks: dict[Modality, GridMask] = {}
        for name, loaded in self._references.items():
            if target in loaded.masks and not loaded.masks[target].empty:
                masks[name] = loaded.masks[target]
        best = finest(masks)
        own, source = self._references[modality], self._references[best]
        there = resample_mask(masks[best], own.grid)
        back = resample_mask(there, source.grid)
        if dice(own.masks[target], there) >= dice(masks[best], back):
            return _Ceiling(self._values(own, target, there), best)
        return _Ceiling(self._values(source, target, back), best)

    def _values(self, references: LoadedReferences, target: str, mask: GridMask) -> Values:
        scores = score_masks(references, {target: mask}, self._protocol)[target]
        return {score.metric: self._value(score) for score in scores}

    def _value(self, score: Score) -> float | None:
        """A score's value; a distance to an empty mask counts as the protocol's cap."""
        if score.status == ScoreStatus.ONE_EMPTY:
            return failure_value(score.metric, self._protocol)
        return score.value
