"""The JSON files of a run folder, beside ``run.json``, as frozen types (``docs/run-format.md``).

``evaluator.runs.json_types`` converts between these types and JSON; no other module knows the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from evaluator.files import Json, fingerprint
from evaluator.prompting.stop_reason import StopReason
from evaluator.runs.json_types import FORMAT, convert
from evaluator.types import Failure, Modality, Status, TargetPrompt
from zoo_sdk.wire import Grid, Point, Reply

if TYPE_CHECKING:
    from evaluator.types import Case

SeedClicks = Mapping[int, Mapping[str, tuple[Point, ...]]]
"""Seed -> target -> the points that correction rounds added, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFile:
    """A mask that passed validation, as the evaluator wrote it."""

    #: path inside the run folder
    file: str
    sha256: str
    #: voxels in the mask
    voxels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """What became of one target in one round."""

    status: Status
    #: why there is no mask; empty for status "ok"
    detail: str = ""
    #: None unless the status is "ok"
    mask: MaskFile | None = None
    #: interactions up to this round: points of round 0, a box counts as one, and each correction
    interactions: int | None = None

    @classmethod
    def failed(cls, failure: Failure, interactions: int | None = None) -> Self:
        """The record of a target without a mask."""
        return cls(status=failure.status, detail=failure.detail, interactions=interactions)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """A failed attempt at a request that was then sent again, in a new container."""

    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One round under one seed: a request and its outcome, or a refusal without a request."""

    seed: int
    #: 0 is the first; each further one is a correction
    round: int
    targets: Mapping[str, TargetRecord]
    #: id of the request; None if the model was not run
    request: str | None = None
    #: from the request to its outcome, seconds, by the evaluator's clock
    seconds: float | None = None
    #: from the start of the container until it was ready, seconds, if this request waited for it
    load_seconds: float | None = None
    #: what the model reported; None if it reported nothing
    reply: Reply | None = None
    #: grid of the images and masks, where it is not the scan's: another image plan of the seed
    grid: Grid | None = None
    #: target -> the points that this round's correction added
    added: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    #: failed attempts before the outcome; empty: the first attempt gave it
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def is_flaky(self) -> bool:
        """True if the model failed and then answered the same request."""
        answered = any(target.status == Status.OK for target in self.targets.values())
        return bool(self.attempts) and answered


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRecord:
    """One scan of a run: ``records/<case>/<modality>.json``."""

    case: str
    subject: str
    session: str
    modality: Modality
    #: identifies what was run on which files; equal keys mean equal results; empty if not run
    key: str
    state: Literal["done", "not-run"]
    #: why the scan was not run
    reason: str = ""
    #: role of each file ("CT image", "CT reference 0") -> sha256
    files: Mapping[str, str] = field(default_factory=dict)
    #: grid of the image, the references and the masks; None if the model was not run
    grid: Grid | None = None
    #: seed -> target -> why the target got no prompt
    missing_prompts: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    rounds: tuple[RoundRecord, ...] = ()
    #: seed -> target -> why the rounds of the target ended
    stop_reasons: Mapping[int, Mapping[str, StopReason]] = field(default_factory=dict)
    #: sha256 over the points that correction rounds added
    clicks_sha256: str = ""
    #: hash of the other fields as the run wrote them; empty in older runs
    sha256: str = field(default="", compare=False)
    format: int = FORMAT

    @classmethod
    def not_run(cls, case: Case, modality: Modality, reason: str) -> Self:
        """The record of a scan whose data allow no fair prompt."""
        return cls(
            case=case.id,
            subject=case.subject,
            session=case.session,
            modality=modality,
            key="",
            state="not-run",
            reason=reason,
        )

    def clicks(self) -> SeedClicks:
        """All points that the scan's correction rounds added."""
        clicks: dict[int, dict[str, tuple[Point, ...]]] = {}
        for entry in self.rounds:
            for target, points in entry.added.items():
                targets = clicks.setdefault(entry.seed, {})
                targets[target] = targets.get(target, ()) + tuple(points)
        return clicks

    def masks(self) -> tuple[MaskFile, ...]:
        """Every mask of the scan."""
        masks: list[MaskFile] = []
        for entry in self.rounds:
            masks += [target.mask for target in entry.targets.values() if target.mask]
        return tuple(masks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One metric of one target after one round under one seed."""

    seed: int
    round: int
    target: str
    metric: str
    #: None exactly where the status is not "ok"
    value: float | None = None
    #: "ok", a ``ScoreStatus``, or the status of the failed prediction
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanScores:
    """The scores of one scan: ``scores/<case>/<modality>.json``."""

    case: str
    modality: Modality
    #: of the record that the scores were computed from
    key: str
    rows: tuple[ScoreRow, ...]
    #: version of the scorer that computed them (``SCORER_VERSION``); 0: an earlier one
    scorer: int = 0
    #: hash of the other fields as they were computed; empty in older runs
    sha256: str = field(default="", compare=False)
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPrompts:
    """The prompts of round 0 of one scan."""

    #: seed -> target -> prompt
    prompts: Mapping[int, Mapping[str, TargetPrompt]]
    #: seed -> target -> why there is none
    missing: Mapping[int, Mapping[str, str]]

    def as_json(self) -> Json:
        """Plain values, as they enter a scan's key."""
        return {
            "given": {str(seed): _plain(targets) for seed, targets in self.prompts.items()},
            "absent": {str(seed): dict(reasons) for seed, reasons in self.missing.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePrompts:
    """The prompts of round 0 of a case: ``prompts/<case>.json``."""

    case: str
    #: fingerprint of the references, the protocol and the kind of prompt
    source: str
    #: fingerprint of ``prompts`` as plain JSON values; prompts whose hash differs are refused
    sha256: str
    #: modality -> seed -> target -> prompt, or {"absent": reason}
    prompts: Mapping[Modality, Mapping[int, Mapping[str, Json]]]
    format: int = FORMAT

    @classmethod
    def of(cls, case: str, source: str, prompts: Mapping[Any, Any]) -> Self:
        """Prompts with their hash; ``prompts`` are plain JSON values with seeds as text."""
        by_seed: dict[Modality, dict[int, Mapping[str, Json]]] = {}
        for modality, seeds in prompts.items():
            by_seed[modality] = {int(seed): targets for seed, targets in seeds.items()}
        return cls(case=case, source=source, sha256=fingerprint(prompts), prompts=by_seed)

    def fingerprint(self) -> str:
        """The hash of the prompts as they are; equal to ``sha256`` unless they were changed."""
        return fingerprint({name: _with_text_seeds(seeds) for name, seeds in self.prompts.items()})

    def scan(self, modality: Modality) -> ScanPrompts:
        """The prompts of one scan; raises KeyError for a modality that the case lacks."""
        seeds = self.prompts[modality]
        prompts: dict[int, dict[str, TargetPrompt]] = {seed: {} for seed in seeds}
        missing: dict[int, dict[str, str]] = {seed: {} for seed in seeds}
        for seed, targets in seeds.items():
            for target, body in targets.items():
                if "absent" in body:
                    missing[seed][target] = body["absent"]
                else:
                    prompts[seed][target] = convert(TargetPrompt, body)
        return ScanPrompts(prompts=prompts, missing=missing)


def _with_text_seeds(seeds: Mapping[int, Mapping[str, Json]]) -> Json:
    return {str(seed): dict(targets) for seed, targets in seeds.items()}


def _plain(targets: Mapping[str, TargetPrompt]) -> Json:
    return {target: plain_prompt(prompt) for target, prompt in targets.items()}


def plain_prompt(prompt: TargetPrompt) -> Json:
    """A prompt as plain values; the box in millimetres only if there is one.

    So the hashes of prompts without it are those from before there was such a box.
    """
    body = asdict(prompt)
    if body["box_mm"] is None:
        del body["box_mm"]
    return body
