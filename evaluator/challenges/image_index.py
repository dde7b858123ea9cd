"""Which images an archive holds: the JSON of ``docker save`` and of the OCI layout, bounded.

Two programs must not read two images from one archive. A JSON object with two equal keys, or keys
that differ in case only, is refused, since Docker (Go) and Python take different ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.errors import UserError
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST, INDEX = "manifest.json", "index.json"
#: images of an archive that are looked at
MOST_IMAGES = 16
#: nested indexes of the OCI layout
MOST_INDEXES = 3
CONFIG_TYPES = ("application/vnd.oci.image.config.v1+json",)
_STRUCTURES = ("config", "rootfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The files of one image in its archive."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]
    #: digests that the OCI manifest promises for config and layers, in hex
    promised: tuple[str, ...] = ()


def load_json(content: bytes, name: str) -> Any:
    """A JSON document in UTF-8 whose objects have no key twice.

    Raises:
        UserError: it is not JSON, is nested too deeply, or has a key twice.
    """
    try:
        text = content.decode("utf-8")  # Python alone would read UTF-16, too
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} cannot be read as JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("an object has the same key twice")
    return body


def check_case(body: Mapping[str, Any], name: str) -> None:
    """See that keys of an object differ in more than their case; raises UserError."""
    if len({key.casefold() for key in body}) != len(body):
        raise UserError(f"{name} has two keys that differ in case only, so it can be read twice")


def docker_images(files: Mapping[str, bytes]) -> list[ImageFiles]:
    """The images of ``manifest.json``; none if the archive has no such file.

    Args:
        files: name -> content of the archive's small files.

    Raises:
        UserError: the file is damaged.
    """
    if MANIFEST not in files:
        return []
    body = load_json(files[MANIFEST], MANIFEST)
    if not isinstance(body, list) or len(body) > MOST_IMAGES:
        raise UserError(f"{MANIFEST} is not a list of at most {MOST_IMAGES} images")
    return [_docker_image(entry) for entry in body]


def _docker_image(entry: Any) -> ImageFiles:
    if not isinstance(entry, dict):
        raise UserError(f"{MANIFEST} holds something that is no image")
    check_case(entry, MANIFEST)
    return ImageFiles(
        config=_text(entry.get("Config"), MANIFEST),
        layers=_texts(entry.get("Layers"), MANIFEST),
        tags=_texts(entry.get("RepoTags"), MANIFEST),
    )


def oci_images(files: Mapping[str, bytes]) -> list[ImageFiles]:
    """The images of ``index.json``; none if the archive has no such file.

    Manifests of attestations, which hold no image, are left out.

    Raises:
        UserError: a file is missing or damaged.
    """
    return _of_index(files, INDEX, MOST_INDEXES) if INDEX in files else []


def _of_index(files: Mapping[str, bytes], name: str, levels: int) -> list[ImageFiles]:
    body = _blob(files, name)
    entries = body.get("manifests")
    if not isinstance(entries, list) or len(entries) > MOST_IMAGES or levels == 0:
        raise UserError(f"{name} is not an index of at most {MOST_IMAGES} images")
    images = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise UserError(f"{name} holds something that is no manifest")
        check_case(entry, name)
        place = _place(entry, name)
        content = _blob(files, place)
        if "manifests" in content:
            images += _of_index(files, place, levels - 1)
        elif not _is_attestation(entry):
            images.append(_oci_image(content, place, _tags(entry)))
    return images[:MOST_IMAGES]


def _oci_image(body: dict[str, Any], name: str, tags: tuple[str, ...]) -> ImageFiles:
    config, layers = body.get("config"), body.get("layers")
    if not isinstance(config, dict) or not isinstance(layers, list):
        raise UserError(f"{name} is not a manifest of an image")
    parts = [config, *layers]
    for part in parts:
        if not isinstance(part, dict):
            raise UserError(f"{name} is not a manifest of an image")
        check_case(part, name)
    places = [_place(part, name) for part in parts]
    return ImageFiles(
        config=places[0],
        layers=tuple(places[1:]),
        tags=tags,
        promised=tuple(place.rpartition("/")[2] for place in places),
    )


def _is_attestation(entry: Mapping[str, Any]) -> bool:
    notes = entry.get("annotations")
    kind = notes.get("vnd.docker.reference.type") if isinstance(notes, dict) else ""
    return kind == "attestation-manifest"


def _tags(entry: Mapping[str, Any]) -> tuple[str, ...]:
    notes = entry.get("annotations")
    names = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
    tags = [notes.get(name) for name in names] if isinstance(notes, dict) else []
    return tuple(clean_text(tag, 200) for tag in tags[:1] if isinstance(tag, str))


def _blob(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        raise UserError(f"{clean_text(name, 100)} is missing, or is no small JSON file")
    body = load_json(files[name], name)
    if not isinstance(body, dict):
        raise UserError(f"{name} is not a JSON object")
    check_case(body, name)
    return body


def _place(part: Mapping[str, Any], name: str) -> str:
    digest = part.get("digest")
    algorithm, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise UserError(f"{name} has a digest that is no sha256")
    return f"blobs/sha256/{value}"


def check_config(content: bytes) -> dict[str, Any]:
    """The configuration of an image; raises UserError if it can be read in two ways."""
    body = load_json(content, "the configuration")
    if not isinstance(body, dict):
        raise UserError("the configuration is not a JSON object")
    check_case(body, "the configuration")
    for name in _STRUCTURES:
        part = body.get(name)
        if part is not None and not isinstance(part, dict):
            raise UserError(f"{name} of the configuration is not a JSON object")
        check_case(part or {}, f"{name} of the configuration")
    for name in ("Labels", "Volumes"):
        part = (body.get("config") or {}).get(name)
        if part is not None and not isinstance(part, dict):
            raise UserError(f"{name} of the configuration is not a JSON object")
    for name in ("Entrypoint", "Cmd", "Env"):
        part = (body.get("config") or {}).get(name)
        if part is not None and not isinstance(part, list):
            raise UserError(f"{name} of the configuration is not a list")
    return body


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise UserError(f"{name} has something else where a file's name belongs")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 1000:
        raise UserError(f"{name} has something else where a list of names belongs")
    return tuple(_text(text, name) for text in value)
