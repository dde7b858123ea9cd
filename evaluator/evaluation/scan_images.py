"""The images and references of a scan in the workspace, as the protocol shows them under a seed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evaluator.containers.contracts import contract_of
from evaluator.containers.requests import InputImage, ScanInput
from evaluator.containers.safe_removal import discard
from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import VolumeError
from evaluator.files import fingerprint
from evaluator.imaging.geometry import difference
from evaluator.imaging.orthogonal_grids import readable_grid
from evaluator.scoring.applicability import needs_image

if TYPE_CHECKING:
    from evaluator.containers.requests import StagedScan
    from evaluator.datasets.references import LoadedReferences
    from evaluator.evaluation.run_context import RunContext
    from evaluator.types import Case, ImagePlan, Modality
    from zoo_sdk.wire import Grid


class ScanImages:
    """Stages a scan's images; seeds with the same image plan share them."""

    def __init__(
        self, context: RunContext, case: Case, modality: Modality, inputs: tuple[Modality, ...]
    ) -> None:
        self._context, self._case = context, case
        self._modality, self._inputs = modality, inputs
        self._plan: ImagePlan | None = None
        self._references: LoadedReferences | None = None
        self._staged: StagedScan | None = None
        self._grid: Grid | None = None

    @property
    def references(self) -> LoadedReferences:
        """Of the images that are shown."""
        assert self._references is not None
        return self._references

    @property
    def staged(self) -> StagedScan:
        """The images that are shown."""
        assert self._staged is not None
        return self._staged

    @property
    def shown_grid(self) -> Grid:
        """The image's grid, on which masks are stored; see ``stage_image`` for the model's."""
        exact = self.references.grid
        return self.staged.grid if readable_grid(exact) == exact else exact

    @property
    def grid(self) -> Grid | None:
        """``shown_grid`` of the first seed; None before any image was shown."""
        return self._grid

    @property
    def other_grid(self) -> Grid | None:
        """The present grid, if it is not that of the first seed."""
        return None if self.shown_grid == self._grid else self.shown_grid

    def show(self, seed: int) -> None:
        """Read the references and stage the images of a seed, unless they are those of the last.

        Raises:
            VolumeError: the data allow no fair prompt.
        """
        protocol, workspace = self._context.plan.protocol, self._context.workspace
        plan = protocol.images_of(seed)
        if plan == self._plan:
            return
        case = planned_case(self._case, protocol, seed)
        with_image = needs_image(protocol.metrics)
        references = load_references(case.scans[self._modality], with_image=with_image)
        self.remove()
        contract = self._context.contract or contract_of(self._context.plan.card)
        staged = contract.stage_scan(self._input(case, plan), workspace)
        if mismatch := difference(staged.grid, readable_grid(references.grid)):
            raise VolumeError(f"image and reference do not match: {mismatch}")
        self._references, self._staged, self._plan = references, staged, plan
        self._grid = self._grid or self.shown_grid

    def remove(self) -> None:
        """Remove the images from the workspace."""
        if self._staged is None:
            return
        for file in self._staged.files:
            file.unlink(missing_ok=True)
        if self._staged.cache:
            discard(self._staged.cache)

    def _input(self, case: Case, plan: ImagePlan) -> ScanInput:
        """The images of a request under meaningless names."""
        salt = self._context.salt
        pseudonym = fingerprint([salt, case.id, self._modality])[:12]
        shared = plan == self._context.plan.protocol.images
        named = [salt, pseudonym] if shared else [salt, pseudonym, asdict(plan)]
        images = {
            name: InputImage(
                source=case.scans[name].image,
                unit=case.scans[name].unit,
                name=fingerprint([*named, name])[:12],
            )
            for name in self._inputs
        }
        return ScanInput(pseudonym=pseudonym, images=images)
