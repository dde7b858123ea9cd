"""Models that are container images from elsewhere, without a Dockerfile in the project.

``NAME.toml`` in the folder ``paths.user_models()`` names the image by its id, so a tag that moves
cannot change a result, and holds the labels of its model card::

    image = "sha256:0123..."
    reference = "team/segmodel:v3"
    archive = "/data/images/segmodel.tar.gz"

    [labels]
    "umd.contract" = "cvpr25"
    "umd.inputs" = "CT | PT"
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.containers.contracts import CONTRACTS, SOCKETS_LABEL
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.errors import ManifestError, ModelFilesError, UserError
from evaluator.files import write_bytes
from evaluator.zoo.cards import parse_card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.types import ModelCard
    from evaluator.zoo.image_store import ImageDescription, ImageStore

SUFFIX = ".toml"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredImage:
    """An image that the user named."""

    #: the engine's id of the content, "sha256:..."
    digest: str
    #: as the user named it
    reference: str
    #: file of ``docker save``; None: the image came from the engine or a registry
    archive: Path | None
    #: all labels of the card
    labels: Mapping[str, str]


def definition_files() -> list[Path]:
    """The definition files of all registered images, by name."""
    return sorted(paths.user_models().glob(f"*{SUFFIX}"))


def read_definition(path: Path) -> tuple[RegisteredImage, ModelCard]:
    """Read a definition file.

    Raises:
        ManifestError: the file is not as ``add_image`` writes it; the message says what is wrong.
    """
    name = path.name.removesuffix(SUFFIX)
    try:
        body: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    digest, labels = body.get("image"), body.get("labels", {})
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ManifestError(f'{path}: image must be an image id, "sha256:" and 64 digits')
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise ManifestError(f'{path}: [labels] must hold lines such as "umd.inputs" = "CT | PT"')
    archive = body.get("archive")
    image = RegisteredImage(
        digest=digest,
        reference=str(body.get("reference", digest)),
        archive=Path(str(archive)) if archive else None,
        labels=labels,
    )
    return image, parse_card({**labels, "umd.name": name}, str(path))


def add_image(
    name: str,
    source: str,
    builder: ImageStore,
    *,
    contract: str | None = None,
    card: Path | None = None,
    sockets: str | None = None,
    replace: bool = False,
) -> tuple[Path, ImageDescription]:
    """Register an image as a model.

    Args:
        name: name of the model.
        source: reference of an image (``team/segmodel:v3``), or a file written by ``docker save``.
        builder: connection to the engine.
        contract: container contract; None: the image's label ``umd.contract``.
        card: TOML file with values of the card that replace the image's labels.
        sockets: for contract grand-challenge, a file with the socket map, or the name of one of
            ``manifests/sockets``.
        replace: overwrite the definition of another image with this name.

    Returns:
        the definition file, and what the image declares about itself.

    Raises:
        UserError: the image, its contract or its card cannot be used; the message says why.
    """
    if (paths.project() / "dockerfiles" / f"{name}.Dockerfile").exists():
        raise UserError(f"the checkout has a model {name}; choose another name")
    archive = Path(source).expanduser()
    is_file = archive.is_file()
    digest = _load(archive, builder) if is_file else _find(source, builder)
    described = builder.describe(digest)
    chosen = _contract_of(described, source, contract)
    labels = {
        "umd.title": archive.name if is_file else source,
        **DEFAULT_CARDS[chosen],
        **(_socket_labels(sockets) if chosen == "grand-challenge" else {}),
        **{key: text for key, text in described.labels.items() if key.startswith("umd.")},
        **_card_labels(card),
        "umd.contract": chosen,
        "umd.name": name,
    }
    parse_card(labels, f"the image {source}")
    path = paths.user_models() / f"{name}{SUFFIX}"
    if path.exists() and not replace and read_definition(path)[0].digest != digest:
        raise UserError(
            f"{path} names another image ({read_definition(path)[0].digest[:19]}...) than "
            f"{source} now is; choose another name, or add --replace"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _definition(digest, source, archive.resolve() if is_file else None, labels)
    write_bytes(path, text.encode())
    return path, described


def _contract_of(described: ImageDescription, source: str, contract: str | None) -> str:
    """The contract that the user or the image's labels name; raises UserError without one."""
    chosen = contract or described.labels.get("umd.contract", "")
    if not chosen and "org.grand-challenge.api-method" in described.labels:
        chosen = "grand-challenge"
    known = ", ".join(CONTRACTS)
    if not chosen:
        raise UserError(
            f"image {source} has no label umd.contract, so its convention is not known; "
            f"add --contract, one of {known}"
        )
    if chosen not in CONTRACTS:
        raise UserError(f"contract {chosen!r} is not known; contracts are {known}")
    return chosen


def derive_name(source: str) -> str:
    """A model's name for an image: ``team/segmodel:v3`` becomes ``team-segmodel-v3``."""
    stem = Path(source).name if Path(source).expanduser().is_file() else source.split("@")[0]
    stem = re.sub(r"\.(tar|tgz|gz|tar\.gz)$", "", stem.lower())
    return re.sub(r"[^a-z0-9]+", "-", stem.removesuffix(":latest")).strip("-") or "image"


def ensure_registered(image: RegisteredImage, builder: ImageStore) -> str:
    """See that the engine has the image: it is loaded or pulled if necessary; returns its id.

    Raises:
        ModelFilesError: the image cannot be had, or what came is another image.
    """
    if builder.find(image.digest):
        return image.digest
    if image.archive is not None and image.archive.is_file():
        came: str | None = _load(image.archive, builder)
    else:
        builder.pull(image.reference)
        came = builder.find(image.reference)
    if came != image.digest:
        have = f"{image.reference} is now {came}" if came else f"{image.reference} is not there"
        raise ModelFilesError(
            f"the engine does not have image {image.digest}, and {have}; load the image, or "
            "register the new one under another name: umd models add NAME --image REFERENCE"
        )
    return image.digest


def _load(archive: Path, builder: ImageStore) -> str:
    digests = builder.load(archive)
    if len(digests) != 1:
        raise UserError(f"{archive} holds {len(digests)} images; save one image alone")
    return digests[0]


def _find(reference: str, builder: ImageStore) -> str:
    if "/" in reference and reference.endswith((".tar", ".tar.gz", ".tgz")):
        raise UserError(f"{reference} is not a file")
    if not builder.find(reference):
        builder.pull(reference)
    digest = builder.find(reference)
    if digest is None:
        raise UserError(
            f"the engine has no image {reference}, and it cannot be pulled; "
            "load it (docker load -i FILE), or name the file of docker save"
        )
    return digest


def _card_labels(card: Path | None) -> dict[str, str]:
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
        labels[key if key.startswith("umd.") else f"umd.{key}"] = value
    return labels


def _socket_labels(sockets: str | None) -> dict[str, str]:
    """The socket map as a label, and what of the card follows from it."""
    shipped = sorted(path.stem for path in _socket_folder().glob("*.toml"))
    if sockets is None:
        raise UserError(
            "a Grand Challenge algorithm needs --sockets: a TOML file, or one of "
            f"{', '.join(shipped)}"
        )
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
    chosen = parse_sockets(body, str(path))
    targets = sorted({name for socket in chosen.outputs.values() for name in socket.targets})
    has_clicks = any(socket.modality is None for socket in chosen.inputs.values())
    return {
        SOCKETS_LABEL: json.dumps(body),
        "umd.inputs": "+".join(chosen.modalities),
        "umd.prompts": "point" if has_clicks else "",
        "umd.rounds": "many" if has_clicks else "one",
        "umd.targets": "*" if "*" in targets else ",".join(targets),
    }


def _socket_folder() -> Path:
    return paths.project() / "manifests" / "sockets"


def _definition(
    digest: str, reference: str, archive: Path | None, labels: Mapping[str, str]
) -> str:
    lines = [
        "# A model of the UMD evaluator: an image from elsewhere.",
        f"image = {_quote(digest)}",
        f"reference = {_quote(reference)}",
    ]
    if archive:
        lines.append(f"archive = {_quote(str(archive))}")
    lines += ["", "[labels]"]
    lines += [f"{_quote(key)} = {_quote(text)}" for key, text in sorted(labels.items())]
    return "\n".join([*lines, ""])


def _quote(text: str) -> str:
    """A basic string of TOML: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)
