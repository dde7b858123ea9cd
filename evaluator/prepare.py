"""A model made ready for an engine: its image, or its adapter where there are no containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.build import ensure_image, local_digest
from evaluator.engines.spec import Model
from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.build import ZooModel
    from evaluator.engines import Engine


def prepare(zoo_model: ZooModel, engine: Engine, say: Callable[[str], None]) -> Model:
    """The model for this engine, built if it has to be. Raises UserError, BuildFailed."""
    card = zoo_model.card
    if engine.isolates:
        from evaluator.engines.docker import DockerEngine

        built = ensure_image(zoo_model, say=say, client=engine.client if isinstance(engine, DockerEngine) else None)
        return Model(card=card, image=built.reference, digest=built.digest, adapter=None)
    if zoo_model.adapter is None:
        raise UserError(f"model {zoo_model.name} has no adapter.py, so that it runs in a container only")
    return Model(card=card, image=None, digest=local_digest(zoo_model), adapter=zoo_model.adapter)
