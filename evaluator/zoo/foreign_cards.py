"""Model cards of images of other conventions: usual values, the user's file, a socket map."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.containers.contracts import SOCKETS_LABEL
from evaluator.containers.contracts.sockets import SocketMap, parse_sockets
from evaluator.errors import ManifestError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

CVPR25_CARD = {
    "umd.inputs": "CT | MR | PT",
    "umd.prompts": "point,box,mask",
    "umd.rounds": "many",
    "umd.gpu": "optional",
    "umd.shm": "4GiB",
    # 90 s for a class and case is the challenge's rule; a request may hold many classes
    "umd.timeout": "1800",
}
#: labels that an image of a contract need not have: contract -> label -> value
DEFAULT_CARDS: Mapping[str, Mapping[str, str]] = {
    "1": {},
    "cvpr25": CVPR25_CARD,
    "cvpr25-batch": CVPR25_CARD,
    # the platform's usual limit for a case
    "grand-challenge": {"umd.gpu": "optional", "umd.shm": "2GiB", "umd.timeout": "3600"},
}

#: keys of a card file (docs/contract.md)
CARD_KEYS = (
    "contract", "name", "title", "inputs", "units", "prompts", "targets", "rounds", "session",
    "gpu", "gpu-memory", "memory", "shm", "timeout", "box", "weights", "weights.sha256",
    "weights.license", "uses-image", "options", "texts", "trained-on", "citation", "sockets",
)  # fmt: skip


def card_labels(card: Path | None) -> dict[str, str]:
    """The labels of a card file, whose keys may leave out ``umd.``."""
    if card is None:
        return {}
    try:
        body = tomllib.loads(card.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{card}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{card}: not TOML: {error}") from None
    labels = {}
    for key, value in body.items():
        if not isinstance(value, str):
            raise ManifestError(f'{card}: {key} must be text, such as {key} = "..."')
        if key.removeprefix("umd.") not in CARD_KEYS:
            keys = ", ".join(CARD_KEYS)
            raise ManifestError(f"{card}: {key} is no key of a card; keys are {keys}")
        labels[f"umd.{key.removeprefix('umd.')}"] = value
    return labels


def socket_labels(sockets: str | None) -> dict[str, str]:
    """The socket map as a label, and what of the card follows from it."""
    if sockets is None:
        raise UserError(
            "a Grand Challenge algorithm needs --sockets: a TOML file, or one of "
            f"{', '.join(_shipped())}"
        )
    body, chosen = load_sockets(sockets)
    targets = sorted({name for socket in chosen.outputs.values() for name in socket.targets})
    clicks = [socket for socket in chosen.inputs.values() if socket.modality is None]
    # with clicks an algorithm answers without any, too: its first round has an empty list
    prompts = ["class", "point"] if clicks else []
    if any(socket.scribbles for socket in clicks):
        prompts.append("scribble")
    return {
        SOCKETS_LABEL: json.dumps(body),
        "umd.inputs": "+".join(chosen.modalities),
        "umd.prompts": ",".join(prompts),
        "umd.rounds": "many" if clicks else "one",
        "umd.targets": "*" if "*" in targets else ",".join(targets),
    }


def load_sockets(sockets: str) -> tuple[dict[str, Any], SocketMap]:
    """A socket map: its TOML content, and the map.

    Args:
        sockets: a TOML file, or a name of ``manifests/sockets``.

    Raises:
        UserError: there is no such file.
        ManifestError: it is not a socket map.
    """
    shipped = _shipped()
    path = Path(sockets).expanduser()
    if sockets in shipped:
        path = _socket_folder() / f"{sockets}.toml"
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(
            f"--sockets {sockets}: {error.strerror}; name a TOML file, or one of "
            f"{', '.join(shipped)}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    return body, parse_sockets(body, str(path))


def _shipped() -> list[str]:
    return sorted(path.stem for path in _socket_folder().glob("*.toml"))


def _socket_folder() -> Path:
    return paths.project() / "manifests" / "sockets"
