"""A model's image: found by a hash of its build inputs, or built."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import ManifestError, ModelFilesError
from evaluator.zoo.base_images import Flavour, choose_flavour, ensure_base
from evaluator.zoo.build_context import build_context
from evaluator.zoo.build_lock import build_lock
from evaluator.zoo.bundles import Bundle, identity_of
from evaluator.zoo.cards import dockerfile_labels, parse_card
from evaluator.zoo.catalog import BASES, hash_files
from evaluator.zoo.dockerfiles import foreign_images, from_images, read_dockerfile
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.fetching import Fetch, fetch
from evaluator.zoo.model_folders import folder_labels
from evaluator.zoo.registered_images import ensure_registered
from evaluator.zoo.saved_images import is_saved, load_base
from evaluator.zoo.sources import read_sources, sources_path
from evaluator.zoo.weights import Weights
from evaluator.zoo.wheels import ImagePlatform

if TYPE_CHECKING:
    from evaluator.types import ModelCard
    from evaluator.zoo.catalog import ZooModel
    from evaluator.zoo.image_store import ImageStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image on this machine."""

    #: name and tag
    reference: str
    #: the engine's id of the content
    digest: str
    card: ModelCard
    #: sha256 of each file of weights in the image, by name
    weights: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBuildConfig:
    """Options of an image: weights, flavour, and the origin of its files."""

    weights: Weights = Weights(kind="published")  # noqa: RUF009 - frozen
    flavour: Flavour = "auto"
    #: a bundle with all files, which needs no network; None: a bundle in the cache, fetched as
    #: needed
    bundle: Path | None = None
    fetch: Fetch = field(default_factory=Fetch)


def ensure_image(
    model: ZooModel, order: ImageBuildConfig | None = None, *, store: ImageStore | None = None
) -> BuiltImage:
    """The model's image, built with its base image unless it exists.

    The tag is a hash of the Dockerfile, of all files that it copies, of the files that
    sources.toml pins, and of the contents of all images that it builds on. So an image is built
    again when another image was given the name after FROM.

    Args:
        model: the model.
        order: weights, flavour, bundle and licences.
        store: images of an engine; None: of the first engine that answers.

    Raises:
        BuildError: the image does not build.
        ModelFilesError: weights, packages or source are missing or not as pinned.
        ManifestError: the image's labels differ from the Dockerfile's.
        EngineUnavailableError: no engine answers.
    """
    order = order or ImageBuildConfig()
    builder = store or open_image_store()
    if model.image is not None:
        return _registered(model, ensure_registered(model.image, builder))
    assert model.dockerfile is not None
    text = read_dockerfile(model.dockerfile)
    if order.bundle is not None:
        _require_bundle(model, text, order, builder)
    bases = [_base(name, order, builder) for name in BASES if f"umd/{name}" in from_images(text)]
    foreign = foreign_ids(text, builder)
    bases += foreign
    bundle = None if model.folder else open_bundle(model.name, order.bundle, order.flavour)
    weights = order.weights if bundle and bundle.sources.has_weights else Weights(kind="none")
    reference = _reference(model, bases, bundle, weights)
    digest = builder.find(reference)
    logger.debug(f"image {reference} {'exists' if digest else 'does not exist yet'}")
    if digest is None:
        with build_lock(paths.cache() / "locks" / f"{model.name}.lock", f"builds {model.name}"):
            if bundle and order.bundle is None:
                fetch(bundle, order.fetch, weights.parts)
                reference = _reference(model, bases, bundle, weights)
            digest = builder.find(reference) or _build(
                builder, model, reference, bundle, weights, network=order.bundle is None
            )
        # the build may have pulled an image that was not here
        bases = [base for base in bases if base not in foreign] + foreign_ids(text, builder)
        present = _reference(model, bases, bundle, weights)
        if present != reference:
            builder.add_tag(reference, *present.split(":"))
            reference = present
    builder.add_tag(reference, f"umd/{model.name}", weights.tag.rstrip("-") or "latest")
    card = parse_card(builder.labels(reference), f"image {reference}")
    if model.folder is None and card != parse_card(
        dockerfile_labels(text) | weights.labels, model.dockerfile.name
    ):
        raise ManifestError(
            f"the labels of image {reference} differ from dockerfiles/{model.dockerfile.name}; "
            "write every umd.* label in the last stage, with literal values"
        )
    hashes = bundle.known_hashes(weights.parts) if bundle else {}
    return BuiltImage(reference=reference, digest=digest, card=card, weights=hashes)


def _build(
    builder: ImageStore,
    model: ZooModel,
    reference: str,
    bundle: Bundle | None,
    weights: Weights,
    *,
    network: bool,
) -> str:
    logger.info(f"building {reference}")
    assert model.dockerfile is not None
    text = read_dockerfile(model.dockerfile)
    has_argument = re.search(r"^ARG WEIGHTS\b", text, flags=re.MULTILINE)
    if model.folder is not None:
        return builder.build(
            model.folder,
            model.dockerfile.name,
            reference,
            what=f"model {model.name}",
            labels=folder_labels(model.dockerfile),
        )
    with build_context(model.dockerfile, bundle, weights) as folder:
        return builder.build(
            folder,
            "Dockerfile",
            reference,
            what=f"model {model.name}",
            arguments={"WEIGHTS": weights.label} if has_argument else {},
            labels=weights.labels,
            network=network,
        )


def _require_bundle(
    model: ZooModel, text: str, order: ImageBuildConfig, builder: ImageStore
) -> None:
    """Raise ModelFilesError naming all that a bundle lacks, before anything is built."""
    assert order.bundle is not None
    bundle = open_bundle(model.name, order.bundle, order.flavour)
    missing = []
    for name in BASES:
        if f"umd/{name}" not in from_images(text):
            continue
        image = ImagePlatform(flavour=choose_flavour(order.flavour) if name == "torch" else "cpu")
        if not is_saved(order.bundle, name, image) and not builder.find(f"umd/{name}:latest"):
            missing.append(f"base image umd/{name} ({image.name})")
    if bundle:
        missing += bundle.missing(order.weights.parts if bundle.sources.has_weights else ())
    if missing:
        raise ModelFilesError(
            f"the bundle {order.bundle} lacks, for {model.name}: {', '.join(missing)}. "
            f"On a machine with a network: umd models fetch {model.name} --into BUNDLE"
        )


def open_bundle(model: str, root: Path | None, flavour: Flavour) -> Bundle | None:
    """The model's folder in a bundle.

    Args:
        model: name of the model.
        root: folder of the bundle; None for the bundle in the cache.
        flavour: flavour of the image.

    Returns:
        None for a model whose image needs no fetched files.
    """
    sources = read_sources(model)
    if sources is None:
        return None
    image = ImagePlatform(flavour=choose_flavour(flavour) if sources.base == "umd/torch" else "cpu")
    return Bundle(model=model, root=root or paths.cache() / "bundle", sources=sources, image=image)


def find_image(
    model: ZooModel, config: ImageBuildConfig, *, store: ImageStore | None = None
) -> BuiltImage | None:
    """The image that ``ensure_image`` would return, if it exists; nothing is built or fetched.

    Raises:
        EngineUnavailableError: no engine answers.
        ManifestError: the image's labels are wrong.
    """
    builder = store or open_image_store()
    if model.image is not None:
        found = builder.find(model.image.digest)
        return _registered(model, found) if found else None
    assert model.dockerfile is not None
    text = read_dockerfile(model.dockerfile)
    names = [name for name in BASES if f"umd/{name}" in from_images(text)]
    bases = [builder.find(f"umd/{name}:latest") for name in names]
    if None in bases:
        return None
    bundle = None if model.folder else open_bundle(model.name, config.bundle, config.flavour)
    weights = config.weights if bundle and bundle.sources.has_weights else Weights(kind="none")
    inputs = [*map(str, bases), *foreign_ids(text, builder)]
    reference = _reference(model, inputs, bundle, weights)
    digest = builder.find(reference)
    if digest is None:
        return None
    card = parse_card(builder.labels(reference), f"image {reference}")
    hashes = bundle.known_hashes(weights.parts) if bundle else {}
    return BuiltImage(reference=reference, digest=digest, card=card, weights=hashes)


def foreign_ids(text: str, builder: ImageStore) -> list[str]:
    """``NAME=ID`` of every image of others that a Dockerfile builds on; no ID if it is not here."""
    return [f"{name}={builder.find(name) or ''}" for name in foreign_images(text)]


def _registered(model: ZooModel, digest: str) -> BuiltImage:
    """A registered image: nothing is built, and its card is that of its definition file."""
    return BuiltImage(reference=digest, digest=digest, card=model.card, weights={})


def _base(name: str, order: ImageBuildConfig, builder: ImageStore) -> str:
    """The id of the base image: from the bundle if it contains one, else built here."""
    if order.bundle is not None:
        image = ImagePlatform(flavour=choose_flavour(order.flavour) if name == "torch" else "cpu")
        if saved := load_base(order.bundle, name, image, builder):
            return saved
    return ensure_base(name, builder, flavour=order.flavour)


def _reference(model: ZooModel, bases: list[str], bundle: Bundle | None, weights: Weights) -> str:
    files, root = model.build_files
    parts = list(bases)
    if bundle:
        files += [sources_path(model.name), *([bundle.lock] if bundle.lock else [])]
        parts += [weights.label, identity_of(bundle.known_hashes(weights.parts)), bundle.image.name]
    content = hashlib.sha256("\0".join([hash_files(files, root), *parts]).encode()).hexdigest()
    return f"umd/{model.name}:{weights.tag}{content[:16]}"
