"""Predictions that exist already as files: the contract of a model that is not run here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from evaluator.containers.contracts.without_reports import WithoutReports
from evaluator.containers.engines.spec import NATIVE_LAYOUT
from evaluator.containers.requests import StagedRequest, StagedScan
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import difference, displacement_note
from evaluator.imaging.grid_masks import crop_mask
from evaluator.types import Failure, Status
from evaluator.volumes import read_grid, read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.containers.engines.spec import Mode, Workspace
    from evaluator.containers.requests import ModelRequest, ScanInput
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.volumes import MaskValidator

    #: file, and the values of the target; None: every value but 0
    PredictionFile = tuple[Path, tuple[int, ...] | None]
    #: the dataset's image -> target -> file
    PredictionFiles = Mapping[Path, Mapping[str, PredictionFile]]

logger = logging.getLogger(__name__)


class PredictionFilesContract(WithoutReports):
    """See ``evaluator.containers.contracts.Contract``; nothing is written for a container."""

    name = "predictions"
    modes: tuple[Mode, ...] = ("batch",)
    batch_size: int | None = None
    layout = NATIVE_LAYOUT

    def __init__(self, files: PredictionFiles) -> None:
        """Files of all scans."""
        self._files = files
        self._sources: dict[str, Path] = {}

    def command(self, mode: Mode) -> list[str]:  # noqa: ARG002 - nothing is run
        """Nothing."""
        return []

    def stage_scan(self, scan: ScanInput, workspace: Workspace) -> StagedScan:  # noqa: ARG002
        """The grid of the scan's image."""
        image = next(iter(scan.images.values()))
        return StagedScan(scan=scan, grid=read_grid(image.source), files=())

    def stage_request(
        self,
        request: ModelRequest,
        scan: StagedScan,
        workspace: Workspace,  # noqa: ARG002 - nothing is written
    ) -> StagedRequest:
        """Remember which image the request is about."""
        self._sources[request.id] = next(iter(scan.scan.images.values())).source
        names = tuple(target.name for target in request.targets)
        return StagedRequest(id=request.id, targets=names, grid=scan.grid, files=(), images=())

    def answer_path(self, request: StagedRequest, output: Path) -> Path:
        """A path that does not exist: the user's files are never removed."""
        return output / request.id

    def is_answered(
        self,
        request: StagedRequest,  # noqa: ARG002 - all answers exist
        output: Path,  # noqa: ARG002
        *,
        following: StagedRequest | None,  # noqa: ARG002
        running: bool,  # noqa: ARG002
    ) -> bool:
        """Always."""
        return True

    def read_mask(
        self,
        request: StagedRequest,
        target: str,
        output: Path,  # noqa: ARG002 - the files are the user's
        validator: MaskValidator,  # noqa: ARG002 - they are trusted as images are
    ) -> GridMask | Failure:
        """The target's voxels, if the file lies on the image's grid."""
        entry = self._files.get(self._sources[request.id], {}).get(target)
        if entry is None:
            return Failure(status=Status.UNSUPPORTED, detail="the predictions have no such target")
        path, values = entry
        if not path.exists():
            return Failure(status=Status.MISSING, detail=f"there is no file {path}")
        try:
            labels, grid = read_labels(path)
        except VolumeError as error:
            return Failure(status=Status.WRONG_VALUES, detail=str(error))
        if grid.shape != request.grid.shape:
            detail = f"{path.name}: shape {grid.shape}, expected {request.grid.shape}"
            return Failure(status=Status.WRONG_SHAPE, detail=detail)
        if mismatch := difference(request.grid, grid):
            return Failure(status=Status.WRONG_AFFINE, detail=f"{path.name}: {mismatch}")
        if note := displacement_note(request.grid, grid):
            logger.warning("image and %s: %s", path.name, note)
        mask = labels != 0 if values is None else np.isin(labels, values)
        return crop_mask(mask, request.grid)
