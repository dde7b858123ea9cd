"""Prepare a model for an engine: its image with the chosen weights, or its adapter without one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator.containers import is_server
from evaluator.containers.contracts import contract_of
from evaluator.containers.engines.spec import Model
from evaluator.errors import UserError
from evaluator.zoo import BuiltImage, ImageBuildConfig, local_digest
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.engine_images import image_store
from evaluator.zoo.image_transfer import locate_image, provide_image
from evaluator.zoo.sources import read_sources
from evaluator.zoo.weights import Weights, check_mounted, choose_weights, mounted_identity
from evaluator.zoo.weights_archive import ensure_unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines import Engine
    from evaluator.types import ModelCard
    from evaluator.zoo import ZooModel
    from evaluator.zoo.image_store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model ready to run, and its weights.

    Runs of one model with different weights are different runs; ``identity`` distinguishes them.
    """

    model: Model
    #: the value of the label ``umd.weights``; for mounted weights, with a hash of the files
    identity: str
    #: sha256 of each file of weights, by name
    hashes: Mapping[str, str]


def prepare(
    zoo_model: ZooModel,
    engine: Engine,
    *,
    weights: str = "published",
    config: ImageBuildConfig | None = None,
) -> PreparedModel:
    """Prepare a model for this engine; its image is built if necessary.

    Args:
        zoo_model: the model.
        engine: the engine that will run it.
        weights: "published", "random", "random:small", "random:full", or a folder to mount.
        config: bundle, flavour and licences for the build; its ``weights`` are replaced.

    Raises:
        UserError: the choice of weights does not fit the model or the engine.
        ModelFilesError: weights, packages or source are missing or not as pinned.
        BuildError: the image does not build.
    """
    chosen, mounted = _weights(zoo_model, weights)
    if not engine.isolates:
        return _prepared_local(zoo_model, chosen, mounted)
    if zoo_model.image and zoo_model.image.weights:
        ensure_unpacked(zoo_model.image.weights)
    order, store = replace(config or ImageBuildConfig(), weights=chosen), image_store(engine)
    built = provide_image(zoo_model, order, store)
    relay_image = _relay_image(built.card, engine, store)
    return _prepared_image(built, chosen, mounted, relay_image)


def _relay_image(card: ModelCard, engine: Engine, store: ImageStore) -> str | None:
    """The image of the relay to a server; None for a model that is none.

    Raises:
        UserError: the engine cannot reach a server.
    """
    if not is_server(card):
        return None
    if not store.builds:
        raise UserError(
            f"model {card.name} is a server, which engine {engine.name} cannot reach without "
            "giving it a network; use --engine docker or podman"
        )
    return ensure_base("base", store)


def find_prepared(
    zoo_model: ZooModel, engine: Engine, *, weights: str = "published"
) -> PreparedModel | None:
    """Like ``prepare``, but nothing is built: None if the image does not exist."""
    chosen, mounted = _weights(zoo_model, weights)
    if not engine.isolates:
        return _prepared_local(zoo_model, chosen, mounted)
    built = locate_image(zoo_model, ImageBuildConfig(weights=chosen), image_store(engine))
    return _prepared_image(built, chosen, mounted, None) if built else None


def _weights(zoo_model: ZooModel, weights: str) -> tuple[Weights, dict[str, str]]:
    """The weights, and the sha256 of each mounted file, or of the archive that they come from."""
    archive = zoo_model.image.weights if zoo_model.image else None
    if archive and weights == "published":
        chosen = Weights(kind="mounted", folder=archive.folder)
        return chosen, {archive.path.name: archive.sha256}
    sources = read_sources(zoo_model.name)
    chosen = choose_weights(weights, zoo_model.name, sources)
    if chosen.kind != "mounted":
        return chosen, {}
    assert sources is not None
    assert chosen.folder is not None
    return chosen, check_mounted(chosen.folder, zoo_model.name, sources)


def _prepared_image(
    built: BuiltImage, weights: Weights, mounted: Mapping[str, str], relay_image: str | None
) -> PreparedModel:
    model = Model(
        card=built.card,
        image=built.reference,
        digest=built.digest,
        adapter=None,
        weights=weights.folder,
        layout=contract_of(built.card).layout,
        relay_image=relay_image,
    )
    return PreparedModel(
        model=model, identity=_identity(weights, mounted), hashes=mounted or built.weights
    )


def _prepared_local(
    zoo_model: ZooModel, weights: Weights, mounted: Mapping[str, str]
) -> PreparedModel:
    return PreparedModel(
        model=_local(zoo_model, weights), identity=_identity(weights, mounted), hashes=mounted
    )


def _identity(weights: Weights, mounted: Mapping[str, str]) -> str:
    return mounted_identity(dict(mounted)) if mounted else weights.label


def _local(zoo_model: ZooModel, weights: Weights) -> Model:
    if zoo_model.adapter is None:
        raise UserError(
            f"model {zoo_model.name} has no adapter.py, so it can only run in a container"
        )
    if weights.kind in ("published", "random"):
        raise UserError(
            f"without a container, {zoo_model.name} needs --weights FOLDER; "
            f"umd models fetch {zoo_model.name} --into BUNDLE "
            f"makes one: BUNDLE/{zoo_model.name}/weights"
        )
    card: ModelCard = replace(
        zoo_model.card, weights=weights.label, labels=dict(zoo_model.card.labels) | weights.labels
    )
    return Model(
        card=card,
        image=None,
        digest=local_digest(zoo_model),
        adapter=zoo_model.adapter,
        modules=zoo_model.modules,
        weights=weights.folder,
    )
