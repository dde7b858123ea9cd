"""Containers of an engine whose evaluator on this machine is gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines.docker_errors import engine_faults
from evaluator.containers.engines.guard import start_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: a container of another run whose evaluator is gone has so long to end by itself
ORPHAN_SECONDS = 60.0


def labelled(client: Any, label: str) -> list[Any]:
    """The containers with a label ("umd.run", "umd.run=NAME"), whatever their state."""
    with engine_faults(client):
        return list(client.containers.list(all=True, filters={"label": label}, ignore_removed=True))


def orphans_of(client: Any) -> list[Any]:
    """The containers of evaluators of this machine that are gone."""
    return [container for container in labelled(client, "umd.run") if is_orphan(container.labels)]


def left_by_killed(client: Any, run_id: str) -> list[Any]:
    """Of these, the containers of a run, and those of other runs that are older than a minute."""
    left = []
    for container in orphans_of(client):
        if container.labels.get("umd.run") == run_id or _age(container) > ORPHAN_SECONDS:
            left.append(container)
    return left


def is_orphan(labels: Mapping[str, str]) -> bool:
    """Whether the evaluator that a container's labels name, on this machine, is gone."""
    pid = labels.get("umd.pid", "0")
    started = start_of(int(pid)) if pid.isdigit() else ""
    # a later process may have got the number of one that is gone
    alive = started != "" and labels.get("umd.started", started) == started
    return labels.get("umd.host") == os.uname().nodename and not alive


def _age(container: Any) -> float:
    """Seconds since a container was created; 0 if the engine does not tell."""
    try:
        created = datetime.fromisoformat(container.attrs["Created"])
    except (KeyError, TypeError, ValueError):
        return 0.0
    return (datetime.now(UTC) - created).total_seconds()
