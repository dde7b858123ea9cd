"""Images from elsewhere as models: registered once, loaded or pulled when they are needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.contracts import API_LABEL, CONTRACTS, SOCKETS_LABEL
from evaluator.errors import ModelFilesError, UserError
from evaluator.files import require_utf8
from evaluator.zoo.cards import parse_card
from evaluator.zoo.foreign_cards import DEFAULT_CARDS, card_labels, socket_labels
from evaluator.zoo.image_definitions import (
    SUFFIX,
    RegisteredImage,
    read_definition,
    write_definition,
)
from evaluator.zoo.model_folders import DOCKERFILE
from evaluator.zoo.weights_archive import read_archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.zoo.image_store import ImageDescription, ImageStore

#: what labels of an image begin with that its definition takes over
KEPT_LABELS = ("umd.", API_LABEL)


def add_image(
    name: str,
    source: str,
    builder: ImageStore,
    *,
    contract: str | None = None,
    card: Path | None = None,
    sockets: str | None = None,
    weights: Path | None = None,
    replace: bool = False,
    labels_first: bool = False,
) -> tuple[Path, ImageDescription]:
    """Register an image as a model.

    Args:
        name: name of the model.
        source: reference of an image (``team/segmodel:v3``), or a file written by ``docker save``.
        builder: connection to the engine.
        contract: container contract; None: that of ``card``, else the image's label
            ``umd.contract``.
        card: TOML file with values of the card that replace the image's labels.
        sockets: for contract grand-challenge, a file with the socket map, or the name of one of
            ``manifests/sockets``.
        weights: tar file of weights, for ``/opt/ml/model``.
        replace: overwrite the definition of another image with this name.
        labels_first: ``contract`` and ``sockets`` are for an image whose labels name none.

    Returns:
        the definition file, and what the image declares about itself.

    Raises:
        UserError: the image, its contract or its card cannot be used; the message says why.
    """
    texts = {"the name": name, "--image": source, "--weights-archive": str(weights or "")}
    require_utf8(texts, "the definition of the model could not hold it")
    if (paths.project() / "dockerfiles" / f"{name}.Dockerfile").exists():
        raise UserError(f"the checkout has a model {name}; choose another name")
    if (paths.user_models() / name / DOCKERFILE).exists():
        raise UserError(f"{paths.user_models() / name} is a model; choose another name")
    archive = Path(source).expanduser()
    is_file = archive.is_file()
    digest = _load(archive, builder) if is_file else _find(source, builder)
    described = builder.describe(digest)
    card_values = card_labels(card)
    contract = _stated_contract(contract, card_values)
    if labels_first:
        contract, sockets = _unlabelled(described, contract, sockets)
    chosen = _contract_of(described, source, contract)
    if sockets is not None and chosen != "grand-challenge":
        raise UserError(f"--sockets is for contract grand-challenge; this image has {chosen}")
    labels = {
        "umd.title": archive.name if is_file else source,
        **DEFAULT_CARDS[chosen],
        **{key: text for key, text in described.labels.items() if key.startswith(KEPT_LABELS)},
        **(_sockets_of(described, sockets) if chosen == "grand-challenge" else {}),
        **card_values,
        "umd.contract": chosen,
        "umd.name": name,
    }
    brought = read_archive(weights) if weights else None
    if brought:
        labels |= {"umd.weights": "mounted", "umd.weights.sha256": brought.sha256}
    parse_card(labels, f"the image {source}")
    path = paths.user_models() / f"{name}{SUFFIX}"
    if path.exists() and not replace and read_definition(path)[0].digest != digest:
        raise UserError(
            f"{path} names another image ({read_definition(path)[0].digest[:19]}...) than "
            f"{source} now is; choose another name, or add --replace"
        )
    image = RegisteredImage(
        digest=digest,
        reference=source,
        archive=archive.resolve() if is_file else None,
        labels=labels,
        weights=brought,
    )
    write_definition(path, image)
    return path, described


def _stated_contract(contract: str | None, card_values: Mapping[str, str]) -> str | None:
    """The contract of the option or the card; raises UserError if they contradict each other."""
    of_card = card_values.get("umd.contract")
    if contract and of_card and contract != of_card:
        raise UserError(f"--contract is {contract}, and the card has contract {of_card!r}")
    return contract or of_card


def _unlabelled(
    described: ImageDescription, contract: str | None, sockets: str | None
) -> tuple[str | None, str | None]:
    """Contract and socket map, each None if the image's labels name one."""
    label = described.labels.get("umd.contract", "")
    if label or API_LABEL in described.labels:
        contract = None
    is_algorithm = (contract or label or "grand-challenge") == "grand-challenge"
    brings_map = SOCKETS_LABEL in described.labels
    return contract, sockets if is_algorithm and not brings_map else None


def _contract_of(described: ImageDescription, source: str, contract: str | None) -> str:
    """The contract that the user or the image's labels name; raises UserError without one."""
    chosen = contract or described.labels.get("umd.contract", "")
    if not chosen and API_LABEL in described.labels:
        chosen = "grand-challenge"
    contracts = ", ".join(CONTRACTS)
    if not chosen:
        raise UserError(
            f"image {source} has no label umd.contract, so its convention is not known; "
            f"add --contract, one of {contracts}"
        )
    if chosen not in CONTRACTS:
        raise UserError(f"contract {chosen!r} is not known; contracts are {contracts}")
    return chosen


def _sockets_of(described: ImageDescription, sockets: str | None) -> dict[str, str]:
    """The labels of the socket map that the user names; none if the image brings its own."""
    if sockets is None and SOCKETS_LABEL in described.labels:
        return {}
    return socket_labels(sockets)


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
        if Path(reference).expanduser().is_dir():
            raise UserError(f"{reference} is a folder; name an image, or a file of docker save")
        raise UserError(
            f"there is no file {reference}, the engine has no image of this name, and it cannot be "
            "pulled; load it (docker load -i FILE), or name the file of docker save"
        )
    return digest
