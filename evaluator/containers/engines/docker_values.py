"""Plain values as the docker SDK wants them, and the reverse."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from docker.types import DeviceRequest, LogConfig, Mount, Ulimit


def docker_types(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``container_arguments`` with the types that the docker SDK wants."""
    log = arguments["log_config"]
    devices = [DeviceRequest(**request) for request in arguments["device_requests"]]
    typed = {
        "ulimits": [Ulimit(**limit) for limit in arguments["ulimits"]],
        "device_requests": devices or None,
        "mounts": [Mount(**mount) for mount in arguments["mounts"]],
        "log_config": LogConfig(type=LogConfig.types.JSON, config=log) if log else None,
    }
    return arguments | typed


def created_at(container: Any) -> float | None:
    """When a container was created, in seconds since 1970; None if the engine does not tell."""
    try:
        return datetime.fromisoformat(container.attrs["Created"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
