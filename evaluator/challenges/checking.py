"""Check a challenge before teams take part: what ``umd challenge check`` says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from evaluator.challenges.database import Database
from evaluator.challenges.definition import FILE, Challenge, Phase, Track, read_definition
from evaluator.challenges.folder import ChallengeFolder
from evaluator.containers.contracts import CONTRACTS
from evaluator.containers.engines import open_engine
from evaluator.datasets import load_dataset
from evaluator.errors import UserError
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import failure_value
from evaluator.scoring.applicability import check_metrics
from evaluator.zoo import find_model
from evaluator.zoo.foreign_cards import load_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.types import Dataset

#: from this version on, Docker's filter of system calls refuses AF_VSOCK and io_uring
FILTERING_DOCKER = 25

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a challenge. An error keeps it from running."""

    severity: Severity
    #: key of challenge.toml, or a file
    place: str
    message: str


def check_challenge(path: Path) -> list[Problem]:
    """Check a challenge's definition, its data, engine, database and secrets.

    Raises:
        UserError: the folder is no challenge.
        ManifestError: the definition cannot be read; the message names file and key.
    """
    folder = ChallengeFolder(path.resolve())
    definition = read_definition(folder.path)
    problems = [
        *_check_data(definition),
        *_check_tracks(definition),
        *_check_ranking(definition),
        *_check_times(definition),
        *_check_engine(definition),
        *_check_folder(folder, definition),
    ]
    return sorted(problems, key=lambda problem: (problem.severity, problem.place))


def _error(place: str, error: Exception) -> Problem:
    return Problem(severity="error", place=f"{FILE}: {place}", message=str(error))


def _warning(place: str, message: str) -> Problem:
    return Problem(severity="warning", place=f"{FILE}: {place}", message=message)


def _check_data(definition: Challenge) -> Iterator[Problem]:
    try:
        public: Dataset | None = load_dataset(definition.public_dataset)
    except UserError as error:
        public = None
        yield _error("public_dataset", error)
    for phase in definition.phases:
        place = f"phases.{phase.name}.hidden_dataset"
        try:
            hidden = load_dataset(phase.hidden_dataset, phase.data_root)
        except UserError as error:
            yield _error(place, error)
            continue
        if public is not None and public.sha256 == hidden.sha256:
            yield _warning(place, "teams have these data: the public dataset is the same")
        if hidden.root is not None and public is not None and hidden.root == public.root:
            yield _warning(place, "it lies in the same folder as the public dataset")
        yield from _check_modalities(definition, phase, hidden)


def _check_modalities(definition: Challenge, phase: Phase, hidden: Dataset) -> Iterator[Problem]:
    present = {modality for case in hidden.cases for modality in case.scans}
    for track in definition.tracks:
        missing = sorted(set(track.modalities) - present)
        if missing:
            names = ", ".join(missing)
            yield Problem(
                severity="error",
                place=f"{FILE}: tracks.{track.name}.modalities",
                message=f"the hidden dataset of phase {phase.name} has no {names}",
            )


def _check_tracks(definition: Challenge) -> Iterator[Problem]:
    for track in definition.tracks:
        place = f"tracks.{track.name}"
        try:
            protocol = load_protocol(track.protocol)
            check_metrics(protocol.metrics)
        except UserError as error:
            yield _error(f"{place}.protocol", error)
            continue
        unknown = sorted(set(track.prompts) - set(protocol.prompts.kinds))
        if unknown:
            yield Problem(
                severity="error",
                place=f"{FILE}: {place}.prompts",
                message=f"protocol {protocol.id} gives no {', '.join(unknown)}",
            )
        for metric in definition.ranking.metrics:
            if metric.name not in protocol.metrics:
                yield Problem(
                    severity="error",
                    place=f"{FILE}: ranking.metrics",
                    message=f"protocol {protocol.id} has no metric {metric.name}; it has "
                    f"{', '.join(protocol.metrics)}",
                )
            elif METRICS[metric.name].signed or failure_value(metric.name, protocol) is None:
                yield Problem(
                    severity="error",
                    place=f"{FILE}: ranking.metrics",
                    message=f"{metric.name} has no worst value that a failure could count as",
                )
        yield from _check_contract(track, place)


def _check_contract(track: Track, place: str) -> Iterator[Problem]:
    if track.contract is not None and track.contract not in CONTRACTS:
        names = ", ".join(CONTRACTS)
        yield Problem(
            severity="error",
            place=f"{FILE}: {place}.contract",
            message=f"there is no contract {track.contract}; known: {names}",
        )
    if track.sockets is not None:
        try:
            load_sockets(track.sockets)
        except UserError as error:
            yield _error(f"{place}.sockets", error)


def _check_ranking(definition: Challenge) -> Iterator[Problem]:
    if definition.ranking.baseline:
        try:
            find_model(definition.ranking.baseline)
        except UserError as error:
            yield _error("ranking.baseline", error)


def _check_times(definition: Challenge) -> Iterator[Problem]:
    now = datetime.now(UTC)
    if all(phase.end <= now for phase in definition.phases):
        yield _warning("phases", "all phases are over: no submission is taken")
    for phase in definition.phases:
        if phase.embargo is not None and phase.embargo < phase.start:
            yield _warning(f"phases.{phase.name}.embargo", "it ends before the phase begins")


def _check_engine(definition: Challenge) -> Iterator[Problem]:
    if definition.engine == "local":
        yield _warning(
            "engine",
            "local isolates nothing: a model runs with your permissions and can read the "
            "references. Use it for rehearsals with models of the zoo only",
        )
    try:
        engine = open_engine(definition.engine)
    except UserError as error:
        yield _error("engine", error)
        return
    if definition.engine != "local":
        for sentence in engine.unlimited():
            yield _warning("engine", sentence)
        yield from _check_version(engine.name, engine.about().get("version", ""))


def _check_version(name: str, version: str) -> Iterator[Problem]:
    """Old versions of Docker let system calls through that reach the host; docs/security.md."""
    major = version.partition(".")[0]
    if name == "docker" and major.isdigit() and int(major) < FILTERING_DOCKER:
        yield _warning(
            "engine",
            f"Docker {version} lets images use AF_VSOCK (before 23) and io_uring (before 25): see "
            "docs/security.md",
        )


def _check_folder(folder: ChallengeFolder, definition: Challenge) -> Iterator[Problem]:
    for path in (folder.salt, folder.signing_key):
        if not path.is_file():
            yield Problem(
                severity="error",
                place=str(path),
                message="is missing: restore it from a copy, or make a new challenge with: umd "
                "challenge init",
            )
        elif path.stat().st_mode & 0o077:
            yield Problem(
                severity="error",
                place=str(path),
                message=f"other users can read it: chmod 600 {path}",
            )
    try:
        database = Database(definition.database or f"sqlite:///{folder.database_path}")
        database.upgrade()
        database.close()
    except UserError as error:
        yield _error("database", error)
