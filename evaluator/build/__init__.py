"""From Dockerfiles to images: the zoo as it stands in the checkout, and each model's image, built when it is not there."""

from evaluator.build.images import BuiltImage, ensure_image, is_built
from evaluator.build.zoo import ZooModel, broken_models, find_model, local_digest, zoo

__all__ = ["BuiltImage", "ZooModel", "broken_models", "ensure_image", "find_model", "is_built", "local_digest", "zoo"]
