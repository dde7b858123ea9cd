"""Apptainer (formerly Singularity) by its command line, as clusters have it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.engines.apptainer import (
    ApptainerFacts,
    clean_environment,
    parse_version,
    run_argv,
)
from evaluator.containers.engines.dialect import ListedContainer, LocalImage
from evaluator.containers.engines.guard import GUARD
from evaluator.containers.engines.piped_process import PipedProcess
from evaluator.containers.engines.process_output import (
    peak_memory_of,
    processes_below,
    unlinked_bytes_of,
)
from evaluator.containers.engines.programs import Ended, Program, find_program
from evaluator.containers.engines.sif_files import SifFiles
from evaluator.containers.engines.spec import Caller, Capacity, Exit
from evaluator.containers.gpus import find_gpus
from evaluator.containers.safe_removal import discard
from evaluator.errors import EngineUnavailableError, HostError, UserError

if TYPE_CHECKING:
    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.process_output import LogFile
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.spec import Mode

HOW_TO_GET = """apptainer cannot be used: {why}.
  On a cluster: module load apptainer (or singularity). Elsewhere: https://apptainer.org/docs
  Another command: UMD_APPTAINER="singularity"."""


class ApptainerDialect:
    """See ``evaluator.containers.engines.dialect.Dialect``."""

    name = "apptainer"
    runs_as_caller = True

    def __init__(self, program: Program, facts: ApptainerFacts) -> None:
        self.program, self.facts = program, facts
        self.files = SifFiles(paths.cache() / "sif", program)

    @classmethod
    def connect(cls) -> ApptainerDialect:
        """Find the program and what it can do.

        Raises:
            EngineUnavailableError: there is none, or it does not work; with what to do.
        """
        try:
            command = find_program(("apptainer", "singularity"), "UMD_APPTAINER")
            program = Program(command=command, environment=clean_environment(os.environ))
            output = program.answer(["--version"])
        except (EngineUnavailableError, HostError) as error:
            raise EngineUnavailableError(HOW_TO_GET.format(why=error)) from error
        facts = ApptainerFacts(
            program="singularity" if "singularity" in output else "apptainer",
            version=parse_version(output),
            has_gpus=bool(find_gpus()),
            can_limit=_can_limit(),
        )
        return cls(program, facts)

    def about(self) -> dict[str, str]:
        """See ``Dialect``."""
        return {"version": self.facts.version, "program": self.facts.program}

    def capacity(self) -> Capacity:
        """See ``Dialect``."""
        return Capacity(
            memory=Caller.this_process().memory,
            cores=os.cpu_count() or 1,
            limits_cores=self.facts.abilities.cores,
        )

    def unlimited(self) -> tuple[str, ...]:
        """See ``Dialect``."""
        return self.facts.abilities.unlimited(self.facts.reason)

    def image(self, reference: str) -> LocalImage:
        """See ``Dialect``."""
        digest = self.files.find(reference)
        if digest is None:
            raise HostError(f"the image {reference} is no longer in the cache; run again")
        config = self.files.config(digest)
        return LocalImage(
            reference=str(self.files.path(digest)),
            volumes=config.volumes,
            working_dir=config.working_dir,
        )

    def gpu(self, uuid: str) -> str:
        """See ``Dialect``."""
        return uuid

    def start(self, spec: ContainerSpec, log: LogFile, mode: Mode) -> ApptainerProcess:
        """See ``Dialect``."""
        scratch = _scratch(spec)
        try:
            argv = self.program.argv(run_argv(spec, self.facts, scratch))
            return ApptainerProcess(argv, self.program, spec.name, scratch, log, mode)
        except BaseException:
            discard(scratch)
            raise

    def run(self, spec: ContainerSpec, timeout: float) -> Ended:
        """See ``Dialect``."""
        scratch = _scratch(spec)
        try:
            return self.program.call(run_argv(spec, self.facts, scratch), timeout=timeout)
        finally:
            discard(scratch)

    def container_of(self, process: Process) -> str:  # noqa: ARG002
        """See ``Dialect``."""
        raise UserError("apptainer cannot reach a server; use --engine docker or podman")

    def containers(self) -> list[ListedContainer]:
        """See ``Dialect``: a container is a process, which its guard ends with the evaluator."""
        return []

    def remove(self, name: str) -> None:
        """See ``Dialect``."""

    def shell_images(self) -> list[str]:
        """See ``Dialect``: a model's image is tried alone."""
        return []


class ApptainerProcess(PipedProcess):
    """A container, which is a process below this one."""

    def __init__(
        self,
        argv: list[str],
        program: Program,
        name: str,
        scratch: Path,
        log: LogFile,
        mode: Mode,
    ) -> None:
        """Start it; raises HostError if the program cannot be started."""
        self._name, self._scratch = name, scratch
        GUARD.register(name)
        try:
            super().__init__(argv, log, mode, environment=program.environment)
        except OSError as error:
            raise HostError(f"{program.name} cannot be started: {error.strerror}") from error
        GUARD.register(name, group=self.pid)

    def peak_memory(self) -> int | None:
        """See ``evaluator.containers.engines.Process``: of the largest process."""
        peaks = [peak_memory_of(pid) for pid in processes_below(self.pid)]
        return max((peak for peak in peaks if peak is not None), default=None)

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        return unlinked_bytes_of(processes_below(self.pid), device)

    def _kill(self) -> Exit:
        below = processes_below(self.pid)
        code = self._end_group()
        _kill_all(below[1:])
        GUARD.forget(self._name)
        discard(self._scratch)
        return Exit(code=code, out_of_memory=False, tail=self._log.tail())


def _kill_all(processes: list[int]) -> None:
    """Kill what left the process group."""
    for pid in processes:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _scratch(spec: ContainerSpec) -> Path:
    """A new folder for /tmp and for the volumes of one container."""
    # in the workspace, which is emptied before and after a run
    folder = spec.mounts[0].source.parent / f"scratch-{secrets.token_hex(6)}"
    volumes = [f"volume-{number}" for number in range(len(spec.volumes))]
    folder.mkdir()
    for name in ("tmp", "var_tmp", *volumes):
        (folder / name).mkdir()
        (folder / name).chmod(0o1777)
    return folder


def _can_limit() -> bool:
    """Whether apptainer can set limits, by its own conditions: cgroup version 2, systemd, a bus."""
    if os.getuid() == 0:
        return Path("/sys/fs/cgroup").is_dir() and Path("/run/systemd/system").is_dir()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return (
        Path("/sys/fs/cgroup/cgroup.controllers").is_file()
        and Path("/run/systemd/system").is_dir()
        and bool(runtime)
        and Path(runtime, "bus").exists()
    )
