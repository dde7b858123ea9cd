"""A model's image: found by the hash of what goes into it, or built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator import places
from evaluator.build.bases import Flavour, ensure_base
from evaluator.build.client import BuildClient
from evaluator.build.zoo import BASES, hash_files
from evaluator.cards import parse_card
from evaluator.errors import BadManifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.build.zoo import ZooModel

    Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image on this machine: its tag, and the digest of its content."""

    reference: str
    digest: str


def ensure_image(model: ZooModel, *, say: Say, flavour: Flavour = "auto", client: Any = None) -> BuiltImage:
    """The model's image, built (with the base image under it) unless it is there already.

    The tag is a hash of the Dockerfile, of all that it copies, and of the base image. Raises BuildFailed,
    BadManifest if the image's labels are not the Dockerfile's, EngineUnavailable.
    """
    builder = BuildClient(client)
    text = model.dockerfile.read_text(encoding="utf-8")
    bases = [
        ensure_base(name, builder, say=say, flavour=flavour) for name in BASES if f"umd/{name}" in from_images(text)
    ]
    reference = f"umd/{model.name}:{_content(model, text, bases)[:16]}"
    digest = builder.find(reference)
    if digest is None:
        say(f"building {reference}")
        digest = builder.build(
            places.project(), f"dockerfiles/{model.dockerfile.name}", reference, say=say, what=f"model {model.name}"
        )
    builder.also(reference, f"umd/{model.name}", "latest")
    card = parse_card(builder.labels(reference), f"image {reference}")
    if card != model.card:
        raise BadManifest(
            f"image {reference} has other labels than dockerfiles/{model.dockerfile.name}; "
            "write every umd.* label in the last stage, with plain values"
        )
    return BuiltImage(reference=reference, digest=digest)


def is_built(model: ZooModel, client: Any = None) -> bool:
    """Is an image of the model as it stands now on this machine. Raises EngineUnavailable."""
    builder = BuildClient(client)
    text = model.dockerfile.read_text(encoding="utf-8")
    bases = [builder.find(f"umd/{name}:latest") for name in BASES if f"umd/{name}" in from_images(text)]
    return None not in bases and builder.find(f"umd/{model.name}:{_content(model, text, bases)[:16]}") is not None


def from_images(text: str) -> set[str]:
    """The images that a Dockerfile builds on, without their tags."""
    named = re.findall(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", text, flags=re.MULTILINE | re.IGNORECASE)
    return {name.split("@")[0].removesuffix(":latest") for name in named}


def copied_paths(text: str) -> list[str]:
    """What a Dockerfile copies out of the build context."""
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    lines = re.findall(r"^\s*(?:COPY|ADD)\s+(.+)$", joined, flags=re.MULTILINE | re.IGNORECASE)
    paths = []
    for line in lines:
        parts = [part.strip('[],"') for part in line.split()]
        if any(part.startswith("--from") for part in parts):
            continue
        paths += [part for part in parts if not part.startswith("--")][:-1]
    return paths


def _content(model: ZooModel, text: str, bases: list[str | None] | list[str]) -> str:
    import hashlib

    root = places.project()
    files = sorted({found for path in copied_paths(text) for found in root.glob(path.strip("/"))})
    parts = [hash_files([model.dockerfile, *files], root), *(str(base) for base in bases)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
