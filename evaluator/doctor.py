"""Examine this machine: engine, GPUs, disk, base images, data, orphaned containers."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from evaluator import paths
from evaluator.containers.gpus import find_gpus
from evaluator.containers.workspace import abandoned_workspaces, remove_workspace, workspace_of
from evaluator.errors import EngineUnavailableError, HostError
from evaluator.zoo.catalog import BASES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

State = Literal["ok", "note", "missing"]
GIB = 2**30
MIN_FREE_BYTES = 10 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; "missing" prevents models from running."""

    state: State
    what: str
    detail: str
    advice: str = ""


def examine(*, sweep: bool = False) -> list[Finding]:
    """Run all checks, the engine first.

    Args:
        sweep: remove containers and workspaces of evaluators that were killed.
    """
    return [*_engine(sweep), *_gpus(), *_disk(), *_host()]


def _engine(sweep: bool) -> Iterator[Finding]:
    from evaluator.containers.engines.docker import DockerEngine

    try:
        engine = DockerEngine.connect()
        about = engine.about()
        detail = f"{engine.name} {about['version']} (API {about['api']}) at {engine.address}"
        yield Finding(state="ok", what="engine", detail=detail)
        if not engine.sessions:
            yield Finding(
                state="note",
                what="sessions",
                detail="Podman does not support sessions; requests are sent in batches",
            )
        yield from _folders(engine)
        yield from _images(engine)
        yield from _image_disk(engine)
        yield from _orphans(engine, sweep)
        if find_gpus() and "nvidia" not in engine.runtimes:
            yield Finding(
                state="note",
                what="GPU in containers",
                detail="the engine has no nvidia runtime",
                advice="install nvidia-container-toolkit, then: "
                "nvidia-ctk runtime configure --runtime=docker",
            )
    except EngineUnavailableError as error:
        first, _, advice = str(error).partition("\n")
        yield Finding(state="missing", what="engine", detail=first, advice=advice.strip())
    except HostError as error:
        yield Finding(state="missing", what="engine", detail=str(error))


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
        with workspace_of("doctor") as workspace:
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
    from evaluator.zoo.docker_client import BuildClient

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
        yield _free("disk of the images", folder)


def _orphans(engine: Any, sweep: bool) -> Iterator[Finding]:
    folders = abandoned_workspaces()
    names = [
        *(engine.remove_orphans() if sweep else engine.orphans()),
        *(str(folder) for folder in folders),
    ]
    if sweep:
        for folder in folders:
            remove_workspace(folder)
    if not names:
        detail = "no container and no working folder of a run that was killed"
        yield Finding(state="ok", what="orphans", detail=detail)
    elif sweep:
        yield Finding(state="ok", what="orphans", detail=f"removed {', '.join(names)}")
    else:
        yield Finding(
            state="note",
            what="orphans",
            detail=", ".join(names),
            advice="remove them with: umd doctor --sweep",
        )


def _gpus() -> Iterator[Finding]:
    gpus = find_gpus()
    for gpu in gpus:
        detail = f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, driver {gpu.driver}"
        yield Finding(state="ok", what=f"GPU {gpu.index}", detail=detail)
    if not gpus:
        yield Finding(
            state="note", what="GPU", detail="none; umd/torch is built in its CPU flavour"
        )


def _disk() -> Iterator[Finding]:
    for what, path in (("disk of runs", paths.runs()), ("disk of the cache", paths.cache())):
        yield _free(what, next(parent for parent in (path, *path.parents) if parent.exists()))


def _free(what: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    return Finding(
        state="ok" if free > MIN_FREE_BYTES else "note",
        what=what,
        detail=f"{free / GIB:.0f} GiB free at {folder}",
        advice="" if free > MIN_FREE_BYTES else "images and masks of a large run need more",
    )


def _host() -> Iterator[Finding]:
    yield Finding(
        state="ok",
        what="umd",
        detail=f"{version('umd-evaluator')} on Python {platform.python_version()}",
    )
    bootstrap = shutil.which("mmdebstrap")
    yield Finding(
        state="ok" if bootstrap else "note",
        what="mmdebstrap",
        detail=bootstrap or "not installed; only needed if no registry answers",
        advice="" if bootstrap else "apt-get install mmdebstrap",
    )
    shared = paths.shared_data()
    yield Finding(
        state="ok" if shared.is_dir() else "note",
        what="sample scans",
        detail=str(shared)
        if shared.is_dir()
        else "not found; ibsi-sts and totalsegmentator-sample need them",
        advice="" if shared.is_dir() else "set UMD_SHARED_DATA to their folder",
    )
