"""The definition of a challenge: ``challenge.toml`` in the challenge's folder.

``docs/organising-a-challenge.md`` describes each key.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evaluator.challenges.sign_in_definition import SignIn
from evaluator.errors import ManifestError, UnknownNameError, UserError
from evaluator.manifests.faults import invalid_manifest
from evaluator.plain_text import clean_text
from evaluator.types import MODALITIES, Modality, PromptKind

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
FILE = "challenge.toml"
#: longest name; largest number of a count and of a limit; largest file, bytes
MOST_NAME, MOST_COUNT, MOST_LIMIT, MOST_BYTES = 64, 1_000_000, 1e8, 2**20


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limits(_Table):
    """What one submission may use."""

    #: for one request, seconds; None: as the image's card asks
    request_seconds: float | None = Field(default=None, gt=0, le=MOST_LIMIT)
    #: for the whole evaluation of a submission, seconds
    submission_seconds: float = Field(default=24 * 3600.0, gt=0, le=MOST_LIMIT)
    #: size of an archive, GiB
    archive_gib: float = Field(default=40.0, gt=0, le=MOST_LIMIT)
    #: how often an evaluation is repeated after faults of the host
    host_retries: int = Field(default=3, ge=0, le=MOST_COUNT)
    #: hidden scans that are predicted again at the end, to see whether their order matters
    recheck: int = Field(default=2, ge=0, le=MOST_COUNT)


class Quota(_Table):
    """How many submissions a team may hand in for one track."""

    #: on one day, by UTC
    per_day: int = Field(default=2, ge=1, le=MOST_COUNT)
    #: in a phase; None: no limit
    per_phase: int | None = Field(default=None, ge=1, le=MOST_COUNT)


class Phase(_Table):
    """A period in which submissions are taken, and what teams see of them."""

    name: str = Field(pattern=NAME, max_length=MOST_NAME)
    #: date and time with a time zone
    start: datetime
    #: the first moment after the phase
    end: datetime
    #: name of the dataset, or path of its manifest, from the challenge's folder; teams never see it
    hidden_dataset: str = Field(min_length=1)
    #: folder that the paths of the hidden dataset are relative to; None: as its manifest says
    data_root: Path | None = None
    #: lines of the log of the hidden cases that a team sees: none, the last ones of a submission
    #: that failed, or all
    logs: Literal["none", "failures", "all"] = "none"
    #: whether a team sees its scores before the embargo ends
    scores: Literal["hidden", "visible"] = "hidden"
    #: until this moment, scores are shown to organisers only; None: no embargo
    embargo: datetime | None = None
    quota: Quota = Quota()
    #: who lets a checked submission into the queue
    approval: Literal["automatic", "organiser"] = "automatic"

    @field_validator("start", "end", "embargo")
    @classmethod
    def _has_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("should have a time zone, such as 2027-01-31T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _ends_after_start(self) -> Phase:
        if self.end <= self.start:
            raise ValueError("end should be later than start")
        return self

    def is_open(self, now: datetime) -> bool:
        """Whether submissions are taken at this time."""
        return self.start <= now < self.end

    def shows_scores(self, now: datetime) -> bool:
        """Whether a team sees its scores at this time."""
        if self.embargo is not None:
            return now >= self.embargo
        return self.scores == "visible"


class Track(_Table):
    """Submissions that are ranked together."""

    name: str = Field(pattern=NAME, max_length=MOST_NAME)
    title: str = Field(min_length=1)
    #: name of the protocol, or path of its file, from the challenge's folder
    protocol: str = Field(min_length=1)
    #: kinds of prompts that the protocol gives in this track; empty: it gives none
    prompts: tuple[PromptKind, ...] = ()
    #: modalities that count in the ranking; empty: all of the dataset
    modalities: tuple[Modality, ...] = ()
    #: container contract of images whose labels name none
    contract: str | None = None
    #: socket map of those that bring none, for the contract grand-challenge
    sockets: str | None = None

    @field_validator("modalities")
    @classmethod
    def _known(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        unknown = [name for name in value if name not in MODALITIES]
        if unknown:
            raise ValueError(f"should be of {', '.join(MODALITIES)}")
        return value


class RankedMetric(_Table):
    """A metric that counts in the ranking."""

    name: str
    weight: float = Field(default=1.0, gt=0)


class Ranking(_Table):
    """How submissions are ranked."""

    metrics: tuple[RankedMetric, ...] = Field(min_length=1)
    #: rank the means over subjects, or average the ranks of each subject
    order: Literal["aggregate-then-rank", "rank-then-aggregate"] = "rank-then-aggregate"
    #: which submission of a team is ranked: the newest that has a result, or the best of them
    counts: Literal["newest", "best"] = "newest"
    #: what a prediction without a valid mask counts as: the metric's worst value, or the score of
    #: the baseline for the same target (the worst value where the baseline has none)
    failures: Literal["worst", "baseline"] = "worst"
    #: name of a model, which the organiser runs as a submission of the team "baseline"
    baseline: str | None = None
    #: bootstrap samples of subjects
    resamples: int = Field(default=1000, ge=10, le=MOST_COUNT)
    seed: int = 20260207

    @model_validator(mode="after")
    def _baseline_is_named(self) -> Ranking:
        if self.failures == "baseline" and not self.baseline:
            raise ValueError('failures = "baseline" needs baseline = "MODEL"')
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("metrics must not be repeated")
        return self


class Challenge(_Table):
    """A challenge, as its folder defines it."""

    name: str = Field(pattern=NAME, max_length=MOST_NAME)
    title: str = Field(min_length=1)
    description: str = ""
    #: address for questions
    contact: str = ""
    #: dataset of the dry run, which teams have too
    public_dataset: str = Field(min_length=1)
    #: subjects of the public dataset in the dry run
    probe_subjects: int = Field(default=1, ge=1, le=MOST_COUNT)
    #: container engine; "local" runs models of the zoo without a container, for rehearsals only
    engine: Literal["auto", "docker", "podman", "podman-socket", "apptainer", "local"] = "auto"
    #: SQLAlchemy's URL of the database; None: SQLite, in the file challenge.db of the folder
    database: str | None = None
    #: teams that may take part; empty: every name
    teams: tuple[str, ...] = ()
    #: a provider of OpenID Connect for the portal; None: tokens only
    sign_in: SignIn | None = None
    limits: Limits = Limits()
    ranking: Ranking
    phases: tuple[Phase, ...] = Field(min_length=1)
    tracks: tuple[Track, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_name_once(self) -> Challenge:
        for kind, tables in (("phases", self.phases), ("tracks", self.tracks)):
            names = [table.name for table in tables]
            if len(set(names)) < len(names):
                raise ValueError(f"{kind} must not have the same name")
        phases = sorted(self.phases, key=lambda phase: phase.start)
        for before, after in pairwise(phases):
            if after.start < before.end:
                raise ValueError(f"phases {before.name} and {after.name} overlap")
        return self

    @model_validator(mode="after")
    def _teams_of_sign_in_take_part(self) -> Challenge:
        for name in self.sign_in.teams if self.sign_in and self.teams else ():
            if name not in self.teams:
                raise ValueError(f"team {name} of [sign_in.teams] should be in teams, too")
        return self

    def track(self, name: str) -> Track:
        """The track of this name; raises UnknownNameError."""
        for track in self.tracks:
            if track.name == name:
                return track
        raise UnknownNameError("track", name, [track.name for track in self.tracks])

    def phase(self, name: str) -> Phase:
        """The phase of this name; raises UnknownNameError."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise UnknownNameError("phase", name, [phase.name for phase in self.phases])

    def open_phase(self, now: datetime | None = None) -> Phase:
        """The phase that takes submissions.

        Args:
            now: the time; None: by this machine's clock.

        Raises:
            UserError: no phase is open; the message says when one is.
        """
        moment = now or datetime.now(UTC)
        for phase in self.phases:
            if phase.is_open(moment):
                return phase
        times = [f"{phase.name}: {phase.start} to {phase.end}" for phase in self.phases]
        raise UserError(f"no phase takes submissions now; {'; '.join(times)}")


def read_definition(folder: Path) -> Challenge:
    """Read ``challenge.toml`` of a challenge's folder.

    Paths of datasets and protocols in it are made absolute.

    Raises:
        UserError: there is no such file.
        ManifestError: it is invalid; the message names file and key.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ManifestError(f"{path}: larger than {MOST_BYTES} bytes")
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        _refuse_controls(path, content)
        challenge = Challenge.model_validate(content)
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no challenge: it has no {FILE}; make one with: "
            f"umd challenge init {folder}"
        ) from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ManifestError(f"{path}: nested too deeply") from None
    except ValidationError as error:
        raise invalid_manifest(path, error) from None
    return _absolute(challenge, folder)


def _refuse_controls(path: Path, content: object) -> None:
    """Refuse texts that change a terminal, look like another one, or end a path early (NUL)."""
    if isinstance(content, dict):
        content = [*content, *content.values()]
    if isinstance(content, list):
        for entry in content:
            _refuse_controls(path, entry)
    elif isinstance(content, str) and clean_text(content, None) != content:
        raise ManifestError(f"{path}: {content[:60]!r} has control characters; remove them")


def _absolute(challenge: Challenge, folder: Path) -> Challenge:
    def source(text: str) -> str:
        return str((folder / text).resolve()) if text.endswith(".toml") else text

    phases = [
        phase.model_copy(update={"hidden_dataset": source(phase.hidden_dataset)})
        for phase in challenge.phases
    ]
    tracks = []
    for track in challenge.tracks:
        update = {"protocol": source(track.protocol), "sockets": track.sockets}
        if track.sockets:
            update["sockets"] = source(track.sockets)
        tracks.append(track.model_copy(update=update))
    update_all = {
        "public_dataset": source(challenge.public_dataset),
        "phases": tuple(phases),
        "tracks": tuple(tracks),
    }
    return challenge.model_copy(update=update_all)
