"""Examine the container engines: Docker, Podman and apptainer."""

from __future__ import annotations

import getpass
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines import open_engine
from evaluator.containers.engines.command_engine import CommandLineEngine
from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.podman_engine import PodmanDialect
from evaluator.containers.engines.probe import causes_of
from evaluator.containers.gpus import find_gpus
from evaluator.containers.workspace import workspace_of
from evaluator.doctor.findings import Finding, free_space, left_behind
from evaluator.errors import EngineUnavailableError, HostError
from evaluator.zoo.catalog import BASES
from evaluator.zoo.docker_client import BuildClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.podman import PodmanFacts
    from evaluator.doctor.findings import State

#: file systems on which podman cannot keep its images
NETWORK_FILE_SYSTEMS = ("nfs", "lustre", "gpfs", "beegfs", "cifs", "fuse.sshfs", "panfs", "ceph")


def engine_findings(*, sweep: bool) -> list[Finding]:
    """Check every engine; only one of them is needed.

    Args:
        sweep: remove containers of evaluators that were killed.
    """
    docker, others = list(_docker(sweep)), [*_podman(sweep), *_apptainer()]
    chosen = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")
    if not chosen and any(finding.state == "ok" for finding in others):
        docker = [
            replace(finding, state="note")
            if finding.what == "engine" and finding.state != "ok"
            else finding
            for finding in docker
        ]
    return [*docker, *others]


def _docker(sweep: bool) -> Iterator[Finding]:
    try:
        engine = DockerEngine.connect()
        about = engine.about()
        detail = f"{engine.name} {about['version']} (API {about['api']}) at {engine.address}"
        yield Finding(state="ok", what="engine", detail=detail)
        if not engine.sessions:
            yield Finding(
                state="note",
                what="sessions",
                detail="Podman's service does not support sessions; requests are sent in batches",
                advice="--engine podman has sessions",
            )
        for cause in causes_of(engine.client):
            yield Finding(state="note", what="engine's settings", detail=cause)
        yield from _limits("engine", engine)
        yield from _folders(engine)
        yield from _images(engine)
        yield from _image_disk(engine)
        names = engine.remove_orphans() if sweep else engine.orphans()
        yield left_behind("orphans", names, is_removed=sweep)
        if find_gpus() and "nvidia" not in engine.runtimes:
            yield Finding(
                state="note",
                what="GPU in containers",
                detail="the engine has no nvidia runtime",
                advice="install nvidia-container-toolkit, then: "
                "nvidia-ctk runtime configure --runtime=docker",
            )
    except (EngineUnavailableError, HostError) as error:
        yield _unusable("engine", error, "missing")


def _podman(sweep: bool) -> Iterator[Finding]:
    what = "engine podman"
    try:
        engine = open_engine("podman")
        assert isinstance(engine, CommandLineEngine)
        dialect = engine.dialect
        assert isinstance(dialect, PodmanDialect)
        facts = dialect.facts
        kind = "rootless" if facts.rootless else "as root"
        yield Finding(
            state="ok",
            what=what,
            detail=f"podman {facts.version}, {kind}, runtime {dialect.runtime}, control groups "
            f"{facts.cgroups}, images by {facts.storage_driver} in {facts.storage}",
        )
        yield from _podman_storage(facts)
        yield from _podman_user(facts, dialect)
        yield from _limits(what, engine)
        if facts.selinux:
            detail = "SELinux is on: folders of containers are labelled for them (as by :z)"
            yield Finding(state="ok", what=what, detail=detail)
        if names := engine.remove_orphans() if sweep else engine.orphans():
            yield left_behind("orphans of podman", names, is_removed=sweep)
        for gpu in find_gpus():
            yield _podman_gpu(dialect, gpu.uuid, gpu.label)
    except (EngineUnavailableError, HostError) as error:
        yield _unusable(what, error)


def _podman_storage(facts: PodmanFacts) -> Iterator[Finding]:
    if facts.storage_driver == "vfs":
        yield Finding(
            state="note",
            what="engine podman",
            detail="storage driver vfs copies every layer: images take much time and space",
            advice='install fuse-overlayfs, and set driver = "overlay" in '
            "~/.config/containers/storage.conf",
        )
    if facts.storage_filesystem.startswith(NETWORK_FILE_SYSTEMS):
        yield Finding(
            state="note",
            what="engine podman",
            detail=f"its images lie on {facts.storage_filesystem}, where podman often fails",
            advice="set graphroot to a folder of a local disk in ~/.config/containers/storage.conf",
        )


def _podman_user(facts: PodmanFacts, dialect: PodmanDialect) -> Iterator[Finding]:
    if not facts.rootless:
        return
    folder = dialect.program.environment.get("XDG_RUNTIME_DIR", "")
    if folder != os.environ.get("XDG_RUNTIME_DIR", ""):
        yield Finding(
            state="note",
            what="engine podman",
            detail=f"XDG_RUNTIME_DIR is not usable, as in jobs without a session; {folder} is used",
        )
    try:
        ranges = Path("/etc/subuid").read_text(encoding="utf-8")
    except OSError:
        ranges = ""
    owners = (getpass.getuser(), str(os.getuid()))
    if not any(line.split(":")[0] in owners for line in ranges.splitlines()):
        yield Finding(
            state="note",
            what="engine podman",
            detail="this user has no range in /etc/subuid: images with files of several users fail",
            advice=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
            f"{owners[0]}",
        )


def _podman_gpu(dialect: PodmanDialect, uuid: str, label: str) -> Finding:
    what = f"GPU {label} in podman"
    try:
        return Finding(state="ok", what=what, detail=dialect.gpu(uuid))
    except HostError as error:
        return _unusable(what, error)


def _apptainer() -> Iterator[Finding]:
    what = "engine apptainer"
    try:
        engine = open_engine("apptainer")
        about = engine.about()
        detail = f"{about['program']} {about['version']}"
        yield Finding(state="ok", what=what, detail=detail)
        yield from _limits(what, engine)
    except (EngineUnavailableError, HostError) as error:
        yield _unusable(what, error)


def _limits(what: str, engine: Engine) -> Iterator[Finding]:
    for sentence in engine.unlimited():
        yield Finding(state="note", what=f"limits of {what}", detail=sentence)


def _folders(engine: Any) -> Iterator[Finding]:
    """Whether containers can use the evaluator's folders, as before each run."""
    images = engine.images()
    if not images:
        yield Finding(
            state="note",
            what="folders in containers",
            detail="not checked: no image is built yet; each run checks them",
        )
        return
    try:
        with workspace_of(f"doctor {os.getpid()}") as workspace:
            checked = engine.check_folders(images[0], workspace, run_id="doctor", gpu=None)
    except HostError as error:
        yield Finding(state="missing", what="folders in containers", detail=str(error))
        return
    yield Finding(
        state="ok" if checked else "note",
        what="folders in containers",
        detail="a container reads and writes the evaluator's files"
        if checked
        else "not checked: no image here has a shell or Python",
    )


def _images(engine: Any) -> Iterator[Finding]:
    client = BuildClient(engine.client)
    for name in BASES:
        digest = client.find(f"umd/{name}:latest")
        detail = digest[:19] if digest else "not built yet; built when a model needs it"
        yield Finding(
            state="ok" if digest else "note", what=f"base image umd/{name}", detail=detail
        )


def _image_disk(engine: Any) -> Iterator[Finding]:
    """Free space for the engine's images, if they are in a folder of this machine."""
    folder = engine.image_folder()
    if folder and folder.is_dir():
        yield free_space("disk of the images", folder)


def _unusable(what: str, error: Exception, state: State = "note") -> Finding:
    """An engine or GPU that cannot be used: the error's first line, and its others as advice."""
    first, _, advice = str(error).partition("\n")
    return Finding(state=state, what=what, detail=first, advice=advice.strip())
