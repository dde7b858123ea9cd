"""Which container engine is asked: DOCKER_HOST, else a Docker context, else the usual socket.

The docker SDK falls back to this machine's engine when a context cannot be read. A run would then
use another engine than the user chose, so contexts are read here and a wrong one is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.tls import TLSConfig

from evaluator.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAddress:
    """Where an engine is asked, and who chose it."""

    url: str
    #: "DOCKER_HOST", "the Docker context NAME" or "the usual socket"
    origin: str
    #: certificates; None: none
    tls: Any = None

    def __str__(self) -> str:
        return f"{self.url}, from {self.origin}"


def docker_address(environment: Mapping[str, str] | None = None) -> EngineAddress:
    """The address by the rules of Docker's command line.

    Args:
        environment: variables; by default those of this process.

    Raises:
        EngineUnavailableError: the chosen context does not exist or cannot be read.
    """
    variables = os.environ if environment is None else environment
    if host := variables.get("DOCKER_HOST"):
        return EngineAddress(url=host, origin="DOCKER_HOST", tls=_tls_of_variables(variables))
    folder = Path(variables.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name, chosen_by = _context_name(variables, folder)
    if name == "default":
        return EngineAddress(url=USUAL_SOCKET, origin="the usual socket")
    return _context_address(name, chosen_by, folder)


def podman_address() -> EngineAddress:
    """Address of Podman: DOCKER_HOST, or the user's or the system's socket."""
    if os.environ.get("DOCKER_HOST"):
        return docker_address()
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for path in (Path(runtime, "podman/podman.sock"), Path("/run/podman/podman.sock")):
        if path.is_socket():
            return EngineAddress(url=f"unix://{path}", origin="Podman's socket")
    raise EngineUnavailableError(
        "no container engine answers: there is no Podman socket; start it with: "
        "systemctl --user start podman.socket"
    )


def reach_socket(url: str, seconds: float = 10) -> None:
    """Connect to a Unix socket once; other addresses are not tried.

    The docker SDK leaves its socket open when no engine listens.

    Raises:
        OSError: nothing listens there.
    """
    if not url.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect("/" + url.removeprefix("unix://").lstrip("/"))


def _context_name(variables: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """The name of the context, and what chose it."""
    if name := variables.get("DOCKER_CONTEXT"):
        return name, "DOCKER_CONTEXT"
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise EngineUnavailableError(
            f"no container engine can be chosen: {file} cannot be read ({error}).\n"
            "  Mend the file, or set DOCKER_HOST to the engine's address."
        ) from None
    name = config.get("currentContext") if isinstance(config, dict) else None
    return str(name or "default"), str(file)


def _context_address(name: str, chosen_by: str, folder: Path) -> EngineAddress:
    identifier = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts" / "meta" / identifier / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        endpoint = meta["Endpoints"]["docker"]
        url = str(endpoint["Host"])
    except FileNotFoundError:
        names = ", ".join(_context_names(folder)) or "none"
        raise EngineUnavailableError(
            f"no container engine can be chosen: there is no Docker context {name!r} "
            f"(chosen by {chosen_by}; contexts in {folder}: {names}).\n"
            "  Choose another with: docker context use NAME, or set DOCKER_HOST."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineUnavailableError(
            f"no container engine can be chosen: the Docker context {name!r} cannot be read "
            f"({file}: {type(error).__name__} {error}).\n"
            "  Make it again with: docker context create, or set DOCKER_HOST."
        ) from None
    verify = not endpoint.get("SkipTLSVerify", False)
    tls = _tls_of_folder(folder / "contexts" / "tls" / identifier / "docker", verify=verify)
    return EngineAddress(url=url, origin=f"the Docker context {name!r}", tls=tls)


def _context_names(folder: Path) -> list[str]:
    names = []
    for file in sorted(folder.glob("contexts/meta/*/meta.json")):
        try:
            names.append(str(json.loads(file.read_bytes())["Name"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return names


def _tls_of_variables(variables: Mapping[str, str]) -> Any:
    """As the docker SDK reads DOCKER_TLS_VERIFY and DOCKER_CERT_PATH."""
    verify = bool(variables.get("DOCKER_TLS_VERIFY"))
    folder = variables.get("DOCKER_CERT_PATH")
    if not verify and not folder:
        return None
    return _tls_of_folder(Path(folder or Path.home() / ".docker"), verify=verify, required=True)


def _tls_of_folder(folder: Path, *, verify: bool, required: bool = False) -> Any:
    files = [folder / name for name in ("cert.pem", "key.pem", "ca.pem")]
    if not all(file.is_file() for file in files):
        if required:
            raise EngineUnavailableError(
                f"no container engine can be asked: {folder} lacks one of cert.pem, key.pem and "
                "ca.pem, which DOCKER_TLS_VERIFY or DOCKER_CERT_PATH ask for"
            )
        return None
    certificate, key, authority = map(str, files)
    return TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=verify)
