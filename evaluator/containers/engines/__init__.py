"""Engines run a model's process and give its lines.

``docker``, ``podman`` and ``apptainer`` by their command lines, ``podman-socket``, and ``local``,
which isolates nothing (docs/engines.md).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evaluator.containers.engines.protocol import Engine, Process
from evaluator.errors import EngineUnavailableError, UnknownNameError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENGINES", "Engine", "Process", "open_engine"]


def _docker(runtime: str | None = None) -> Engine:
    from evaluator.containers.engines.docker import DockerEngine

    return DockerEngine.connect(runtime=runtime)


def _podman(runtime: str | None = None) -> Engine:
    from evaluator.containers.engines.command_engine import CommandLineEngine
    from evaluator.containers.engines.podman_engine import PodmanDialect

    return CommandLineEngine(PodmanDialect.connect(runtime=runtime))


def _podman_socket() -> Engine:
    from evaluator.containers.engines.docker import DockerEngine

    return DockerEngine.connect(podman=True)


def _apptainer() -> Engine:
    from evaluator.containers.engines.apptainer_engine import ApptainerDialect
    from evaluator.containers.engines.command_engine import CommandLineEngine

    return CommandLineEngine(ApptainerDialect.connect())


def _local() -> Engine:
    from evaluator.containers.engines.local import LocalEngine

    return LocalEngine()


ENGINES: dict[str, Callable[[], Engine]] = {
    "docker": _docker,
    "podman": _podman,
    "podman-socket": _podman_socket,
    "apptainer": _apptainer,
    "local": _local,
}
#: engines whose containers can have another runtime
_WITH_RUNTIME: dict[str, Callable[[str], Engine]] = {"docker": _docker, "podman": _podman}
#: which engines "auto" tries, in this order
AUTOMATIC = ("docker", "podman", "podman-socket", "apptainer")


def open_engine(name: str = "auto", runtime: str | None = None) -> Engine:
    """The engine of this name; "auto" is the first of ``AUTOMATIC`` that answers.

    A user who set DOCKER_HOST or a Docker context chose that engine: then "auto" tries no other.

    Args:
        name: of the engine.
        runtime: program that starts the model's containers, such as runsc, by its name in the
            engine's configuration; None: the engine's default.

    Raises:
        EngineUnavailableError: none answers, or it does not have the runtime; with what to do.
        UnknownNameError: there is no such engine.
        UserError: the engine has no choice of runtimes.
    """
    if name != "auto":
        if name not in ENGINES:
            raise UnknownNameError("engine", name, ENGINES)
        if runtime is None:
            return ENGINES[name]()
        if name not in _WITH_RUNTIME:
            raise UserError(
                f"engine {name} has no choice of runtimes; --runtime {runtime} needs --engine "
                "docker or podman"
            )
        return _WITH_RUNTIME[name](runtime)
    first: EngineUnavailableError | None = None
    for candidate in AUTOMATIC if runtime is None else tuple(_WITH_RUNTIME):
        try:
            return open_engine(candidate, runtime)
        except EngineUnavailableError as error:
            first = first or error
            if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT"):
                break
    assert first is not None
    raise first
