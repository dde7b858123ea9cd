"""Errors of the docker SDK, and the removal of a container that may be gone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import docker.errors
import requests

from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError)


@contextlib.contextmanager
def engine_gone() -> Iterator[None]:
    """Only a lost connection becomes a HostError."""
    try:
        yield
    except GONE as error:
        raise HostError(
            f"the container engine is gone ({brief(error)}); "
            "start it and run again, nothing is lost"
        ) from error


@contextlib.contextmanager
def engine_faults() -> Iterator[None]:
    """A lost connection, and whatever the engine refuses, becomes a HostError."""
    try:
        with engine_gone():
            yield
    except docker.errors.APIError as error:
        raise HostError(
            f"the container engine refused: {error.explanation or error}; see: umd doctor"
        ) from error


def remove_container(container: Any) -> None:
    """Remove a container, whatever its state; nothing if it or the engine is gone."""
    with contextlib.suppress(docker.errors.DockerException, *GONE):
        container.remove(force=True, v=True)


def brief(error: BaseException) -> str:
    """The error's text, at most 200 characters."""
    text = str(error) or type(error).__name__
    return text if len(text) < 200 else text[:200] + "..."
