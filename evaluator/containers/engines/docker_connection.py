"""The connection of the docker SDK to the engine of an address."""

from __future__ import annotations

from typing import Any

import docker
import docker.errors

from evaluator.containers.engines.address import docker_address, podman_address, reach_socket
from evaluator.containers.engines.docker_errors import ADDRESS, GONE, brief
from evaluator.errors import EngineUnavailableError

#: seconds for any call to the engine that is not a wait for a model
CALL_SECONDS = 120

HOW_TO_GET = """no container engine answers at {address} ({why}).
  As root on Debian or Ubuntu:  apt-get install docker.io && systemctl start docker (or: dockerd &)
  Elsewhere: https://docs.docker.com/engine/install, or Podman with DOCKER_HOST set to its socket.
  A user needs to be in the group "docker".
  Without any engine: --engine local, which provides no isolation."""

NO_RUNTIME = """\
Docker knows no runtime {runtime}; it knows {known}.
  Name the program in /etc/docker/daemon.json and restart Docker:
  {{"runtimes": {{"{runtime}": {{"path": "/usr/bin/{runtime}"}}}}}}"""


def open_client(*, podman: bool) -> tuple[Any, bool]:
    """Connect by DOCKER_HOST, the Docker context or the usual socket.

    Args:
        podman: connect to Podman's service, and to nothing else.

    Returns:
        the client, and whether Podman's service answers.

    Raises:
        EngineUnavailableError: none answers; the message says how to get an engine.
    """
    address = podman_address() if podman else docker_address()
    try:
        reach_socket(address.url)
        client = docker.DockerClient(base_url=address.url, tls=address.tls, timeout=CALL_SECONDS)
        setattr(client, ADDRESS, str(address))
        components = {part["Name"] for part in client.version().get("Components", ())}
    except (docker.errors.DockerException, *GONE, OSError, ValueError) as error:
        advice = HOW_TO_GET.format(why=brief(error), address=address)
        raise EngineUnavailableError(advice) from error
    is_podman = any("Podman" in name for name in components)
    if podman and not is_podman:
        client.close()
        raise EngineUnavailableError("what answers is Docker; use --engine docker")
    return client, is_podman
