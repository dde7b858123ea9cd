"""The images of an engine, by the engine's kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.containers.engines import open_engine
from evaluator.errors import UserError

if TYPE_CHECKING:
    from evaluator.containers.engines import Engine
    from evaluator.zoo.image_store import ImageStore


def image_store(engine: Engine) -> ImageStore:
    """The images of an engine.

    Raises:
        UserError: the engine has no images.
    """
    # imported here, because a run without containers needs no client of an engine
    from evaluator.containers.engines.apptainer_engine import ApptainerDialect
    from evaluator.containers.engines.command_engine import CommandLineEngine
    from evaluator.containers.engines.docker import DockerEngine
    from evaluator.containers.engines.podman_engine import PodmanDialect

    if isinstance(engine, DockerEngine):
        from evaluator.zoo.docker_client import BuildClient

        return BuildClient(engine.client)
    if isinstance(engine, CommandLineEngine):
        from evaluator.zoo.podman_images import PodmanImages
        from evaluator.zoo.sif_images import SifImages

        dialect = engine.dialect
        if isinstance(dialect, PodmanDialect):
            return PodmanImages(dialect)
        if isinstance(dialect, ApptainerDialect):
            return SifImages(dialect.files)
    raise UserError(f"engine {engine.name} has no images; use docker, podman or apptainer")


def open_image_store(engine: str = "auto") -> ImageStore:
    """The images of the engine of this name.

    Raises:
        EngineUnavailableError: no engine answers.
    """
    return image_store(open_engine(engine))
