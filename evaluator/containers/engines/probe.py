"""A probe: does a container see the evaluator's folders, and can its user write there.

An engine on another machine, in another mount namespace, with mapped users or under SELinux starts
containers that see other files than the evaluator, or that may not write. Every prediction of every
model would then fail. A probe container has the mounts, user and limits of a model's container. It
copies a random number from /input to /output.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors

from evaluator.containers.engines.docker_errors import (
    address_of,
    engine_gone,
    explanation,
    names_missing_folder,
    remove_container,
)
from evaluator.containers.engines.spec import Limits, Workspace
from evaluator.containers.safe_removal import discard
from evaluator.errors import HostError, write_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: arguments of docker's ``containers.create`` for these folders and this image
    Arguments = Callable[[Workspace, str], dict[str, Any]]

NOT_READABLE, NOT_WRITABLE = 11, 12
SHELL = (
    f"read -r number < /input/number || exit {NOT_READABLE}; "
    f'echo "$number" > /output/number || exit {NOT_WRITABLE}'
)
PYTHON = f"""
import sys
try:
    number = open("/input/number").read()
except OSError:
    sys.exit({NOT_READABLE})
try:
    open("/output/number", "w").write(number)
except OSError:
    sys.exit({NOT_WRITABLE})
"""
#: an image without the first program is tried with the next
PROGRAMS = (["sh", "-c", SHELL], ["python3", "-c", PYTHON])
#: a start fails with one of these if the image lacks the program
NO_PROGRAM = ("executable file not found", "exec format error", "exec: ")
#: of the probe's container
PROBE_LIMITS = Limits(timeout=60.0, memory=256 * 2**20)
NOT_CHECKED = (
    "not checked whether containers can use the evaluator's folders: no image here has a shell or "
    "Python"
)


@dataclass(frozen=True, slots=True)
class _NoProgram:
    """The image lacks the program of the probe."""


def probe_folders(client: Any, images: list[str], folders: Workspace, arguments: Arguments) -> bool:
    """Check that containers of an engine read and write the evaluator's folders.

    Args:
        client: of the engine.
        images: images to try, until one has a shell or Python.
        folders: of a run; the probe makes folders beside its input and in its output.
        arguments: those of the model's container.

    Returns:
        False if no image has a program for the probe, so that nothing is known.

    Raises:
        HostError: the engine refuses a container, or it cannot use the folders; with the cause.
    """
    for image in images:
        for program in PROGRAMS:
            with probe_workspace(folders) as (workspace, number):
                result = _run(client, arguments(workspace, image) | {"entrypoint": program})
                if isinstance(result, _NoProgram):
                    continue
                _judge(client, workspace, number, result)
                return True
    return False


@contextmanager
def probe_workspace(folders: Workspace) -> Iterator[tuple[Workspace, str]]:
    """Two new folders of a probe and the number to copy; removed at the end."""
    root = folders.input.parent / f"probe-{secrets.token_hex(6)}"
    # the output folder may be a file system that the engine does not see
    workspace = Workspace(input=root / "input", output=folders.output / root.name)
    number = secrets.token_hex(16)
    try:
        try:
            workspace.input.mkdir(parents=True)
            workspace.output.mkdir(parents=True)
            (workspace.input / "number").write_text(number + "\n")
            workspace.input.chmod(0o755)
            (workspace.input / "number").chmod(0o644)
        except OSError as error:
            raise write_fault(root, error) from error
        yield workspace, number
    finally:
        discard(root)
        discard(workspace.output)


def _run(client: Any, arguments: dict[str, Any]) -> int | _NoProgram:
    """The exit code of the probe; raises HostError if the engine refuses the container."""
    container = None
    try:
        with engine_gone(client):
            container = client.containers.create(**arguments)
            container.start()
            return int(container.wait(timeout=PROBE_LIMITS.timeout)["StatusCode"])
    except docker.errors.APIError as error:
        reason = explanation(error)
        if names_missing_folder(reason):
            raise HostError(_other_files(client, arguments, reason)) from error
        if any(words in reason for words in NO_PROGRAM):
            return _NoProgram()
        raise HostError(
            f"the container engine{address_of(client)} refuses a plain container: {reason}; "
            f"no model was asked{_advice(client)}"
        ) from error
    finally:
        if container is not None:
            remove_container(container)


def _judge(client: Any, workspace: Workspace, number: str, code: int) -> None:
    """Raise HostError unless the number was copied."""
    if code == 0 and is_copied(workspace, number):
        return
    problem = folder_fault(workspace, code) or (
        f"a container that copies a file ended with exit code {code}"
    )
    where = address_of(client)
    raise HostError(
        f"{problem}; the container engine{where} does not share this machine's files as needed. "
        f"No model was asked{_advice(client)}"
    )


def is_copied(workspace: Workspace, number: str) -> bool:
    """True if the probe's container wrote the number and the evaluator sees it."""
    try:
        return (workspace.output / "number").read_text().strip() == number
    except OSError:
        return False


def folder_fault(workspace: Workspace, code: int) -> str:
    """What an exit code of the probe says about the folders; empty if it says nothing."""
    folder = workspace.input.parent
    if code == NOT_WRITABLE:
        return f"a container can read the evaluator's folders and cannot write ({folder})"
    if code == NOT_READABLE:
        return f"a container cannot read a file that the evaluator wrote ({folder})"
    if code == 0:
        return f"the evaluator does not see what a container wrote ({folder})"
    return ""


def _other_files(client: Any, arguments: dict[str, Any], reason: str) -> str:
    sources = [mount["Source"] for mount in arguments.get("mounts", ())]
    folder = Path(sources[0]).parent if sources else ""
    return (
        f"the container engine{address_of(client)} does not see the evaluator's folder {folder} "
        f"({reason}). "
        "It sees other files: it runs on another machine, in a container or in another mount "
        "namespace. No model was asked. Choose an engine of this machine with DOCKER_HOST, or "
        "set UMD_CACHE to a folder that both see under the same path"
    )


def _advice(client: Any) -> str:
    causes = " ".join(causes_of(client))
    return f". {causes}" if causes else "; see: umd doctor"


def causes_of(client: Any) -> Iterator[str]:
    """What of an engine's settings keeps containers from the evaluator's folders, in sentences."""
    try:
        info = client.info()
    except (docker.errors.DockerException, OSError):
        return
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    if any("name=userns" in option for option in options):
        yield (
            "This engine maps users (userns-remap): a container's user is not the evaluator's. "
            "Start dockerd without --userns-remap, or choose another engine with DOCKER_HOST."
        )
    if any("name=rootless" in option for option in options):
        yield (
            "This engine is rootless: a container's user is mapped to one that may not write in "
            "the evaluator's folders. Choose a rootful engine with DOCKER_HOST, or --engine podman."
        )
    if any("name=selinux" in option for option in options):
        yield (
            "This engine uses SELinux, which may keep containers from the cache folder: "
            "chcon -R -t container_file_t on the folder of UMD_CACHE permits it."
        )
    name = str(info.get("Name") or "")
    if name and name != os.uname().nodename:
        yield (
            f"This engine runs on {name}, and the evaluator on {os.uname().nodename}: choose an "
            "engine of this machine, or set UMD_CACHE to a folder that both see under one path."
        )
