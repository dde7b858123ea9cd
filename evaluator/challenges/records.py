"""The JSON files of a challenge's folder (``docs/challenge-format.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: of the files of this module
FORMAT = 2

FaultOf = Literal["team", "host", "organiser"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRecord:
    """``submission.json``: what was handed in."""

    id: str
    team: str
    track: str
    phase: str
    #: ISO 8601, UTC
    received: str
    #: the reference of an image, or the name of the archive's file
    source: str
    #: sha256 of the archive; empty: a reference was handed in
    archive_sha256: str = ""
    archive_bytes: int = 0
    #: the organiser's baseline, which has no quota
    baseline: bool = False
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """``check.json``: what the inspection of a submission found."""

    accepted: bool
    #: reasons to refuse it, in sentences
    problems: tuple[str, ...] = ()
    #: what organisers and team should know, in sentences
    notes: tuple[str, ...] = ()
    #: id of the image, "sha256:..."; empty: known when the image is loaded
    image: str = ""
    #: labels of the image
    labels: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """``attempts/<n>.json``: how an attempt ended, by the process that made it."""

    ended: Literal["done", "failed"]
    #: the step in which it ended: "image", "dry run", "first case" or "all cases"
    step: str
    #: whose fault a failure is
    fault: FaultOf | Literal[""] = ""
    detail: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``outcome.json``: how an evaluation ended. It is written once."""

    state: Literal["scored", "failed"]
    #: the attempt that ended it
    attempt: int
    worker: str
    #: ISO 8601, UTC
    time: str
    fault: FaultOf | Literal[""] = ""
    detail: str = ""
    #: the step in which it failed
    step: str = ""
    #: number of the result; 0: there is none
    result: int = 0
    #: seconds of this attempt
    seconds: float = 0.0
    format: int = FORMAT
