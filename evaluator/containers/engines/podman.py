"""The command lines of ``podman``, and what its answers mean. Pure functions."""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines.abilities import Abilities
from evaluator.containers.engines.dialect import ListedContainer
from evaluator.containers.engines.spec import CPU_SHARES, RUN_LABEL, TMP_BYTES
from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.containers.engines.command_spec import ContainerSpec, Mount

CDI_KIND = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodmanFacts:
    """What ``podman info`` says about this machine."""

    version: str
    rootless: bool
    #: "v1" or "v2"
    cgroups: str
    #: of the user's control group: memory, pids, cpu...
    controllers: tuple[str, ...]
    runtime: str
    storage_driver: str
    #: folder of the images
    storage: str
    #: file system below that folder
    storage_filesystem: str
    selinux: bool
    #: bytes
    memory: int
    cores: int

    @property
    def abilities(self) -> Abilities:
        """Which limits can be set: a rootless one needs version 2 and delegated controllers."""
        can_limit = not self.rootless or self.cgroups == "v2"
        return Abilities(
            memory=can_limit and "memory" in self.controllers,
            processes=can_limit and "pids" in self.controllers,
            cores=can_limit and "cpu" in self.controllers,
        )

    @property
    def reason(self) -> str:
        """Why limits cannot be set; empty if all can."""
        if self.rootless and self.cgroups != "v2":
            return f"rootless podman with control groups {self.cgroups}"
        if self.rootless:
            delegated = ", ".join(self.controllers) or "none"
            return f"rootless podman; controllers delegated to this user: {delegated}"
        return f"control groups offer {', '.join(self.controllers) or 'no controller'}"


def parse_info(text: str) -> PodmanFacts:
    """The facts in the output of ``podman info --format json``.

    Raises:
        HostError: the output is not as expected.
    """
    try:
        body: Mapping[str, Any] = json.loads(text)
        host, store = body["host"], body["store"]
        return PodmanFacts(
            version=str(body["version"]["Version"]),
            rootless=bool(host["security"]["rootless"]),
            cgroups=str(host["cgroupVersion"]),
            controllers=tuple(map(str, host.get("cgroupControllers") or ())),
            runtime=str(host["ociRuntime"]["name"]),
            storage_driver=str(store["graphDriverName"]),
            storage=str(store["graphRoot"]),
            storage_filesystem=str((store.get("graphStatus") or {}).get("Backing Filesystem", "")),
            selinux=bool(host["security"].get("selinuxEnabled")),
            memory=int(host["memTotal"]),
            cores=int(host["cpus"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"podman info gives an answer that cannot be read ({error}); umd needs podman 4 or "
            "later"
        ) from None


def create_argv(spec: ContainerSpec, facts: PodmanFacts) -> list[str]:
    """Arguments after ``podman`` that create the container, which is not started yet.

    Raises:
        HostError: a folder's path cannot be written as a mount.
    """
    abilities = facts.abilities
    argv = ["create", "--pull=never", "--name", spec.name]
    for key, text in spec.labels.items():
        argv += ["--label", f"{key}={text}"]
    if spec.interactive:
        argv.append("--interactive")
    # podman would else pass on the proxies of this machine, which may hold a password
    network = f"container:{spec.network_of}" if spec.network_of else "none"
    argv += [f"--network={network}", "--http-proxy=false", "--log-driver=none"]
    argv += ["--cap-drop=ALL", "--security-opt=no-new-privileges"]
    argv += [f"--cap-add={name}" for name in spec.capabilities]
    if spec.read_only_root:
        argv += ["--read-only", "--read-only-tmpfs=false"]
    argv += ["--no-healthcheck"]  # a program of the image that nobody asked for
    argv += [f"--pids-limit={spec.processes if abilities.processes else 0}"]
    if abilities.memory:
        argv += [f"--memory={spec.memory}", f"--memory-swap={spec.memory}"]
    if abilities.cores and spec.cpus:
        argv += [f"--cpus={spec.cpus:g}", f"--cpu-shares={CPU_SHARES}"]
    argv += [f"--shm-size={spec.shm}"]
    argv += _temporary(spec)
    for mount in spec.mounts:
        argv += _mount(mount, relabel=facts.selinux)
    for name, number in _resource_limits(spec).items():
        argv += ["--ulimit", f"{name}={number}:{number}"]
    if spec.user is not None:
        uid, gid = spec.user
        argv.append(f"--user={uid}:{gid}")
    argv += _user_namespace(spec, facts)
    for key, text in spec.environment.items():
        argv += ["--env", f"{key}={text}"]
    if spec.working_dir is not None:
        argv += ["--workdir", spec.working_dir]
    if spec.gpu:
        argv += ["--device", spec.gpu]
    if spec.entrypoint is not None:
        argv += ["--entrypoint", json.dumps(list(spec.entrypoint))]
    return [*argv, spec.image, *spec.command]


def start_argv(spec: ContainerSpec) -> list[str]:
    """Arguments that start a created container and stay attached to it."""
    interactive = ["--interactive"] if spec.interactive else []
    return ["start", "--attach", "--sig-proxy=false", *interactive, spec.name]


def list_argv() -> list[str]:
    """Arguments that list all containers of evaluators."""
    return ["ps", "--all", "--no-trunc", "--filter", f"label={RUN_LABEL}", "--format", "json"]


def removal_argv(name: str) -> list[str]:
    """Arguments that end and remove a container."""
    # a server's container goes with its relay, which holds on to its network
    return ["rm", "--force", "--depend", "--time=0", "--volumes", "--ignore", name]


def parse_containers(text: str) -> list[ListedContainer]:
    """The containers in the answer to ``list_argv``."""
    return [
        ListedContainer(
            name=str(entry["Names"][0]),
            labels=dict(entry["Labels"] or {}),
            created=entry["Created"] if isinstance(entry.get("Created"), int) else None,
        )
        for entry in json.loads(text or "[]") or []
    ]


def _user_namespace(spec: ContainerSpec, facts: PodmanFacts) -> list[str]:
    """Map users so that what the container writes belongs to the caller.

    Root of a rootless container is the caller already.
    """
    if not facts.rootless:
        return []
    if spec.network_of:  # the network belongs to that container's users
        return [f"--userns=container:{spec.network_of}"]
    if spec.user is not None:
        return ["--userns=keep-id"]
    if spec.image_user is not None and spec.image_user[0] != 0:
        uid, gid = spec.image_user
        return [f"--userns=keep-id:uid={uid},gid={gid}"]
    return []


def _temporary(spec: ContainerSpec) -> list[str]:
    options = f"rw,exec,nosuid,nodev,mode=1777,size={TMP_BYTES}"
    argv = ["--image-volume=ignore", "--tmpfs", f"/tmp:{options}"]  # noqa: S108
    if spec.read_only_root:
        for path in spec.volumes:
            argv += ["--tmpfs", f"{path}:{options}"]
    return argv


def _mount(mount: Mount, *, relabel: bool) -> list[str]:
    source = str(mount.source)
    if "," not in source:
        parts = ["type=bind", f"source={source}", f"destination={mount.target}"]
        parts += ["ro=true"] if mount.read_only else []
        parts += ["relabel=shared"] if relabel else []
        return ["--mount", ",".join(parts)]
    if ":" not in source:
        options = ["ro" if mount.read_only else "rw"] + (["z"] if relabel else [])
        return ["--volume", f"{source}:{mount.target}:{','.join(options)}"]
    raise unmountable(mount.source)


def unmountable(folder: Path) -> HostError:
    """The error for a path that holds both characters with a meaning in mounts."""
    return HostError(
        f"{folder} cannot be given to a container: its path holds a colon and a comma. Set "
        "UMD_CACHE to a folder without them"
    )


def _resource_limits(spec: ContainerSpec) -> dict[str, int]:
    """Limits of the kernel for each process; none is above what this process may set itself."""
    labels = {
        "fsize": (resource.RLIMIT_FSIZE, spec.file_bytes),
        "core": (resource.RLIMIT_CORE, 0),
        "nofile": (resource.RLIMIT_NOFILE, spec.open_files),
        "nproc": (resource.RLIMIT_NPROC, spec.processes),
    }
    limits = {}
    for name, (kind, number) in labels.items():
        most = resource.getrlimit(kind)[1]
        limits[name] = number if most == resource.RLIM_INFINITY else min(number, most)
    return limits


def cdi_device(gpu: str, index: int | None, names: tuple[str, ...]) -> str:
    """The CDI device of a GPU or a MIG slice, by its UUID, else by its index.

    Args:
        gpu: UUID.
        index: its number among this machine's GPUs; None: unknown, or a MIG slice.
        names: devices of the CDI specifications on this machine.

    Raises:
        HostError: no device has this name.
    """
    for name in (gpu, str(index) if index is not None else ""):
        if name and name in names:
            return f"{CDI_KIND}={name}"
    devices = ", ".join(names) or "none"
    raise HostError(
        f"podman cannot give GPU {gpu} to a container: no CDI device has its name "
        f"(devices of {CDI_KIND}: {devices}).\n"
        "  Make the specification with: sudo nvidia-ctk cdi generate "
        "--output=/etc/cdi/nvidia.yaml --device-name-strategy=uuid --device-name-strategy=index"
    )


def parse_cdi(text: str) -> tuple[str, ...]:
    """Names of the devices in a CDI specification of kind nvidia.com/gpu, JSON or YAML.

    ``nvidia-ctk`` writes YAML with one ``name:`` for each device, at the top of its entry.
    """
    try:
        body = json.loads(text)
    except ValueError:
        return _yaml_names(text)
    if not isinstance(body, dict) or body.get("kind") != CDI_KIND:
        return ()
    devices = body.get("devices") or ()
    return tuple(str(device["name"]) for device in devices if "name" in device)


def _yaml_names(text: str) -> tuple[str, ...]:
    names: list[str] = []
    kind, in_devices = "", False
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if line[:1] not in (" ", "-", "#", ""):
            in_devices = key == "devices"
            kind = rest.strip().strip("\"'") if key == "kind" else kind
            continue
        if in_devices and key.lstrip(" -") == "name":
            names.append(rest.strip().strip("\"'"))
    return tuple(names) if kind == CDI_KIND else ()
