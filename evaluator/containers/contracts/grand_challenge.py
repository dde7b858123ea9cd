"""Grand Challenge algorithms: a server ("invoke"), or executed once for each request ("exec").

A container reads ``/input/inputs.json``, images ``/input/images/SLUG/UUID.mha`` and JSON values,
and writes one image for each output into ``/output/images/SLUG/``. Sources: DIAGNijmegen/
rse-grand-challenge 4e38c78, rse-sagemaker-shim b20f0a7 and rse-grand-challenge-forge 306db6e.
Items of ``inputs.json`` have the key ``socket`` of new templates and ``interface`` of old ones.
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.containers.contracts.sockets import OutputSocket
from evaluator.containers.contracts.without_reports import WithoutReports
from evaluator.containers.engines.spec import ContainerLayout
from evaluator.containers.requests import StagedRequest, StagedScan
from evaluator.containers.safe_removal import discard, keep_removable
from evaluator.errors import VolumeError
from evaluator.files import write_bytes
from evaluator.imaging.image_resampling import resample_image
from evaluator.types import Failure, Status
from evaluator.volumes import read_image
from evaluator.volumes.mask_validation import MapLabel
from evaluator.volumes.mha import write_mha

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evaluator.containers.contracts.sockets import InputSocket, SocketMap
    from evaluator.containers.engines.spec import Mode, Workspace
    from evaluator.containers.requests import ModelRequest, ScanInput
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.volumes import MaskValidator

#: the random names of a challenge's images do not depend on the run, so neither does the answer
NAMESPACE = uuid.UUID("7c0d1f3e-5b0b-4b0e-9a53-0d9a3f1c6a10")


class GrandChallengeContract(WithoutReports):
    """See ``evaluator.containers.contracts.Contract``."""

    name = "grand-challenge"
    batch_size: int | None = 1

    def __init__(self, sockets: SocketMap | None = None, *, invoke: bool = False) -> None:
        """The contract of one algorithm; without ``sockets``, only its constants are of use.

        Args:
            sockets: the algorithm's inputs and outputs.
            invoke: the algorithm is a server.
        """
        self._map = sockets
        self.modes: tuple[Mode, ...] = ("invoke",) if invoke else ("batch",)
        # points name no target, and "*" is any one
        self.single_target = sockets is not None and sockets.single_target
        self.layout = ContainerLayout(
            root_writable=True,
            image_user=True,
            working_dir=None,
            # a server keeps its state itself
            cache=sockets.cache if sockets and not invoke else None,
        )

    @property
    def _sockets(self) -> SocketMap:
        assert self._map is not None
        return self._map

    def command(self, mode: Mode) -> list[str]:  # noqa: ARG002 - there is one mode
        """Nothing: entrypoint and command are the image's own."""
        return []

    def stage_scan(self, scan: ScanInput, workspace: Workspace) -> StagedScan:
        """Images as compressed MHA, resampled where the socket map says so."""
        folder = workspace.input / "scans" / scan.pseudonym
        volumes = {name: read_image(image.source) for name, image in scan.images.items()}
        files: list[Path] = []
        for socket in self._images(scan):
            assert socket.modality is not None
            voxels, grid = volumes[socket.modality]
            if socket.like is not None:
                like = self._sockets.inputs[socket.like].modality
                assert like is not None
                voxels = resample_image(voxels, grid, volumes[like][1])
                grid = volumes[like][1]
            name = uuid.uuid5(NAMESPACE, f"{scan.pseudonym}/{socket.path}")
            path = folder / socket.path / f"{name}.mha"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mha(path, voxels, grid)
            files.append(path)
        first = self._sockets.modalities[0]
        cache = workspace.input.parent / "cache" / scan.pseudonym if self.layout.cache else None
        return StagedScan(scan=scan, grid=volumes[first][1], files=tuple(files), cache=cache)

    def _images(self, scan: ScanInput) -> Iterator[InputSocket]:
        for slug, socket in self._sockets.inputs.items():
            if socket.modality is None:
                continue
            if socket.modality not in scan.images:
                raise VolumeError(f"input {slug} needs {socket.modality}, which the scan lacks")
            yield socket

    def stage_request(
        self, request: ModelRequest, scan: StagedScan, workspace: Workspace
    ) -> StagedRequest:
        """A folder with links to the images, the JSON values, and ``inputs.json``."""
        root = workspace.input / "requests" / request.id
        images = workspace.input / "scans" / scan.scan.pseudonym
        files: list[Path] = []
        for file in scan.files:
            link = root / file.relative_to(images)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)
            files.append(link)
        items = []
        for number, (slug, socket) in enumerate(self._sockets.inputs.items(), 1):
            value: dict[str, Any] | None = None
            file_name = None
            if socket.modality is None:
                value = _points(socket, request)
                path = root / socket.path
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, json.dumps(value).encode())
                files.append(path)
            else:
                (file_name,) = (p.name for p in (root / socket.path).iterdir())
            items.append(socket_item(slug, socket, number, value, file_name))
        write_bytes(root / "inputs.json", json.dumps(items).encode())
        files.append(root / "inputs.json")
        for file in files:
            file.chmod(0o644)
        return StagedRequest(
            id=request.id,
            targets=tuple(target.name for target in request.targets),
            grid=scan.grid,
            files=tuple(files),
            images=(),
            root=root,
            cache=_cache_of(request, scan),
        )

    def answer_path(self, request: StagedRequest, output: Path) -> Path:  # noqa: ARG002
        """The folder of all output images."""
        return output / "images"

    def is_answered(
        self,
        request: StagedRequest,  # noqa: ARG002 - a container has one request
        output: Path,  # noqa: ARG002
        *,
        following: StagedRequest | None,  # noqa: ARG002
        running: bool,  # noqa: ARG002
    ) -> bool:
        """Never before the end: outputs are collected if the container ended with exit code 0."""
        return False

    def read_mask(
        self, request: StagedRequest, target: str, output: Path, validator: MaskValidator
    ) -> GridMask | Failure:
        """The voxels of the output image that have the target's value."""
        found = self._sockets.output_of(target)
        if found is None:
            detail = f"the socket map has no output for {target}"
            return Failure(status=Status.UNSUPPORTED, detail=detail)
        socket, value = found
        path = _only_file(output, socket.path)
        if isinstance(path, Failure):
            return path
        ni, nj, nk = request.grid.shape
        label = MapLabel(format="mha", label=value)
        return validator.check(path, request.grid, 2**20 + 9 * ni * nj * nk, map_label=label)


def _cache_of(request: ModelRequest, scan: StagedScan) -> Path | None:
    """The folder that is kept over the rounds of a scan under one seed; empty in round 0."""
    if scan.cache is None:
        return None
    # the id of a request ends with its round
    folder = scan.cache / request.id.rpartition("k")[0]
    if request.round == 0:
        discard(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keep_removable(folder)
    return folder


def _only_file(output: Path, relative: str) -> Path | Failure:
    """The one file of an output's folder; no part of its path may be a link."""
    folder = output
    for part in relative.split("/"):
        folder /= part
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            return Failure(status=Status.MISSING, detail=f"the model wrote no {relative}")
        except OSError as error:
            return _unreadable(relative, error)
        if not stat.S_ISDIR(mode):
            return Failure(status=Status.UNSAFE_FILE, detail=f"{relative} is not a folder")
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(3), strict=False)]
    except OSError as error:
        return _unreadable(relative, error)
    if len(names) != 1:
        count = len(names) if len(names) < 3 else "several"
        detail = f"{relative} holds {count} files; an output image is one file"
        return Failure(status=Status.MISSING if not names else Status.ERROR, detail=detail)
    return folder / names[0]


def _unreadable(relative: str, error: OSError) -> Failure:
    """The failure of a model that locked its output folder."""
    detail = f"{relative} cannot be read: {error.strerror}"
    return Failure(status=Status.UNSAFE_FILE, detail=detail)


def _points(socket: InputSocket, request: ModelRequest) -> dict[str, Any]:
    """All clicks of the request as Grand Challenge's "Multiple points", in voxels (i, j, k).

    A scribble is as many points as it has voxels, as autoPET V writes it.
    """
    points: list[dict[str, Any]] = []
    for target in request.targets:
        for point in target.points:
            name = socket.foreground if point.foreground else socket.background
            points.append({"name": name, "point": list(point.index)})
        if target.scribble is not None:
            inside = np.argwhere(target.scribble.array) + target.scribble.offset
            points += [{"name": socket.foreground, "point": voxel} for voxel in inside.tolist()]
    version = {"major": 1, "minor": 0}
    return {"version": version, "type": "Multiple points", "points": points}


def socket_item(
    slug: str,
    socket: InputSocket | OutputSocket,
    number: int,
    value: Mapping[str, Any] | None,
    file_name: str | None,
) -> dict[str, Any]:
    """One item of ``inputs.json``, or of the inputs and outputs of ``predictions.json``.

    Args:
        slug: of the socket.
        socket: an input, or an output image.
        number: primary key.
        value: the value of a JSON socket.
        file_name: name of an image's file.
    """
    is_image = isinstance(socket, OutputSocket) or socket.modality is not None
    described: dict[str, Any] = {
        "title": slug,
        "description": "",
        "slug": slug,
        "kind": "Image" if is_image else "Multiple points",
        "pk": number,
        "default_value": None,
        "super_kind": "Image" if is_image else "Value",
        "relative_path": socket.path,
        "overlay_segments": [],
        "look_up_table": None,
        "is_image_kind": is_image,
        "is_panimg_kind": is_image,
        "is_dicom_image_kind": False,
        "is_json_kind": not is_image,
        "is_file_kind": False,
    }
    image = {"pk": file_name.removesuffix(".mha"), "name": file_name} if file_name else None
    return {
        "socket": described,
        "interface": described,
        "value": value,
        "file": None,
        "image": image,
        "pk": number,
    }
