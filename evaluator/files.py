"""Files: atomic JSON and bytes, fingerprints, safe names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from evaluator.errors import UserError, write_fault

if TYPE_CHECKING:
    from collections.abc import Mapping


Json = dict[str, Any]


def safe_name(text: str) -> str:
    """The text as a file name: letters, digits, ``._-`` stay, all else is percent-encoded; never hidden, never long."""
    name = quote(text, safe="")
    name = re.sub(r"^\.", "%2E", name)
    return (
        name
        if len(name) <= 120
        else name[:100] + "-" + hashlib.sha256(text.encode()).hexdigest()[:16]
    )


def fingerprint(body: Any) -> str:
    """sha256 of plain JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write JSON that is either whole or not there; NaN is refused. Raises HostError when the disk is full."""
    write_bytes(path, (json.dumps(body, indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there. Raises HostError when the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise write_fault(path, error) from error


def read_json(path: Path) -> Json:
    """Read a JSON object that this module wrote; raises UserError naming a file that is damaged."""
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: {error}; remove the file and run again to make it anew"
        ) from error
    if not isinstance(body, dict):
        raise UserError(
            f"{path} is not a JSON object; remove the file and run again to make it anew"
        )
    return body


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
