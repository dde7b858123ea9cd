"""The evaluator's words: what a case, a protocol, a model card, a prediction and a score are.

Standard library only. Everything is frozen; collections are tuples or read-only mappings. The wire's words (request,
point, box, grid) are the contract's and come from ``zoo_sdk.wire``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from zoo_sdk.wire import Box, Point

Modality = Literal["CT", "MR", "PT"]
"""DICOM's codes. PT is PET."""

MODALITIES: tuple[Modality, ...] = ("CT", "MR", "PT")
STRUCTURAL: tuple[Modality, ...] = ("CT", "MR")

Unit = Literal["HU", "SUVbw", "a.u."]

PromptKind = Literal["point", "box", "scribble", "mask", "text", "class"]
"""What a protocol may give. "class" is the target's name alone, all that an automatic model needs."""


class Status(StrEnum):
    """How a prediction ended: exactly one for each model x case x modality x round x target."""

    OK = "ok"
    MISSING = "missing"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"
    WRONG_SHAPE = "wrong-shape"
    WRONG_AFFINE = "wrong-affine"
    WRONG_VALUES = "wrong-values"
    UNSAFE_FILE = "unsafe-file"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


class ScoreStatus(StrEnum):
    """How a score ended, beside the statuses a prediction can have."""

    OK = "ok"
    #: reference empty (and the prediction too): the metric has no meaning; excluded and counted
    UNDEFINED = "undefined"
    #: one of the two masks is empty: overlaps are 0, distances have no number (worst; a declared cap in means)
    ONE_EMPTY = "one-empty"
    #: the metric has no meaning for this target or image (uptake outside PET, the centre line of a liver); excluded
    NOT_APPLICABLE = "not-applicable"
    #: nothing was asked, because the data allow no fair question (image and reference do not match, no prompt fits)
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference file and the targets in it. Overlapping targets lie in several references of one scan."""

    path: Path
    #: target name -> the label values that make it up (a mask is {"lesion": (1,)}; a lung may be five lobes)
    labels: Mapping[str, tuple[int, ...]]
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One image of a case, on its own grid, with its references on the same grid."""

    modality: Modality
    image: Path
    unit: Unit
    references: tuple[Reference, ...]
    sha256: str | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all targets that the references declare, in file order, without repeats."""
        return tuple(
            dict.fromkeys(name for reference in self.references for name in reference.labels)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One imaging session of a subject: images in one world frame, compared with each other."""

    subject: str
    #: images of one subject and session share a world frame and are compared
    session: str
    split: str
    scans: Mapping[Modality, Scan]

    @property
    def id(self) -> str:
        """Name of the case in run folders and tables, unique within a dataset."""
        return f"{self.subject}.{self.session}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset read from its manifest: facts, and where each file lies on this machine."""

    name: str
    title: str
    license: str
    citation: str
    #: true where the images or the references are made by a program; said wherever the dataset is shown
    synthetic: bool
    #: how the references came about, shown beside every score ("expert", "model output of ...", "generated")
    reference_origin: str
    cases: tuple[Case, ...]
    #: sha256 over the manifest and the case list: the dataset's version
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What an image says of itself by its labels (``docs/contract.md``); sizes in bytes, times in seconds."""

    name: str
    title: str
    contract: str
    #: alternatives; each names the modalities of one request, the first of which gives the answer's grid
    inputs: tuple[tuple[Modality, ...], ...]
    units: Mapping[str, str]
    #: empty: an automatic model
    prompts: tuple[PromptKind, ...]
    #: None: anything that is prompted
    targets: tuple[str, ...] | None
    many_rounds: bool = False
    session: bool = False
    gpu: Literal["required", "optional", "none"] = "none"
    gpu_memory: int | None = None
    memory: int | None = None
    shm: int | None = None
    timeout: float = 300.0
    citation: str = ""
    weights_sha256: str = ""
    weights_license: str = ""
    trained_on: str = ""
    #: which are in the image: "published", "random:small", "random:full", "mounted" (none); empty where it has none
    weights: str = ""
    #: choices that decide the score: name -> the values it can have, the default first
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: every label as written, the source of all of the above
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPlan:
    """Which prompts round 0 gives. One draw per subject and target, in world millimetres, serves every modality."""

    #: alternatives: the model gets the first kind that it understands
    kinds: tuple[PromptKind, ...]
    points: int = 1
    #: deepest: farthest from the outside, further ones also far from those before; random: uniform over the interior
    point_rule: Literal["deepest", "random"] = "deepest"
    #: each point is moved this far in a random direction, millimetres, before it is put on a grid (robustness)
    point_offset_mm: float = 0.0
    #: not 0: the point lies outside the organ, this far behind where a random ray from its middle leaves it (robustness)
    point_outside_mm: float = 0.0
    #: tight: about the whole reference; cvpr25: as that challenge makes it (``evaluator.prompting.boxes``)
    box_rule: Literal["tight", "cvpr25"] = "tight"
    #: each face of the box moves by up to this many millimetres
    box_jitter_mm: float = 0.0
    #: box edges are scaled by 1 + this about the box's centre (negative shrinks)
    box_growth: float = 0.0
    #: other: the text names another organ of the case than the one that is asked for (robustness)
    text_of: Literal["own", "other"] = "own"
    #: the first of these modalities with a non-empty reference is where the draw is made
    anchor: tuple[Modality, ...] = ("CT", "MR", "PT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """How corrections go on after round 0."""

    #: rounds in all, round 0 included
    count: int = 1
    #: what each correction round adds for every target
    correction: Literal[
        "none", "largest-error-click", "random-error-click", "boundary-click", "scribble"
    ] = "none"
    #: own: each modality corrects its own errors; shared: clicks are replayed from one recorded sequence
    clicks: Literal["own", "shared"] = "own"
    #: is the mask of the round before handed back
    previous_mask: bool = False
    #: a target that reaches this Dice gets no more corrections
    stop_at_dice: float | None = None
    #: a target gets at most so many clicks, round 0's points included; None: as many as there are rounds
    max_clicks: int | None = None
    #: umd: the project's own rule; cvpr25: the CVPR 2025 challenge's, tie-break included (``evaluator.prompting.simulated_user``)
    click_rule: Literal["umd", "cvpr25"] = "umd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is asked and how it is scored. Its id is immutable: a changed protocol is a new protocol."""

    id: str
    title: str
    description: str
    prompts: PromptPlan
    rounds: RoundPlan
    seeds: tuple[int, ...]
    #: names of rows of ``evaluator.metrics.METRICS``
    metrics: tuple[str, ...]
    #: what a failed prediction counts as in the figures "with failures": the metric's worst value, or left out
    failures_count_as: Literal["worst", "excluded"]
    #: stands for an infinite distance in means "with failures", millimetres
    distance_cap_mm: float
    #: of the protocol's content; what ``manifests/protocols.lock`` holds
    sha256: str
    #: one tolerance for every target, millimetres; None: each organ's own from ``manifests/organs.toml``
    nsd_tolerance_mm: float | None = None
    #: one for each seed, in the order of ``seeds``, where the seeds differ in what they ask (robustness); else empty
    variants: tuple[PromptPlan, ...] = ()

    def prompts_of(self, seed: int) -> PromptPlan:
        """The prompts that this one of ``seeds`` gives: its variant, or the one plan that all seeds share."""
        return self.variants[self.seeds.index(seed)] if self.variants else self.prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPrompt:
    """The prompts of one target on one grid, and how they came about."""

    target: str
    points: tuple[Point, ...] = ()
    box: Box | None = None
    text: str | None = None
    #: the organ that the text names, where it is not the target
    text_of: str | None = None
    #: how far the drawn place (world mm) lies from the voxel used, because that voxel is in no reference there
    displacement_mm: float = 0.0
    #: which modality's reference the draw was made on
    anchor: Modality | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no mask to believe. A model's failure is data."""

    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A prediction that passed the gate, rewritten by the evaluator: uint8, 0 and 1, on the request's grid."""

    path: Path
    sha256: str
    voxels: int


Prediction = Mask | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one prediction: a value, or a status that says why there is none. Never NaN."""

    metric: str
    value: float | None
    #: "ok", a ScoreStatus, or the failed prediction's Status
    status: str
