"""Floor and ceiling of every score of a case, by the protocol's metrics."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import VolumeError
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.limits.blind_masks import (
    NO_OTHER_SUBJECT,
    OUTSIDE,
    best_answer,
    blind_masks,
    needs_shape,
)
from evaluator.limits.typical_shapes import finest
from evaluator.metrics.registry import failure_value
from evaluator.prompting.error_regions import dice
from evaluator.runs.score_limits import LimitRow
from evaluator.scoring.applicability import needs_image
from evaluator.scoring.masks import score_masks
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.datasets.references import LoadedReferences
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.limits.typical_shapes import TypicalShapes
    from evaluator.runs.records import ScanPrompts
    from evaluator.types import Case, ImagePlan, Modality, Protocol, Score, TargetPrompt

    #: metric -> value
    Values = dict[str, float | None]


#: rule of a ceiling where the images of a case are not in one frame
OWN_REFERENCE = "own reference: the images are not registered"


@dataclass(frozen=True, slots=True)
class _Floor:
    rule: str
    #: answer -> its values
    blind: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ceiling:
    values: Values
    rule: str


class CaseLimits:
    """The limits of one case's scans; its references are read once."""

    def __init__(
        self, case: Case, protocol: Protocol, shapes: TypicalShapes, *, registered: bool = True
    ) -> None:
        """Read the references.

        Args:
            case: the case.
            protocol: of the run.
            shapes: typical shapes of the dataset's targets.
            registered: the images of the case lie in one frame; else the reference of one image
                says nothing of another image.
        """
        self._case, self._protocol, self._shapes = case, protocol, shapes
        self._registered = registered
        self._own = self._load(case)
        #: by image plan: the references that masks are scored against
        self._shown: dict[ImagePlan, dict[Modality, LoadedReferences]] = {}

    def _load(self, case: Case) -> dict[Modality, LoadedReferences]:
        references: dict[Modality, LoadedReferences] = {}
        for modality, scan in case.scans.items():
            # a scan without usable references was not run, and its record says why
            with suppress(VolumeError, OSError):
                references[modality] = load_references(
                    scan, with_image=needs_image(self._protocol.metrics)
                )
        return references

    def _of_plan(self, seed: int) -> dict[Modality, LoadedReferences]:
        """The references that masks of a seed are scored against."""
        plan = self._protocol.images_of(seed)
        if plan not in self._shown:
            case = planned_case(self._case, self._protocol, seed)
            self._shown[plan] = self._own if case is self._case else self._load(case)
        return self._shown[plan]

    def rows(self, modality: Modality, prompts: ScanPrompts) -> tuple[LimitRow, ...]:
        """Floors and ceilings of one scan.

        Args:
            modality: of the scan.
            prompts: round 0's prompts of the scan.

        Returns:
            A row for each seed, each target with a prompt, and each metric; none if the scan's
            references cannot be read.
        """
        if modality not in self._own:
            return ()
        ceilings: dict[tuple[ImagePlan, str], _Ceiling] = {}
        rows: list[LimitRow] = []
        for seed, targets in prompts.prompts.items():
            references = self._of_plan(seed)[modality]
            plan = self._protocol.images_of(seed)
            for target, prompt in targets.items():
                if (plan, target) not in ceilings:
                    ceilings[plan, target] = self._ceiling(modality, target, references)
                ceiling = ceilings[plan, target]
                floor = self._floor(modality, references, prompt)
                for metric in self._protocol.metrics:
                    blind = {name: values.get(metric) for name, values in floor.blind.items()}
                    row = LimitRow(
                        seed=seed,
                        target=target,
                        metric=metric,
                        floor=blind.get(floor.rule),
                        blind=blind,
                        ceiling=ceiling.values.get(metric),
                        floor_rule=floor.rule,
                        ceiling_rule=ceiling.rule,
                    )
                    rows.append(row)
        return tuple(rows)

    def resampling(self, modality: Modality) -> dict[str, float]:
        """Target -> Dice of the reference after resampling to a common grid and back.

        Of several plans the one that costs most counts. Empty on the scan's own grid.
        """
        costs: dict[str, float] = {}
        own = self._own.get(modality)
        for seed in self._protocol.seeds if own else ():
            shown = self._of_plan(seed)[modality]
            if own is None or shown.grid == own.grid:
                continue
            for target, mask in own.masks.items():
                back = resample_mask(shown.masks[target], own.grid)
                if not mask.empty:
                    costs[target] = min(dice(mask, back), costs.get(target, 1.0))
        return costs

    def _floor(
        self, modality: Modality, references: LoadedReferences, prompt: TargetPrompt
    ) -> _Floor:
        """The scores of each image-blind mask, and which is the best."""
        shape = None
        if needs_shape(prompt):
            named = prompt.text_of or prompt.target
            shape = self._shapes.of(named, without=self._case.subject)
            if shape is None:
                return _Floor(NO_OTHER_SUBJECT)
        own = self._own[modality].grid
        masks = blind_masks(prompt, references.grid, modality, shape, own=own)
        if not masks:
            return _Floor(OUTSIDE)
        return _Floor(
            best_answer(masks, references.masks[prompt.target]),
            {name: self._values(references, prompt.target, mask) for name, mask in masks.items()},
        )

    def _ceiling(self, modality: Modality, target: str, shown: LoadedReferences) -> _Ceiling:
        """The scores of the finest reference: on the scored grid, or there and back.

        Two masks are compared. One is the finest reference on the scored grid, against the
        reference there. The other is the finest reference resampled to the image's own grid and
        back, against itself. The one with the better Dice counts: references of images that are
        not aligned do not lower the ceiling. Images that are not registered each have their own
        reference only, so the ceiling is that of this reference.
        """
        masks: dict[Modality, GridMask] = {}
        for name, loaded in self._own.items():
            if not self._registered and name != modality:
                continue
            if target in loaded.masks and not loaded.masks[target].empty:
                masks[name] = loaded.masks[target]
        if not masks:
            return _Ceiling({}, OWN_REFERENCE)
        best = finest(masks)
        rule = str(best) if self._registered else OWN_REFERENCE
        source = self._own[best]
        there = resample_mask(masks[best], shown.grid)
        on_own = resample_mask(masks[best], self._own[modality].grid)
        back = resample_mask(on_own, source.grid)
        if dice(shown.masks[target], there) >= dice(masks[best], back):
            return _Ceiling(self._values(shown, target, there), rule)
        return _Ceiling(self._values(source, target, back), rule)

    def _values(self, references: LoadedReferences, target: str, mask: GridMask) -> Values:
        scores = score_masks(references, {target: mask}, self._protocol)[target]
        return {score.metric: self._value(score) for score in scores}

    def _value(self, score: Score) -> float | None:
        """A score's value; a distance to an empty mask counts as the protocol's cap."""
        if score.status == ScoreStatus.ONE_EMPTY:
            return failure_value(score.metric, self._protocol)
        return score.value
