"""What an engine is asked to run, and the pure function from that to docker's arguments."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evaluator.containers.engines.guard import start_of
from evaluator.errors import HostError
from zoo_sdk.gpu import GIVEN

if TYPE_CHECKING:
    from evaluator.types import ModelCard

#: how a container is used: all requests and an end; a session over standard input and output; a
#: session over HTTP
Mode = Literal["batch", "serve", "invoke"]

#: who a container runs as when the caller is root: "nobody"
NOBODY = 65534
PROCESSES = 1024
#: more than any model needs, and no more than an engine in a container of its own may give
OPEN_FILES = 4096
TMP_BYTES = 4 * 2**30
SHM_BYTES = 2**30
#: weight of a container against all else on a busy machine; 1024 is the engine's default
CPU_SHARES = 512
#: where a container finds its weights
WEIGHTS = "/opt/ml/model"
#: labels of containers; ``umd doctor`` and the next run find what a killed evaluator left
RUN_LABEL, PID_LABEL, STARTED_LABEL, HOST_LABEL = "umd.run", "umd.pid", "umd.started", "umd.host"
#: Podman's service accepts a request for devices and does nothing (containers/podman issue 22645)
NO_GPU_BY_SOCKET = (
    "engine podman-socket cannot give a GPU to a container: Podman's service ignores the request; "
    "use --engine podman, or --gpus none"
)
#: what a container's own log may take on the host
LOG_OPTIONS = {"max-size": "20m", "max-file": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLayout:
    """Where a container finds its folders, and what its convention lets it write."""

    input: str = "/input"
    output: str = "/output"
    #: images of other conventions may write into their input folder, which is a copy
    input_writable: bool = False
    #: and into their root file system, which is discarded with the container
    root_writable: bool = False
    #: the user of the image instead of the caller's
    image_user: bool = False
    #: a folder that is kept over the rounds of a case; None: none
    cache: str | None = None
    #: None: the working directory of the image
    working_dir: str | None = "/tmp"  # noqa: S108 - the container's own tmpfs


#: the layout of contract 1
NATIVE_LAYOUT = ContainerLayout()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model ready to run: an image, or an adapter file that runs without a container."""

    card: ModelCard
    image: str | None
    #: of the image; without one, of the adapter's files
    digest: str
    adapter: Path | None
    #: further folders with modules that an adapter without an image imports
    modules: tuple[Path, ...] = ()
    #: folder that is mounted in the place of the image's own weights; None: nothing is
    weights: Path | None = None
    layout: ContainerLayout = NATIVE_LAYOUT
    #: image of the relay to a model that is a server; None: the model is none
    relay_image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The folders that a container sees: ``/input`` (read only), ``/output``, and a cache."""

    input: Path
    output: Path
    #: of the layout's ``cache``; None: none
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the machine of an engine has."""

    #: bytes
    memory: int
    cores: int
    #: whether the engine can limit the cores of a container
    limits_cores: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may take: seconds and bytes."""

    #: for one request
    timeout: float
    #: None: nine tenths of the machine's
    memory: int | None = None
    shm: int | None = None
    #: of all that lies in the output folder at once
    output_bytes: int = 8 * 2**30
    cpus: float | None = None
    #: until a session is ready, and added to a batch's first request
    startup: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a model's process ended."""

    #: None: nobody can tell any more
    code: int | None
    out_of_memory: bool
    #: the last lines that it printed
    tail: str
    #: what somebody else did to the container ("removed", "killed"); empty: nothing
    outside: str = ""


class RefusedStartError(Exception):
    """The engine refused to create or start a model's container; it is not known whose fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: decides the container's user, and whose container it is."""

    uid: int
    gid: int
    pid: int
    host: str
    memory: int
    #: when the process was started, by the system's clock; another process may get its number
    started: str = ""

    @classmethod
    def this_process(cls) -> Caller:
        """The evaluator itself."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(
            uid=os.getuid(),
            gid=os.getgid(),
            pid=os.getpid(),
            host=os.uname().nodename,
            memory=memory,
            started=start_of(os.getpid()),
        )

    @property
    def container_user(self) -> tuple[int, int]:
        """Uid and gid inside: the caller's own, so that what it writes can be removed.

        Never root's.
        """
        return (self.uid, self.gid) if self.uid else (NOBODY, NOBODY)


def gpu_environment(gpu: str | None) -> dict[str, str]:
    """The variable that tells a model that a GPU was handed over, by its UUID."""
    return {GIVEN: gpu} if gpu else {}


def container_arguments(
    image: str | None,
    workspace: Workspace,
    limits: Limits,
    caller: Caller,
    *,
    layout: ContainerLayout = NATIVE_LAYOUT,
    weights: Path | None = None,
    name: str,
    run_id: str,
    mode: Mode,
    command: list[str],
    gpu: str | None = None,
    podman: bool = False,
) -> dict[str, Any]:
    """Keyword arguments of docker's ``containers.create`` for one container, within the limits.

    ``gpu`` is a UUID; ``weights`` is a folder that replaces the image's weights. Three of docker's
    types are plain values here (``device_requests``, ``mounts`` and ``ulimits``, lists of
    mappings), so the result can be compared; the engine converts them.

    Raises:
        HostError: ``gpu`` is given, and the engine is Podman's service, which gives none.
    """
    if podman and gpu:
        raise HostError(NO_GPU_BY_SOCKET)
    memory = limits.memory or caller.memory * 9 // 10
    uid, gid = caller.container_user
    arguments: dict[str, Any] = {
        "image": image,
        "command": command,
        "name": name,
        "labels": container_labels(caller, run_id),
        "user": None if layout.image_user else f"{uid}:{gid}",
        # HOME is the container's own tmpfs; the SDK refuses to start if torch cannot use the GPU
        "environment": {"HOME": "/tmp", **gpu_environment(gpu)},  # noqa: S108
        "working_dir": layout.working_dir,
        "network_mode": "none",
        "read_only": not layout.root_writable,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": PROCESSES,
        "mem_limit": memory,
        "memswap_limit": memory,
        "shm_size": limits.shm or SHM_BYTES,
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={TMP_BYTES}"},  # noqa: S108
        "mounts": _mounts(workspace, layout, weights),
        "ulimits": [
            {"name": "fsize", "soft": limits.output_bytes, "hard": limits.output_bytes},
            {"name": "core", "soft": 0, "hard": 0},
            {"name": "nofile", "soft": OPEN_FILES, "hard": OPEN_FILES},
        ],
        "device_requests": [{"device_ids": [gpu], "capabilities": [["gpu"]]}] if gpu else [],
        "stdin_open": mode == "serve",
        "log_config": None if podman else LOG_OPTIONS,
        # the program that an image names for it would run beside the model
        "healthcheck": None if podman else {"test": ["NONE"]},
    }
    if podman:
        # podman would else ask for its own defaults, which an unprivileged host refuses
        arguments["ulimits"].append({"name": "nproc", "soft": PROCESSES, "hard": PROCESSES})
    if limits.cpus:
        arguments["nano_cpus"] = int(limits.cpus * 1e9)
        arguments["cpu_shares"] = CPU_SHARES
    return arguments


def container_labels(caller: Caller, run_id: str) -> dict[str, str]:
    """By which a container of the evaluator is found again, and whose it is."""
    return {
        RUN_LABEL: run_id,
        PID_LABEL: str(caller.pid),
        STARTED_LABEL: caller.started,
        HOST_LABEL: caller.host,
    }


def _mounts(
    workspace: Workspace, layout: ContainerLayout, weights: Path | None
) -> list[dict[str, Any]]:
    """Folders of the evaluator in the container.

    Mounts of type bind fail if the folder does not exist; ``volumes`` would create it, and would
    refuse a path that contains a colon.
    """
    folders = [
        (workspace.input, layout.input, not layout.input_writable),
        (workspace.output, layout.output, False),
    ]
    if weights:
        folders.append((weights, WEIGHTS, True))
    if workspace.cache and layout.cache:
        folders.append((workspace.cache, layout.cache, False))
    return [
        {"source": str(source), "target": target, "type": "bind", "read_only": read_only}
        for source, target, read_only in folders
    ]
