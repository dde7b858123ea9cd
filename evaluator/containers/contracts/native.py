"""Contract 1, the project's (``docs/contract.md``): JSON requests, NIfTI images and masks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evaluator.containers.engines.spec import NATIVE_LAYOUT
from evaluator.containers.replies import clean_reply
from evaluator.containers.requests import StagedRequest, StagedScan
from evaluator.files import write_json
from evaluator.types import Failure, Status
from evaluator.volumes import stage_image, write_mask
from evaluator.volumes.mask_validation import read_untrusted
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import (
    ImageFile,
    Reply,
    Request,
    Target,
    WireError,
    dump_request,
    parse_reply,
)

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.spec import Mode, Workspace
    from evaluator.containers.requests import ModelRequest, RequestTarget, ScanInput
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.volumes import MaskValidator
    from zoo_sdk.wire import Grid

#: more bytes than any honest reply.json has
REPLY_BYTES = 2**20


class NativeContract:
    """See ``evaluator.containers.contracts.Contract``."""

    name = "1"
    modes: tuple[Mode, ...] = ("batch", "serve")
    batch_size: int | None = None
    single_target = False
    layout = NATIVE_LAYOUT

    def command(self, mode: Mode) -> list[str]:
        """``serve`` for a session, nothing for a batch."""
        return ["serve"] if mode == "serve" else []

    def stage_scan(self, scan: ScanInput, workspace: Workspace) -> StagedScan:
        """NIfTI copies without metadata, under meaningless names."""
        files, grids = [], []
        for image in scan.images.values():
            path = workspace.input / "images" / f"{image.name}.nii.gz"
            grids.append(stage_image(image.source, path))
            path.chmod(0o644)
            files.append(path)
        return StagedScan(scan=scan, grid=grids[0], files=tuple(files))

    def stage_request(
        self, request: ModelRequest, scan: StagedScan, workspace: Workspace
    ) -> StagedRequest:
        """``requests/<id>.json``, and scribbles and previous masks under ``masks/``."""
        images = {}
        for (modality, image), path in zip(scan.scan.images.items(), scan.files, strict=True):
            inside = path.relative_to(workspace.input)
            images[str(modality)] = ImageFile(path=str(inside), unit=image.unit)
        targets = tuple(
            _stage_target(f"{request.id}-{number}", target, scan.grid, workspace)
            for number, target in enumerate(request.targets)
        )
        body = Request(
            id=request.id,
            case=scan.scan.pseudonym,
            round=request.round,
            images=images,
            grid=scan.grid,
            targets=targets,
            options=request.options,
        )
        path = workspace.input / "requests" / f"{request.id}.json"
        write_json(path, dump_request(body))
        path.chmod(0o644)
        return staged(body, workspace)

    def answer_path(self, request: StagedRequest, output: Path) -> Path:
        """One folder for each request."""
        return output / request.id

    def is_answered(
        self,
        request: StagedRequest,
        output: Path,
        *,
        following: StagedRequest | None,
        running: bool,
    ) -> bool:
        """The reply is written last; without one, all masks exist and the model has moved on."""
        folder = output / request.id
        if os.path.lexists(folder / "reply.json"):
            return True
        complete = all(os.path.lexists(folder / f"{name}.nii.gz") for name in request.targets)
        moved_on = following is not None and os.path.lexists(output / following.id)
        return complete and (moved_on or not running)

    def read_reply(self, request: StagedRequest, output: Path) -> Reply | Failure:
        """``reply.json``, which a model may leave out."""
        body = read_untrusted(output / request.id / "reply.json", REPLY_BYTES)
        if isinstance(body, Failure):
            return Reply() if body.status == Status.MISSING else body
        try:
            return clean_reply(parse_reply(loads(body.decode(errors="replace"))))
        except WireError as error:
            detail = f"reply.json does not follow the contract: {error}"
            return Failure(status=Status.ERROR, detail=detail)

    def read_mask(
        self, request: StagedRequest, target: str, output: Path, validator: MaskValidator
    ) -> GridMask | Failure:
        """``<target>.nii.gz``."""
        shape = request.grid.shape
        limit = 2**20 + 2 * shape[0] * shape[1] * shape[2]
        return validator.check(output / request.id / f"{target}.nii.gz", request.grid, limit)


def staged(request: Request, workspace: Workspace) -> StagedRequest:
    """A request of this contract whose files were written into the workspace."""
    masks = []
    for target in request.targets:
        masks += [name for name in (target.scribble, target.previous) if name]
    paths = [f"requests/{request.id}.json", *masks]
    return StagedRequest(
        id=request.id,
        targets=tuple(target.name for target in request.targets),
        grid=request.grid,
        files=tuple(workspace.input / name for name in paths),
        images=tuple(workspace.input / image.path for image in request.images.values()),
    )


def _stage_target(name: str, target: RequestTarget, grid: Grid, workspace: Workspace) -> Target:
    return Target(
        name=target.name,
        text=target.text,
        points=target.points,
        box=target.box,
        box_mm=target.box_mm,
        scribble=_stage_mask(f"{name}-scribble", target.scribble, grid, workspace),
        previous=_stage_mask(f"{name}-previous", target.previous, grid, workspace),
    )


def _stage_mask(name: str, mask: GridMask | None, grid: Grid, workspace: Workspace) -> str | None:
    if mask is None:
        return None
    inside = f"masks/{name}.nii.gz"
    path = workspace.input / inside
    write_mask(path, mask, grid, quick=True)
    path.chmod(0o644)
    return inside
