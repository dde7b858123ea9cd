"""From Dockerfiles to images: the models of the checkout, their build inputs and images."""

from evaluator.zoo.catalog import ZooModel, broken_models, find_model, local_digest, zoo
from evaluator.zoo.image_builder import (
    BuiltImage,
    ImageBuildConfig,
    ensure_image,
    find_image,
    open_bundle,
)
from evaluator.zoo.image_transfer import is_built, provide_image

__all__ = [
    "BuiltImage",
    "ImageBuildConfig",
    "ZooModel",
    "broken_models",
    "ensure_image",
    "find_image",
    "find_model",
    "is_built",
    "local_digest",
    "open_bundle",
    "provide_image",
    "zoo",
]
