"""Docker Engine, and Podman's service with the same interface, through the docker SDK."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors

from evaluator.containers.engines.abilities import Abilities
from evaluator.containers.engines.container_process import ContainerProcess
from evaluator.containers.engines.docker_connection import NO_RUNTIME, open_client
from evaluator.containers.engines.docker_errors import (
    ADDRESS,
    engine_faults,
    engine_gone,
    refused_start,
    remove_container,
)
from evaluator.containers.engines.docker_values import created_at, docker_types
from evaluator.containers.engines.image_user import kept_capabilities, numeric_user
from evaluator.containers.engines.orphans import is_orphan, is_removable
from evaluator.containers.engines.output_folder import open_output
from evaluator.containers.engines.probe import NOT_CHECKED, PROBE_LIMITS, probe_folders
from evaluator.containers.engines.process_output import LogFile
from evaluator.containers.engines.relay import relay_arguments
from evaluator.containers.engines.spec import (
    RUN_LABEL,
    TMP_BYTES,
    Caller,
    Capacity,
    container_arguments,
)
from evaluator.errors import EngineUnavailableError, HostError

if TYPE_CHECKING:
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.relay import Relay
    from evaluator.containers.engines.spec import Limits, Mode, Model, Workspace

logger = logging.getLogger(__name__)


class DockerEngine:
    """A connection to Docker or Podman."""

    isolates = True

    def __init__(self, client: Any, *, podman: bool, runtime: str | None = None) -> None:
        self.client, self._podman, self._runtime = client, podman, runtime
        self.name = "podman-socket" if podman else "docker"
        # Podman 4's attach refuses the upgrade that a session needs
        self.sessions = not podman

    @property
    def address(self) -> str:
        """Where the engine is asked, and what chose it."""
        return str(getattr(self.client, ADDRESS, "an unknown address"))

    @classmethod
    def connect(cls, *, podman: bool = False, runtime: str | None = None) -> DockerEngine:
        """Connect by DOCKER_HOST, the Docker context or the usual socket.

        Args:
            podman: it is Podman's service.
            runtime: of the containers; None: the engine's default.

        Raises:
            EngineUnavailableError: none answers, or it does not know the runtime; the message says
                what to do.
        """
        client, is_podman = open_client(podman=podman)
        engine = cls(client, podman=is_podman, runtime=runtime)
        if runtime is not None and runtime not in engine.runtimes:
            client.close()
            raise EngineUnavailableError(
                NO_RUNTIME.format(runtime=runtime, known=", ".join(sorted(engine.runtimes)))
            )
        return engine

    def about(self) -> dict[str, str]:
        """Versions of the engine."""
        with engine_faults(self.client):
            versions = self.client.version()
        return {
            "version": str(versions.get("Version", "")),
            "api": str(versions.get("ApiVersion", "")),
        }

    @cached_property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes that the engine knows (nvidia among them means GPUs)."""
        with engine_faults(self.client):
            return tuple(self.client.info().get("Runtimes") or {})

    def capacity(self) -> Capacity:
        """See ``evaluator.containers.engines.Engine``."""
        with engine_faults(self.client):
            info = self.client.info()
        here = Caller.this_process()
        return Capacity(
            memory=int(info.get("MemTotal") or here.memory),
            cores=int(info.get("NCPU") or os.cpu_count() or 1),
            # a rootless Podman refuses what its user's control group does not delegate
            limits_cores=not self._podman and bool(info.get("CpuCfsQuota", True)),
        )

    def unlimited(self) -> tuple[str, ...]:
        """See ``evaluator.containers.engines.Engine``."""
        with engine_faults(self.client):
            info = self.client.info()
        rootless = "rootless" in str(info.get("SecurityOptions"))
        abilities = Abilities(
            memory=bool(info.get("MemoryLimit", True)),
            processes=bool(info.get("PidsLimit", True)),
            cores=self.capacity().limits_cores,
        )
        return abilities.unlimited("rootless" if rootless else "the engine says so")

    def image_folder(self) -> Path | None:
        """Where the engine keeps its images, as it sees it; None if it does not tell."""
        with engine_faults(self.client):
            folder = self.client.info().get("DockerRootDir")
        return Path(folder) if folder else None

    def start(
        self,
        model: Model,
        workspace: Workspace,
        limits: Limits,
        *,
        run_id: str,
        mode: Mode,
        command: list[str],
        gpu: str | None,
        log: Path,
    ) -> ContainerProcess:
        """See ``evaluator.containers.engines.Engine``."""
        name = f"umd-{model.card.name}-{secrets.token_hex(6)}"
        caller = Caller.this_process()
        open_output(workspace, caller, model.layout)
        arguments = container_arguments(
            model.image,
            workspace,
            limits,
            caller,
            layout=model.layout,
            weights=model.weights,
            name=name,
            run_id=run_id,
            mode=mode,
            command=command,
            gpu=gpu,
            podman=self._podman,
        )
        arguments["tmpfs"] |= self._volume_mounts(model, arguments["mounts"])
        if model.layout.image_user:
            user = numeric_user(str(self._image_config(model).get("User") or ""))
            arguments["cap_add"] = list(kept_capabilities(model.layout, user))
        return self._start(arguments, log, mode)

    def start_relay(
        self, model: Process, relay: Relay, *, run_id: str, log: Path
    ) -> ContainerProcess:
        """See ``evaluator.containers.engines.Engine``."""
        assert isinstance(model, ContainerProcess)
        arguments = relay_arguments(
            relay,
            model.container_id,
            Caller.this_process(),
            run_id=run_id,
            podman=self._podman,
        )
        return self._start(arguments, log, "serve")

    def _start(self, arguments: dict[str, Any], log: Path, mode: Mode) -> ContainerProcess:
        container = self._create(arguments)
        try:
            return ContainerProcess(container, LogFile(log), mode)
        except BaseException:
            remove_container(container)
            raise

    def _volume_mounts(self, model: Model, mounts: list[dict[str, Any]]) -> dict[str, str]:
        """Temporary file systems over the volumes that an image declares: path -> options.

        The engine would make a folder of unlimited size on its disk for each.
        """
        if model.layout.root_writable or not model.image:
            return {}
        config = self._image_config(model)
        mounted = {mount["target"] for mount in mounts} | {"/tmp"}  # noqa: S108
        declared = {path.rstrip("/") for path in config.get("Volumes") or {}} - mounted - {""}
        for path in sorted(declared):
            logger.warning(
                "image %s declares the volume %s; it is an empty temporary folder in memory",
                model.image,
                path,
            )
        return dict.fromkeys(sorted(declared), f"rw,nosuid,nodev,mode=1777,size={TMP_BYTES}")

    def _image_config(self, model: Model) -> dict[str, Any]:
        # a missing image is reported when the container is created
        with engine_faults(self.client), suppress(docker.errors.ImageNotFound):
            return dict(self.client.images.get(model.image).attrs.get("Config") or {})
        return {}

    def _create(self, arguments: dict[str, Any]) -> Any:
        if self._runtime is not None:
            arguments = {**arguments, "runtime": self._runtime}
        try:
            with engine_gone(self.client):
                return self.client.containers.create(**docker_types(arguments))
        except docker.errors.ImageNotFound as error:
            raise HostError(
                f"the image {arguments['image']} is no longer on this machine; run again"
            ) from error
        except docker.errors.APIError as error:
            raise refused_start(self.client, error) from error

    def check_folders(
        self, image: str | None, workspace: Workspace, *, run_id: str, gpu: str | None
    ) -> bool:
        """See ``evaluator.containers.engines.Engine``."""
        caller = Caller.this_process()

        def arguments(folders: Workspace, name: str) -> dict[str, Any]:
            open_output(folders, caller)
            return docker_types(
                container_arguments(
                    name,
                    folders,
                    PROBE_LIMITS,
                    caller,
                    name=f"umd-probe-{secrets.token_hex(6)}",
                    run_id=run_id,
                    mode="batch",
                    command=[],
                    gpu=gpu,
                    podman=self._podman,
                )
            )

        images = [*([image] if image else ()), *self.images()]
        if probe_folders(self.client, images, workspace, arguments):
            return True
        logger.warning(NOT_CHECKED)
        return False

    def images(self) -> list[str]:
        """The images of this project that have a shell: the bases, at most two."""
        with engine_faults(self.client):
            images = [*self.client.images.list(name="umd/base"), *self.client.images.list("umd/*")]
        return [image.tags[0] for image in images if image.tags][:2]

    def sweep(self, run_id: str) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        containers = self._labelled(RUN_LABEL)
        return self._remove_all(
            [entry for entry in containers if is_removable(entry.labels, created_at(entry), run_id)]
        )

    def orphans(self) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        return [container.name for container in self._orphans()]

    def remove_orphans(self) -> list[str]:
        """Remove them; returns their names."""
        return self._remove_all(self._orphans())

    def _orphans(self) -> list[Any]:
        return [entry for entry in self._labelled(RUN_LABEL) if is_orphan(entry.labels)]

    def _labelled(self, label: str) -> list[Any]:
        """The containers with a label ("umd.run", "umd.run=NAME"), whatever their state."""
        filters = {"label": label}
        with engine_faults(self.client):
            return list(self.client.containers.list(all=True, filters=filters, ignore_removed=True))

    def _remove_all(self, containers: list[Any]) -> list[str]:
        for container in containers:
            remove_container(container)
        return [str(container.name) for container in containers]
