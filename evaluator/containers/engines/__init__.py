"""Engines run a model's process and give its lines.

``docker``, ``podman`` and ``apptainer`` by their command lines, ``podman-socket``, and ``local``,
which isolates nothing (docs/engines.md).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evaluator.containers.engines.protocol import Engine, Process
from evaluator.errors import EngineUnavailableError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENGINES", "Engine", "Process", "open_engine"]


def _docker() -> Engine:
    from evaluator.containers.engines.docker import DockerEngine

    return DockerEngine.connect()


def _podman() -> Engine:
    from evaluator.containers.engines.command_engine import CommandLineEngine
    from evaluator.containers.engines.podman_engine import PodmanDialect

    return CommandLineEngine(PodmanDialect.connect())


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
#: which engines "auto" tries, in this order
AUTOMATIC = ("docker", "podman", "podman-socket", "apptainer")


def open_engine(name: str = "auto") -> Engine:
    """The engine of this name; "auto" is the first of ``AUTOMATIC`` that answers.

    A user who set DOCKER_HOST or a Docker context chose that engine: then "auto" tries no other.

    Raises:
        EngineUnavailableError: none answers; with what to do.
        UnknownNameError: there is no such engine.
    """
    if name != "auto":
        if name not in ENGINES:
            raise UnknownNameError("engine", name, ENGINES)
        return ENGINES[name]()
    first: EngineUnavailableError | None = None
    for candidate in AUTOMATIC:
        try:
            return ENGINES[candidate]()
        except EngineUnavailableError as error:
            first = first or error
            if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT"):
                break
    assert first is not None
    raise first
