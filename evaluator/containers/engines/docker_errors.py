"""Errors of the docker SDK, and the removal of a container that may be gone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import docker.errors
import requests

from evaluator.containers.engines.refusals import lacks_of_host
from evaluator.containers.engines.spec import RefusedStartError
from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError)
#: attribute of a client that holds its address, for messages
ADDRESS = "umd_address"


@contextlib.contextmanager
def engine_gone(client: Any = None) -> Iterator[None]:
    """Only a lost connection becomes a HostError; ``client`` is asked for the address."""
    try:
        yield
    except GONE as error:
        raise HostError(
            f"the container engine{address_of(client)} is gone ({brief(error)}); "
            "start it and run again, nothing is lost"
        ) from error


@contextlib.contextmanager
def engine_faults(client: Any = None) -> Iterator[None]:
    """A lost connection, and whatever the engine refuses, becomes a HostError."""
    try:
        with engine_gone(client):
            yield
    except docker.errors.APIError as error:
        raise HostError(
            f"the container engine{address_of(client)} refused: {explanation(error)}; "
            "see: umd doctor"
        ) from error


def address_of(client: Any) -> str:
    """The address of a client's engine as " at ADDRESS"; empty if it is unknown."""
    address = getattr(client, ADDRESS, "")
    return f" at {address}" if address else ""


def explanation(error: docker.errors.APIError) -> str:
    """The engine's reason, at most 500 characters."""
    return brief(error.explanation or str(error), 500)


def refused_start(client: Any, error: docker.errors.APIError) -> HostError | RefusedStartError:
    """The error to raise when the engine refuses to create or start a model's container."""
    reason = explanation(error)
    if names_missing_folder(reason):
        return HostError(
            f"the container engine{address_of(client)} does not see a folder of the evaluator: "
            f"{reason}; see: umd doctor"
        )
    if lack := lacks_of_host(error.explanation or str(error)):
        return HostError(
            f"the container engine{address_of(client)} cannot start a container on this machine "
            f"({lack}): {reason}; free what is missing and run again, nothing is lost"
        )
    return RefusedStartError(reason)


def names_missing_folder(reason: str) -> bool:
    """True if the engine says that the source of a mount does not exist."""
    words = ("source path does not exist", "bind source", "mount source path")
    return any(part in reason for part in words)


def remove_container(container: Any) -> None:
    """Remove a container, whatever its state; nothing if it or the engine is gone."""
    with contextlib.suppress(docker.errors.DockerException, *GONE):
        container.remove(force=True, v=True)


def brief(error: BaseException | str, length: int = 200) -> str:
    """The error's text, at most ``length`` characters."""
    text = str(error) or type(error).__name__
    return text if len(text) <= length else text[:length] + "..."
