"""The sockets of a Grand Challenge algorithm: which file is which image, prompt or answer.

A socket map is a TOML file; ``manifests/sockets`` has those of public challenges::

    [inputs.ct]
    path = "images/ct"
    modality = "CT"
    like = "pet"                 # resampled on the grid of that input

    [inputs.lesion-clicks]
    path = "lesion-clicks.json"
    foreground = "tumor"         # names of the points
    background = "background"

    [outputs.segmentation]
    path = "images/segmentation"
    targets = { lesion = 1 }     # values of the label map; "*" stands for any single target

Before the tables, ``cache = "/cache"`` names a folder that is kept over the rounds of a case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator.errors import ManifestError
from evaluator.types import Modality

#: folders of a container that are no cache
TAKEN = (
    *("/input", "/output", "/tmp", "/opt/ml/model"),  # noqa: S108
    *("/dev", "/etc", "/proc", "/sys", "/usr"),
)


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a path inside the folder, without ..")
    return str(path)


def _cache_folder(text: str) -> str:
    path = PurePosixPath(text)
    is_taken = any(
        path.is_relative_to(folder) or PurePosixPath(folder).is_relative_to(path)
        for folder in TAKEN
    )
    if not path.is_absolute() or ".." in path.parts or is_taken:
        raise ValueError("must be an absolute path of a folder of its own, such as /cache")
    return str(path)


SocketPath = Annotated[str, AfterValidator(_inside)]
CacheFolder = Annotated[str, AfterValidator(_cache_folder)]


class InputSocket(BaseModel):
    """One input: an image of a modality, or the clicks as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: SocketPath
    #: None: the socket holds clicks
    modality: Modality | None = None
    #: slug of the input on whose grid the image is resampled
    like: str | None = None
    #: names of foreground and background points
    foreground: str = "foreground"
    background: str = "background"
    #: whether the algorithm takes scribbles, each voxel of one as a point
    scribbles: bool = False

    @model_validator(mode="after")
    def _is_image_or_json(self) -> InputSocket:
        if self.modality is None and not self.path.endswith(".json"):
            raise ValueError("needs a modality, or a path that ends in .json for clicks")
        if self.modality is not None and self.scribbles:
            raise ValueError("an image has no scribbles; they belong to the socket of the clicks")
        return self


class OutputSocket(BaseModel):
    """One output image: a label map."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: SocketPath
    #: target -> value in the label map; "*" is any target that stands alone
    targets: Mapping[str, int] = Field(min_length=1)


class SocketMap(BaseModel):
    """All sockets of an algorithm, by slug."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Mapping[str, InputSocket] = Field(min_length=1)
    outputs: Mapping[str, OutputSocket] = Field(min_length=1)
    #: a folder of the container that is kept over the rounds of a case; None: none
    cache: CacheFolder | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> SocketMap:
        images = {slug for slug, socket in self.inputs.items() if socket.modality}
        if not images:
            raise ValueError("no input is an image")
        for slug, socket in self.inputs.items():
            if socket.like is not None and socket.like not in images - {slug}:
                raise ValueError(f"inputs.{slug}: like = {socket.like!r} names no other image")
        return self

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Of the images, that whose grid the answer has first."""
        images = [socket for socket in self.inputs.values() if socket.modality]
        ordered = sorted(images, key=lambda socket: socket.like is not None)
        return tuple(socket.modality for socket in ordered if socket.modality)

    @property
    def single_target(self) -> bool:
        """Whether it can be asked for one target only: it has points, or a target "*"."""
        has_points = any(socket.modality is None for socket in self.inputs.values())
        return has_points or any("*" in socket.targets for socket in self.outputs.values())

    def output_of(self, target: str) -> tuple[OutputSocket, int] | None:
        """The output with the label of a target, and its value; None if there is none."""
        for name in (target, "*"):
            for socket in self.outputs.values():
                if name in socket.targets:
                    return socket, socket.targets[name]
        return None


def parse_sockets(body: Mapping[str, Any] | str, where: str) -> SocketMap:
    """Read a socket map, from TOML's values or from JSON text.

    Raises:
        ManifestError: it is not a socket map; the message names the field.
    """
    try:
        content = json.loads(body) if isinstance(body, str) else body
        return SocketMap.model_validate(content)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ManifestError(f"{where}: {place or 'the socket map'}: {message}") from None
