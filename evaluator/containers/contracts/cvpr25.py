"""The container convention of the CVPR 2025 challenge on interactive 3D segmentation.

An image reads every ``*.npz`` of ``/workspace/inputs`` and writes a file of the same name with the
array ``segs`` into ``/workspace/outputs``; it is started by ``sh predict.sh``. Arrays are (k, j,
i), as SimpleITK gives them. Labels are 1, 2, ... in the order of the request's targets. Source:
JunMa11/CVPR-MedSegFMCompetition 748e862, README.md and CVPR25_iter_eval.py.
docs/bring-your-image.md lists every key.

Differences from the challenge's script: a container gets an empty output folder, so no answer of an
earlier round can be read again; ``gts`` is never written; the answer is read without pickle.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.containers.contracts.without_reports import WithoutReports
from evaluator.containers.engines.spec import ContainerLayout
from evaluator.containers.requests import StagedRequest, StagedScan
from evaluator.errors import VolumeError, write_fault
from evaluator.imaging.geometry import spacing
from evaluator.imaging.intensities import scale_to_uint8
from evaluator.volumes import read_image
from evaluator.volumes.mask_validation import MapLabel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.containers.engines.spec import Mode, Workspace
    from evaluator.containers.requests import ModelRequest, RequestTarget, ScanInput
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Failure
    from evaluator.volumes import MaskValidator
    from zoo_sdk.wire import Box, Grid

#: the array of the answer
ANSWER = "segs"
#: name of the file with the scaled image, which requests of the scan share
IMAGE_SUFFIX = ".npy"
#: signature of a zip file's last record, and the most bytes from there to the file's end
ZIP_END, ZIP_END_BYTES = b"PK\x05\x06", 22 + 2**16


class Cvpr25Contract(WithoutReports):
    """See ``evaluator.containers.contracts.Contract``."""

    modes: tuple[Mode, ...] = ("batch",)
    layout = ContainerLayout(
        input="/workspace/inputs",
        output="/workspace/outputs",
        input_writable=True,
        root_writable=True,
        image_user=True,
        working_dir=None,
    )

    def __init__(self, *, name: str, batch_size: int | None) -> None:
        """One container for each request (``batch_size`` 1), or one for a round of all scans."""
        self.name, self.batch_size = name, batch_size

    def command(self, mode: Mode) -> list[str]:  # noqa: ARG002 - there is one mode
        """What the challenge appends to the image's entrypoint."""
        return ["/bin/bash", "-c", "sh predict.sh"]

    def stage_scan(self, scan: ScanInput, workspace: Workspace) -> StagedScan:
        """Scale the image to 0..255 once; requests copy it."""
        if len(scan.images) != 1:
            raise VolumeError("images of the CVPR 2025 challenge take one image, not several")
        ((modality, image),) = scan.images.items()
        voxels, grid = read_image(image.source)
        path = workspace.input / "images" / f"{image.name}{IMAGE_SUFFIX}"
        _write(path, np.ascontiguousarray(scale_to_uint8(voxels, modality).transpose(2, 1, 0)))
        return StagedScan(scan=scan, grid=grid, files=(path,))

    def stage_request(
        self, request: ModelRequest, scan: StagedScan, workspace: Workspace
    ) -> StagedRequest:
        """``<id>.npz`` with the image, boxes, clicks and the mask of the round before."""
        content = _content(request.targets, scan.grid, request.round)
        content["imgs"] = np.load(scan.files[0], allow_pickle=False)
        path = workspace.input / f"{request.id}.npz"
        try:
            np.savez(path, **content)
            path.chmod(0o644)
        except OSError as error:
            raise write_fault(path, error) from error
        return StagedRequest(
            id=request.id,
            targets=tuple(target.name for target in request.targets),
            grid=scan.grid,
            files=(path,),
            images=(),
        )

    def answer_path(self, request: StagedRequest, output: Path) -> Path:
        """A file of the same name."""
        return output / f"{request.id}.npz"

    def is_answered(
        self,
        request: StagedRequest,
        output: Path,
        *,
        following: StagedRequest | None,  # noqa: ARG002 - an image answers in any order
        running: bool,
    ) -> bool:
        """A file is complete when the container has ended and the file has a zip's end.

        A container that died may have left a part of its last answer.
        """
        return not running and has_zip_end(self.answer_path(request, output))

    def read_mask(
        self, request: StagedRequest, target: str, output: Path, validator: MaskValidator
    ) -> GridMask | Failure:
        """The voxels of ``segs`` that have the target's label."""
        ni, nj, nk = request.grid.shape
        return validator.check(
            self.answer_path(request, output),
            request.grid,
            2**20 + 9 * ni * nj * nk,
            map_label=MapLabel(format="npz", array=ANSWER, label=request.targets.index(target) + 1),
        )


def has_zip_end(path: Path) -> bool:
    """Whether a container wrote a zip file to its end; a link, pipe or folder is none.

    The last record of a zip file begins with PK, 5, 6 (APPNOTE 4.3.16) and is written last.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return False
        return ZIP_END in os.pread(file, ZIP_END_BYTES, max(status.st_size - ZIP_END_BYTES, 0))
    finally:
        os.close(file)


def _content(targets: Sequence[RequestTarget], grid: Grid, number: int) -> dict[str, Any]:
    """The arrays of a request but the image."""
    si, sj, sk = (float(size) for size in spacing(np.array(grid.affine)))
    content: dict[str, Any] = {"spacing": np.array([sk, sj, si])}
    if all(target.box for target in targets):
        content["boxes"] = _objects([closed_box(target.box) for target in targets if target.box])
    if any(target.text for target in targets):
        texts: dict[str, Any] = {str(n): target.text or "" for n, target in enumerate(targets, 1)}
        content["text_prompts"] = np.array(texts | {"instance_label": 0}, dtype=object)
    if number > 0 or any(target.points for target in targets):
        content["clicks"] = _objects([_clicks(target) for target in targets])
        orders = [_order(target, number) for target in targets]
        longest = max(len(order) for order in orders)
        padded = [order + [None] * (longest - len(order)) for order in orders]
        content["clicks_order"] = _objects(padded)
    if number > 0:
        content["prev_pred"] = _previous(targets, grid)
    return content


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    """An array of Python objects, one for each item, whatever the items are."""
    array = np.empty(len(items), dtype=object)
    for n, item in enumerate(items):
        array[n] = item
    return array


def closed_box(box: Box) -> dict[str, int]:
    """The box as closed intervals; the middle slice's box is the same in all slices.

    Of an even number of slices the middle one is the upper, as in the challenge's get_boxes.py.
    """
    (i0, j0, k0), (i1, j1, k1) = box.low, box.high
    return {
        "z_min": k0,
        "z_max": k1 - 1,
        "z_mid": (k0 + k1) // 2,
        "z_mid_x_min": i0,
        "z_mid_y_min": j0,
        "z_mid_x_max": i1 - 1,
        "z_mid_y_max": j1 - 1,
    }


def _clicks(target: RequestTarget) -> dict[str, list[list[int]]]:
    clicks: dict[str, list[list[int]]] = {"fg": [], "bg": []}
    for point in target.points:
        i, j, k = point.index
        clicks["fg" if point.foreground else "bg"].append([k, j, i])
    return clicks


def _order(target: RequestTarget, last: int) -> list[str | None]:
    """The sign of the click of each round from the second on; None where there was none."""
    order: list[str | None] = []
    for number in range(last + 1):
        signs = ["fg" if p.foreground else "bg" for p in target.points if p.round == number]
        if number > 0 and not signs:
            order.append(None)
        order.extend(signs)
    return order


def _previous(targets: Sequence[RequestTarget], grid: Grid) -> NDArray[np.uint8]:
    ni, nj, nk = grid.shape
    labels = np.zeros((nk, nj, ni), np.uint8)
    for n, target in enumerate(targets, 1):
        if target.previous is not None:
            labels[target.previous.to_array().astype(bool).transpose(2, 1, 0)] = n
    return labels


def _write(path: Path, array: NDArray[Any]) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise write_fault(path, error) from error
