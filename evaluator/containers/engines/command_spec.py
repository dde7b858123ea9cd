"""What a container program (podman, apptainer) is asked to run, as a value.

``podman.py`` and ``apptainer.py`` turn it into a command line with a pure function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.containers.engines.relay import (
    RELAY_FOLDER,
    RELAY_MEMORY,
    RELAY_PROCESSES,
    Relay,
)
from evaluator.containers.engines.spec import (
    NATIVE_LAYOUT,
    OPEN_FILES,
    PROCESSES,
    SHM_BYTES,
    WEIGHTS,
    Caller,
    Limits,
    Workspace,
    container_labels,
    gpu_environment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines.spec import ContainerLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this machine in a container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container: what runs, what it sees, and what it may take."""

    #: what the program calls the image: a reference, an id, or the path of a SIF file
    image: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    #: replaces the image's entrypoint; None: the image's
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] = ()
    #: uid and gid in the container; None: the image's user
    user: tuple[int, int] | None
    #: uid and gid of the image's user, where ``user`` is None; None: unknown
    image_user: tuple[int, int] | None = None
    environment: Mapping[str, str]
    #: None: the image's
    working_dir: str | None
    read_only_root: bool
    mounts: tuple[Mount, ...]
    #: paths besides /tmp that are empty and writable, as the image declares volumes there
    volumes: tuple[str, ...] = ()
    #: container whose network this one shares; None: no network
    network_of: str | None = None
    #: capabilities that it keeps
    capabilities: tuple[str, ...] = ()
    #: standard input stays open
    interactive: bool
    #: bytes
    memory: int
    shm: int
    #: of one file
    file_bytes: int
    processes: int = PROCESSES
    open_files: int = OPEN_FILES
    #: None: not limited
    cpus: float | None = None
    #: as the program names the GPU: a UUID, or a CDI device; None: none
    gpu: str | None = None


def container_spec(
    image: str,
    workspace: Workspace,
    limits: Limits,
    caller: Caller,
    *,
    layout: ContainerLayout = NATIVE_LAYOUT,
    weights: Path | None = None,
    volumes: tuple[str, ...] = (),
    name: str,
    run_id: str,
    interactive: bool,
    command: tuple[str, ...],
    gpu: str | None = None,
    entrypoint: tuple[str, ...] | None = None,
) -> ContainerSpec:
    """The container of a model within its limits; ``gpu`` is the UUID of a GPU or MIG slice."""
    mounts = [
        Mount(source=workspace.input, target=layout.input, read_only=not layout.input_writable),
        Mount(source=workspace.output, target=layout.output, read_only=False),
    ]
    if weights:
        mounts.append(Mount(source=weights, target=WEIGHTS, read_only=True))
    if workspace.cache and layout.cache:
        mounts.append(Mount(source=workspace.cache, target=layout.cache, read_only=False))
    mounted = {mount.target for mount in mounts} | {"/tmp"}  # noqa: S108 - in the container
    return ContainerSpec(
        image=image,
        name=name,
        labels=container_labels(caller, run_id),
        entrypoint=entrypoint,
        command=command,
        user=None if layout.image_user else caller.container_user,
        environment={"HOME": "/tmp", **gpu_environment(gpu)},  # noqa: S108
        working_dir=layout.working_dir,
        read_only_root=not layout.root_writable,
        mounts=tuple(mounts),
        volumes=tuple(path for path in volumes if path not in mounted),
        interactive=interactive,
        memory=limits.memory or caller.memory * 9 // 10,
        shm=limits.shm or SHM_BYTES,
        file_bytes=limits.output_bytes,
        cpus=limits.cpus,
        gpu=gpu,
    )


def relay_spec(
    relay: Relay, model: str, caller: Caller, *, name: str, run_id: str
) -> ContainerSpec:
    """A relay in the network of a model's container; see ``relay.relay_arguments``.

    Args:
        relay: the program.
        model: name of the model's container.
        caller: who asks.
        name: name of the container.
        run_id: by which the container is found again.
    """
    return ContainerSpec(
        image=relay.image,
        name=name,
        labels=container_labels(caller, run_id),
        entrypoint=relay.command,
        user=(0, 0),
        environment={"HOME": "/tmp"},  # noqa: S108 - in the container
        working_dir="/",
        read_only_root=True,
        mounts=(Mount(source=relay.folder, target=RELAY_FOLDER, read_only=False),),
        network_of=model,
        capabilities=("CHOWN", "DAC_OVERRIDE"),
        interactive=True,
        memory=RELAY_MEMORY,
        shm=SHM_BYTES,
        file_bytes=Limits(timeout=0).output_bytes,
        processes=RELAY_PROCESSES,
    )
