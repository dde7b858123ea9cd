"""A model made ready for an engine: its image with the wanted weights, or its adapter where there are no containers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator.containers.engines.spec import Model
from evaluator.errors import UserError
from evaluator.zoo import ImageBuildConfig, ensure_image, local_digest
from evaluator.zoo.sources import read_sources
from evaluator.zoo.weights import Weights, check_mounted, choose_weights, mounted_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines import Engine
    from evaluator.types import ModelCard
    from evaluator.zoo import ZooModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model ready to run, and which weights it runs with: what to tell, and what makes a run another run."""

    model: Model
    #: the label's word; for mounted weights with a hash of them
    identity: str
    #: sha256 by name
    hashes: Mapping[str, str]


def prepare(
    zoo_model: ZooModel,
    engine: Engine,
    *,
    weights: str = "published",
    order: ImageBuildConfig | None = None,
) -> PreparedModel:
    """The model for this engine, built if it has to be. Raises UserError, ModelPartsError, BuildError."""
    sources = read_sources(zoo_model.name)
    chosen = choose_weights(weights, zoo_model.name, sources)
    mounted = {}
    if chosen.kind == "mounted":
        assert sources is not None
        assert chosen.folder is not None
        mounted = check_mounted(chosen.folder, zoo_model.name, sources)
    if not engine.isolates:
        return PreparedModel(
            model=_local(zoo_model, chosen), identity=_identity(chosen, mounted), hashes=mounted
        )
    from evaluator.containers.engines.docker import DockerEngine

    client = engine.client if isinstance(engine, DockerEngine) else None
    wanted = replace(order or ImageBuildConfig(), weights=chosen)
    built = ensure_image(zoo_model, wanted, client=client)
    model = Model(
        card=built.card,
        image=built.reference,
        digest=built.digest,
        adapter=None,
        weights=chosen.folder,
    )
    return PreparedModel(
        model=model, identity=_identity(chosen, mounted), hashes=mounted or built.weights
    )


def _identity(weights: Weights, mounted: Mapping[str, str]) -> str:
    return mounted_identity(dict(mounted)) if mounted else weights.label


def _local(zoo_model: ZooModel, weights: Weights) -> Model:
    if zoo_model.adapter is None:
        raise UserError(
            f"model {zoo_model.name} has no adapter.py, so that it runs in a container only"
        )
    if weights.kind in ("published", "random"):
        raise UserError(
            f"without a container, {zoo_model.name} needs --weights FOLDER; umd models fetch {zoo_model.name} --into BUNDLE "
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
        weights=weights.folder,
    )
