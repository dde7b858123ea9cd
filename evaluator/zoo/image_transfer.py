"""Images for engines that cannot build: another engine here builds, or another machine."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.engines import open_engine
from evaluator.errors import BuildError, EngineUnavailableError, ManifestError
from evaluator.zoo.cards import dockerfile_labels, parse_card
from evaluator.zoo.dockerfiles import read_dockerfile
from evaluator.zoo.engine_images import image_store, open_image_store
from evaluator.zoo.image_builder import (
    BuiltImage,
    ImageBuildConfig,
    ensure_image,
    find_image,
    open_bundle,
)
from evaluator.zoo.sif_images import NOT_BUILT
from evaluator.zoo.weights import Weights, default_weights

if TYPE_CHECKING:
    from evaluator.zoo.bundles import Bundle
    from evaluator.zoo.catalog import ZooModel
    from evaluator.zoo.image_store import ImageStore

logger = logging.getLogger(__name__)

#: engines that build images, in the order in which they are tried
BUILDERS = ("docker", "podman")


def provide_image(model: ZooModel, config: ImageBuildConfig, store: ImageStore) -> BuiltImage:
    """The model's image in an engine: built there, or built elsewhere and transferred.

    Args:
        model: the model.
        config: weights, flavour, bundle and licences.
        store: images of the engine.

    Raises:
        BuildError: the image does not build, or the engine cannot build and no other one is here.
        ModelFilesError: weights, packages or source are missing or not as pinned.
        ManifestError: the image's labels differ from the Dockerfile's.
    """
    if store.builds or model.image is not None:
        return ensure_image(model, config, store=store)
    builder = _builder()
    if builder is None:
        loaded = _loaded(model, config, store)
        if loaded is None:
            raise BuildError(f"model {model.name}: {NOT_BUILT.format(name=model.name)}")
        return loaded
    built = ensure_image(model, config, store=builder)
    if store.find(built.reference) is None:
        logger.info("converting %s", built.reference)
        _transfer(built, builder, store)
    store.add_tag(built.reference, *name_of(model, config).split(":"))
    return replace(built, digest=store.describe(built.reference).digest)


def locate_image(model: ZooModel, config: ImageBuildConfig, store: ImageStore) -> BuiltImage | None:
    """The image that ``provide_image`` would return, if it exists; nothing is built or copied."""
    if store.builds or model.image is not None:
        return find_image(model, config, store=store)
    builder = _builder()
    if builder is None:
        return _loaded(model, config, store)
    built = find_image(model, config, store=builder)
    if built is None or store.find(built.reference) is None:
        return None
    return replace(built, digest=store.describe(built.reference).digest)


def is_built(model: ZooModel, store: ImageStore | None = None) -> bool:
    """True if an image of the present version of the model exists on this machine.

    The image with published weights; if none are published, the one for mounted weights.

    Args:
        model: the model.
        store: images of an engine; None: of the first engine that answers.

    Raises:
        EngineUnavailableError: no engine answers.
    """
    bundle = None if model.folder else open_bundle(model.name, None, "auto")
    weights = default_weights(bundle.sources if bundle else None)
    return (
        locate_image(model, ImageBuildConfig(weights=weights), store or open_image_store())
        is not None
    )


def name_of(model: ZooModel, config: ImageBuildConfig) -> str:
    """The name and tag of a model's image with these weights, as ``umd models save`` writes it."""
    bundle = _bundle(model, config)
    weights = config.weights if bundle and bundle.sources.has_weights else Weights(kind="none")
    return f"umd/{model.name}:{weights.tag.rstrip('-') or 'latest'}"


def _bundle(model: ZooModel, config: ImageBuildConfig) -> Bundle | None:
    return None if model.folder else open_bundle(model.name, config.bundle, config.flavour)


def _builder() -> ImageStore | None:
    """Images of the first engine here that can build; None if there is none."""
    for name in BUILDERS:
        try:
            return image_store(open_engine(name))
        except EngineUnavailableError:
            continue
    return None


def _transfer(built: BuiltImage, builder: ImageStore, store: ImageStore) -> None:
    folder = paths.cache() / "build"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        archive = Path(temporary) / "image.tar"
        builder.save(built.reference, archive)
        (digest,) = store.load(archive)
    store.add_tag(digest, *built.reference.split(":"))


def _loaded(model: ZooModel, config: ImageBuildConfig, store: ImageStore) -> BuiltImage | None:
    """The image that ``umd models load`` read, if its card is that of the Dockerfile here.

    Raises:
        ManifestError: it is not: the image is of another version of the model.
    """
    name = name_of(model, config)
    digest = store.find(name)
    if digest is None:
        return None
    assert model.dockerfile is not None
    card = parse_card(store.labels(digest), f"image {name}")
    text = read_dockerfile(model.dockerfile)
    bundle = _bundle(model, config)
    weights = config.weights if bundle and bundle.sources.has_weights else Weights(kind="none")
    if model.folder is None and card != parse_card(
        dockerfile_labels(text) | weights.labels, model.dockerfile.name
    ):
        raise ManifestError(
            f"the image {name} was built from another version of "
            f"dockerfiles/{model.dockerfile.name}; save it again on the machine that builds"
        )
    hashes = bundle.known_hashes(weights.parts) if bundle else {}
    return BuiltImage(reference=digest, digest=digest, card=card, weights=hashes)
