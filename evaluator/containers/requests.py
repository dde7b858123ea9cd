"""What a model is asked, before and after a contract has written it as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Modality, Unit
    from zoo_sdk.wire import Box, BoxMm, Grid, Point


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image of a scan."""

    #: the dataset's file
    source: Path
    unit: Unit
    #: meaningless stem for the file that a container sees
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanInput:
    """The images of one scan; the first one's grid is that of the masks."""

    #: meaningless name of the case
    pseudonym: str
    images: Mapping[Modality, InputImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedScan:
    """A scan whose images lie in the workspace."""

    scan: ScanInput
    grid: Grid
    #: files of the input folder, removed when the scan is finished
    files: tuple[Path, ...]
    #: folder with what containers keep over the rounds of the scan, removed then too; None: none
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTarget:
    """One target with every prompt given so far."""

    name: str
    text: str | None = None
    #: of all rounds, oldest first
    points: tuple[Point, ...] = ()
    box: Box | None = None
    box_mm: BoxMm | None = None
    scribble: GridMask | None = None
    #: the mask of the round before
    previous: GridMask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One round of one scan."""

    #: requests of a batch are answered in the order of their ids
    id: str
    round: int
    targets: tuple[RequestTarget, ...]
    #: the model's options: name -> value
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRequest:
    """A request whose files lie in the workspace."""

    id: str
    #: names of the targets
    targets: tuple[str, ...]
    grid: Grid
    #: files of the input folder, removed when the request is answered
    files: tuple[Path, ...]
    #: further files of the input folder that the request needs: the scan's images
    images: tuple[Path, ...]
    #: the folder that a batch's container sees as its input; None: the workspace's
    root: Path | None = None
    #: the folder that the container may keep files in; None: none
    cache: Path | None = None
