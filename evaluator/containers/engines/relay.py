"""The container of a relay, which asks a model that is a server (``invoke_session``)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines.spec import LOG_OPTIONS, container_labels

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.spec import Caller

#: where a relay finds its folder
RELAY_FOLDER = "/work"
#: what a relay may take
RELAY_MEMORY, RELAY_PROCESSES = 256 * 2**20, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A program of the evaluator in a container that shares the network of a model's container."""

    #: an image of the project
    image: str
    command: tuple[str, ...]
    #: mounted at ``RELAY_FOLDER``, where the relay may write whoever owns the files
    folder: Path


def relay_arguments(
    relay: Relay, model: str, caller: Caller, *, run_id: str, podman: bool = False
) -> dict[str, Any]:
    """Keyword arguments of docker's ``containers.create`` for a relay; see ``container_arguments``.

    The relay is root of its container, without any capability but those to move files of the
    model's user and to give them to the evaluator's user.

    Args:
        relay: the program.
        model: id of the model's container.
        caller: who asks.
        run_id: by which the container is found again.
        podman: whether the engine is Podman.
    """
    folder = {"source": str(relay.folder), "target": RELAY_FOLDER, "type": "bind"}
    return {
        "image": relay.image,
        "entrypoint": list(relay.command),
        "command": [],
        "name": f"umd-relay-{secrets.token_hex(6)}",
        "labels": container_labels(caller, run_id),
        "user": "0:0",
        "working_dir": "/",
        "network_mode": f"container:{model}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "DAC_OVERRIDE"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": RELAY_PROCESSES,
        "mem_limit": RELAY_MEMORY,
        "memswap_limit": RELAY_MEMORY,
        "mounts": [{**folder, "read_only": False}],
        "ulimits": [{"name": "core", "soft": 0, "hard": 0}],
        "device_requests": [],
        "stdin_open": True,
        "log_config": None if podman else LOG_OPTIONS,
    }
