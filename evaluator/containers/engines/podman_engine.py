"""Podman by its command line: no daemon, no socket, no root."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines.dialect import LocalImage
from evaluator.containers.engines.guard import GUARD
from evaluator.containers.engines.image_user import numeric_user
from evaluator.containers.engines.podman import (
    PodmanFacts,
    cdi_device,
    create_argv,
    list_argv,
    parse_cdi,
    parse_containers,
    parse_info,
    removal_argv,
    start_argv,
)
from evaluator.containers.engines.podman_process import PodmanProcess
from evaluator.containers.engines.programs import (
    Ended,
    Program,
    find_program,
    make_private_folder,
    runtime_folder,
)
from evaluator.containers.engines.refusals import lacks_of_host
from evaluator.containers.engines.spec import Capacity, RefusedStartError
from evaluator.containers.gpus import find_gpus
from evaluator.errors import EngineUnavailableError, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.dialect import ListedContainer
    from evaluator.containers.engines.process_output import LogFile
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.spec import Mode

logger = logging.getLogger(__name__)

CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
HOW_TO_GET = """podman cannot be used: {why}.
  As root on Debian or Ubuntu:  apt-get install podman
  Elsewhere: https://podman.io/docs/installation. Another command: UMD_PODMAN="podman-hpc"
  Podman's service with a socket is the engine podman-socket."""


class PodmanDialect:
    """See ``evaluator.containers.engines.dialect.Dialect``."""

    name = "podman"
    runs_as_caller = False

    def __init__(self, program: Program, facts: PodmanFacts) -> None:
        self.program, self.facts = program, facts

    @classmethod
    def connect(cls, *, runtime: str | None = None) -> PodmanDialect:
        """Find the program and what it can do.

        Args:
            runtime: of the containers: a name or path that podman knows; None: its default.

        Raises:
            EngineUnavailableError: there is none, or it does not work; with what to do.
        """
        try:
            command = find_program(("podman",), "UMD_PODMAN")
            program = Program(command=command, environment=_environment())
            facts = parse_info(program.answer(["info", "--format", "json"]))
        except (EngineUnavailableError, HostError) as error:
            raise EngineUnavailableError(HOW_TO_GET.format(why=error)) from error
        if runtime is not None:
            return cls(_with_runtime(program, runtime), facts)
        # crun refuses machines with both versions of control groups, runc accepts them
        if facts.cgroups == "v1" and facts.runtime == "crun":
            runc = shutil.which("runc")
            command = (*command, "--runtime", runc) if runc else command
        return cls(Program(command=command, environment=program.environment), facts)

    @property
    def runtime(self) -> str:
        """The program below podman that starts containers."""
        command = self.program.command
        return Path(command[-1]).name if "--runtime" in command else self.facts.runtime

    def about(self) -> dict[str, str]:
        """See ``Dialect``."""
        rootless = "yes" if self.facts.rootless else "no"
        return {
            "version": self.facts.version,
            "rootless": rootless,
            "storage": self.facts.storage_driver,
        }

    def capacity(self) -> Capacity:
        """See ``Dialect``."""
        return Capacity(
            memory=self.facts.memory,
            cores=self.facts.cores,
            limits_cores=self.facts.abilities.cores,
        )

    def unlimited(self) -> tuple[str, ...]:
        """See ``Dialect``."""
        return self.facts.abilities.unlimited(self.facts.reason)

    def image(self, reference: str) -> LocalImage:
        """See ``Dialect``."""
        ended = self.program.call(["image", "inspect", reference])
        if ended.code != 0:
            raise HostError(f"the image {reference} is no longer on this machine; run again")
        config: Mapping[str, Any] = json.loads(ended.output)[0].get("Config") or {}
        declared = (path.rstrip("/") for path in config.get("Volumes") or {})
        return LocalImage(
            reference=reference,
            volumes=tuple(sorted(path for path in declared if path)),
            user=numeric_user(str(config.get("User") or "")),
        )

    def gpu(self, uuid: str) -> str:
        """See ``Dialect``."""
        index = next((gpu.index for gpu in find_gpus() if gpu.uuid == uuid), None)
        return cdi_device(uuid, index, self.cdi_devices)

    @cached_property
    def cdi_devices(self) -> tuple[str, ...]:
        """Names of the GPUs in the CDI specifications of this machine."""
        names: list[str] = []
        for folder in CDI_FOLDERS:
            for path in sorted(folder.glob("*.*")):
                with contextlib.suppress(OSError):
                    names += parse_cdi(path.read_text(encoding="utf-8", errors="replace"))
        return tuple(names)

    def start(self, spec: ContainerSpec, log: LogFile, mode: Mode) -> PodmanProcess:
        """See ``Dialect``."""
        GUARD.register(spec.name, stop=self.program.argv(removal_argv(spec.name)))
        try:
            created = self.program.call(create_argv(spec, self.facts))
            if created.code != 0:
                raise refusal(created.reason)
            return PodmanProcess(self.program, spec, log, mode)
        except BaseException:
            self.remove(spec.name)
            raise

    def run(self, spec: ContainerSpec, timeout: float) -> Ended:
        """See ``Dialect``."""
        created = self.program.call(create_argv(spec, self.facts))
        if created.code != 0:
            return created
        try:
            return self.program.call(start_argv(spec), timeout=timeout)
        finally:
            self.remove(spec.name)

    def container_of(self, process: Process) -> str:
        """See ``Dialect``."""
        assert isinstance(process, PodmanProcess)
        process.wait_until_started()
        return process.name

    def containers(self) -> list[ListedContainer]:
        """See ``Dialect``."""
        return parse_containers(self.program.answer(list_argv()))

    def remove(self, name: str) -> None:
        """See ``Dialect``."""
        with contextlib.suppress(HostError):
            self.program.call(removal_argv(name))
        GUARD.forget(name)

    def shell_images(self) -> list[str]:
        """See ``Dialect``."""
        text = self.program.answer(
            ["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=umd/*"]
        )
        names = [line for line in text.splitlines() if line and "<none>" not in line]
        return sorted(names, key=lambda name: "umd/base" not in name)[:2]


def _with_runtime(program: Program, runtime: str) -> Program:
    """The program with another runtime; raises EngineUnavailableError if podman has none such."""
    # containers are started in another working folder
    path = str(Path(runtime).absolute()) if "/" in runtime else runtime
    chosen = replace(program, command=(*program.command, "--runtime", path))
    ended = chosen.call(["info", "--format", "json"])
    if ended.code != 0:
        raise EngineUnavailableError(
            f"podman cannot use the runtime {runtime}: {ended.reason}; install it, or name its "
            "program in the table engine.runtimes of containers.conf"
        )
    return chosen


def refusal(reason: str) -> HostError | RefusedStartError:
    """The error to raise when podman does not create a container."""
    if "no such image" in reason or "image not known" in reason:
        return HostError(f"the image is no longer on this machine ({reason}); run again")
    if "no such file or directory" in reason and "statfs" in reason:
        return HostError(f"podman does not see a folder of the evaluator: {reason}")
    if lack := lacks_of_host(reason):
        return HostError(
            f"podman cannot create a container on this machine ({lack}): {reason}; free what is "
            "missing and run again, nothing is lost"
        )
    return RefusedStartError(reason)


def _environment() -> dict[str, str]:
    """Variables of this process, with a usable XDG_RUNTIME_DIR."""
    environment = dict(os.environ)
    uid = os.getuid()
    folder = runtime_folder(environment, uid)
    if folder is not None:
        if not folder.exists():
            make_private_folder(folder, uid, variable="XDG_RUNTIME_DIR")
            logger.info("podman keeps its locks in %s, as XDG_RUNTIME_DIR is not usable", folder)
        environment["XDG_RUNTIME_DIR"] = str(folder)

    return environment
