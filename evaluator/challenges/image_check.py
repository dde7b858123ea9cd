"""One image of an archive: its configuration, digests and layers against what is promised."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.challenges.image_index import ImageFiles, check_config
from evaluator.challenges.layers import REFUSED, TOLD, Layer
from evaluator.containers.contracts import API_LABEL, CONTRACTS
from evaluator.containers.engines.docker_archive import ImageConfig, parse_config
from evaluator.errors import UserError
from evaluator.plain_text import clean_text
from evaluator.zoo.cards import parse_card
from evaluator.zoo.foreign_cards import DEFAULT_CARDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.challenges.archive_files import ArchiveFiles

#: variables of the environment that change what programs load or which devices they get
TELLING = re.compile(r"(?:LD_|NVIDIA_|CUDA_VISIBLE|PYTHONSTARTUP|[A-Za-z_]*PROXY)", re.IGNORECASE)
ROOT_USERS = re.compile(r"(?:|0+|root)(?::.*)?")
DIGEST = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
#: where a folder can be mounted: not the root, and no folder of the kernel or the evaluator
VOLUME = re.compile(r"(?!/+(?:proc|sys|dev|input|output)(?:/|$))(?:/[\w.+@ -]+)+/?")
MOST_LAYERS, MOST_VOLUMES = 127, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """What an image is, by its archive."""

    config: ImageConfig
    os: str
    #: container contract by its labels; empty: they name none
    contract: str
    layers: int
    #: of the image's layers, bytes
    packed_bytes: int
    unpacked_bytes: int
    entries: int


def inspect_image(
    image: ImageFiles,
    files: ArchiveFiles,
    architectures: tuple[str, ...],
    contract: str | None,
    problems: list[str],
    notes: list[str],
) -> ImageReport | None:
    """Compare an image with what the archive promises of it.

    Args:
        image: its files.
        files: all files of the archive.
        architectures: those that are run here.
        contract: contract of the track, if the image's labels name none.
        problems: gets reasons to refuse the image.
        notes: gets what should be known of it.

    Returns:
        the image; None if its configuration cannot be read.
    """
    name = files.resolve(image.config)
    content = files.documents.get(name)
    if content is None:
        problems.append(f"The configuration {clean_text(image.config, 100)!r} is missing.")
        return None
    digest = hashlib.sha256(content).hexdigest()
    try:
        body = check_config(content)
        config = parse_config(content, f"sha256:{digest}", tuple(map(clean_text, image.tags)))
    except (UserError, ValueError, LookupError, TypeError, AttributeError) as error:
        problems.append(f"The configuration of the image cannot be used: {error}.")
        return None
    _check_digests(image, files, problems)
    layers = _layers(image, files, body, problems)
    _describe_layers(layers, problems, notes)
    system = clean_text(str(body.get("os") or ""), 40)
    _check_platform(config, system, architectures, problems)
    _check_config(config, problems)
    _describe_config(config, body, notes)
    return ImageReport(
        config=config,
        os=system,
        contract=_contract(config, contract, problems, notes),
        layers=len(layers),
        packed_bytes=sum(layer.packed_bytes for layer in layers),
        unpacked_bytes=sum(layer.unpacked_bytes for layer in layers),
        entries=sum(layer.entries for layer in layers),
    )


def _check_digests(image: ImageFiles, files: ArchiveFiles, problems: list[str]) -> None:
    """Compare each file whose name is a digest with its content."""
    for place in (image.config, *image.layers):
        match = DIGEST.search(place)
        actual = files.hashes.get(files.resolve(place))
        if match and actual and match.group(1) != actual:
            problems.append(
                f"The file {clean_text(place, 100)!r} is not what its name says: its sha256 is "
                f"{actual}."
            )


def _layers(
    image: ImageFiles, files: ArchiveFiles, body: Mapping[str, Any], problems: list[str]
) -> list[Layer]:
    """The layers that could be read, in order; what is wrong with the others is told."""
    layers = []
    promised = (body.get("rootfs") or {}).get("diff_ids")
    if not isinstance(promised, list) or len(promised) != len(image.layers):
        problems.append("The configuration does not name as many layers as the archive.")
        promised = []
    if len(image.layers) > MOST_LAYERS:
        problems.append(f"The image has {len(image.layers)} layers; {MOST_LAYERS} are possible.")
    for number, name in enumerate(image.layers, 1):
        layer = files.layers.get(files.resolve(name))
        if layer is None:
            problems.append(f"Layer {number} ({clean_text(name, 100)!r}) is missing.")
        elif layer.fault:
            problems.append(f"Layer {number} {layer.fault}.")
        else:
            layers.append(layer)
            if promised and promised[number - 1] != f"sha256:{layer.diff_id}":
                problems.append(
                    f"Layer {number} is not the one that the configuration names: its content has "
                    f"the sha256 {layer.diff_id}."
                )
    return layers


def _describe_layers(layers: list[Layer], problems: list[str], notes: list[str]) -> None:
    for kinds, sentences in ((REFUSED, problems), (TOLD, notes)):
        for kind, text in kinds.items():
            count = sum(layer.counts.get(kind, 0) for layer in layers)
            if count == 0:
                continue
            examples = [path for layer in layers for path in layer.tricks.get(kind, ())]
            sentences.append(f"The layers have {count} {text}, such as {', '.join(examples[:3])}.")
    if any("rest" in layer.counts for layer in layers):
        notes.append("A layer has further bytes behind its end, which no program reads.")


def _check_platform(
    config: ImageConfig, system: str, architectures: tuple[str, ...], problems: list[str]
) -> None:
    if system != "linux":
        problems.append(f"The image is for the system {system!r}; images for linux are run.")
    if config.architecture not in architectures:
        problems.append(
            f"The image is for {clean_text(config.architecture, 40)!r} processors; here are "
            f"{' and '.join(architectures)}: build it with --platform linux/{architectures[0]}."
        )


def _check_config(config: ImageConfig, problems: list[str]) -> None:
    """Refuse what no engine starts, so that it is not taken for a fault of the host."""
    if len(config.volumes) > MOST_VOLUMES:
        problems.append(
            f"The image declares {len(config.volumes)} volumes; {MOST_VOLUMES} are allowed."
        )
    bad = [path for path in config.volumes if not VOLUME.fullmatch(path) or ".." in path]
    if bad:
        problems.append(
            f"The image declares the volume {clean_text(bad[0], 60)!r}, which is no place for one."
        )
    if any("\0" in word for word in (*config.entrypoint, *config.command)):
        problems.append("ENTRYPOINT or CMD of the image holds a NUL, which no program can get.")


def _describe_config(config: ImageConfig, body: Mapping[str, Any], notes: list[str]) -> None:
    if ROOT_USERS.fullmatch(config.user.strip()):
        notes.append(
            "The image names root as its user; it is run as a user without rights, so it cannot "
            "write to its folders."
        )
    if not config.entrypoint and not config.command:
        notes.append("The image has neither ENTRYPOINT nor CMD, so nothing would be started.")
    if config.volumes:
        names = ", ".join(clean_text(name, 60) for name in config.volumes[:3])
        notes.append(f"The image declares volumes ({names}); an empty folder is mounted there.")
    declared = body.get("config") or {}
    variables = [str(text).partition("=")[0] for text in declared.get("Env") or ()]
    telling = [clean_text(name, 60) for name in variables if TELLING.match(name)]
    if telling:
        notes.append(f"The image sets variables of its environment: {', '.join(telling[:5])}.")
    if declared.get("OnBuild"):
        notes.append("The image has ONBUILD instructions, which are not run.")


def _contract(
    config: ImageConfig, contract: str | None, problems: list[str], notes: list[str]
) -> str:
    """The contract of the image, whose card must be readable under it."""
    labels = config.labels
    label = labels.get("umd.contract", "grand-challenge" if API_LABEL in labels else "")
    chosen = label or contract
    if label and contract and label != contract:
        notes.append(f"Its label names contract {clean_text(label, 40)!r}, not {contract}.")
    if not chosen:
        notes.append("The image has no label umd.contract; the track or the team must name one.")
    elif chosen not in CONTRACTS:
        problems.append(f"The contract {clean_text(chosen, 40)!r} is not known.")
    elif chosen != "grand-challenge":  # its card needs the socket map of the track
        card = {"umd.name": "submission", "umd.title": "submission"} | dict(DEFAULT_CARDS[chosen])
        card |= {key: text for key, text in labels.items() if key.startswith("umd.")}
        try:
            parse_card(card | {"umd.contract": chosen}, "the image")
        except UserError as error:
            problems.append(f"The labels of the image cannot be used: {clean_text(str(error))}.")
    return clean_text(label, 40)
