"""NV-Segment-CTMR's pipeline from an image and classes to masks: VISTA3D's with other settings.

It follows the bundle NV-Segment-CTMR (NVIDIA-Medtech/NV-Segment-CTMR at c46f994,
``configs/inference.json`` and ``scripts/``): VISTA3D's automatic branch (``class_masks.py``), with
percentiles 1 and 99 of the box on every modality and windows of 192 x 192 x 128 voxels. Upstream
trained no clicks, so there are none.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Dict, List, Mapping, Tuple

from class_masks import OF_THE_BOX, ClassMasks, ClassNetwork, Memory
from ctmr_labels import ON_MR, ON_MR_ALONE, everything, numbers

from zoo_sdk import Prediction, Request, Seconds, Target, Unsupported, Volume, each_target
from zoo_transforms.resampling import VoxelGrid, put_back

EDGES = (192, 192, 128)
OPTIONS = {"overlaps": ("kept", "argmax", "everything")}
#: what ``overlaps`` means, for the notes
COMPETITORS = {
    "kept": "none: each class by itself, as upstream answers one class",
    "argmax": "the classes of the request",
    "everything": "upstream's classes of 'everything' of this modality",
}


def predict(
    image: Volume,
    request: Request,
    network: ClassNetwork,
    options: Mapping[str, str],
    memory: Memory | None = None,
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds, modality = Seconds(), next(iter(request.images))
    classes = {target.name: classes_of(target, modality) for target in request.targets}
    notes: Dict[str, Any] = {
        "options": dict(options),
        "competitors": COMPETITORS[options["overlaps"]],
        "intensity": OF_THE_BOX,
        "classes": {name: list(ids) for name, ids in classes.items() if ids},
    }
    if untrained := untrained_on(modality, classes):
        notes["classes_not_trained_on_" + modality] = untrained
    masks = ClassMasks(
        image,
        network,
        memory or Memory(),
        scale=OF_THE_BOX,
        edges=EDGES,
        requested=chain.from_iterable(classes.values()),
        everything=everything(modality),
    )

    def segment(target: Target) -> Any:
        ids = classes[target.name]
        if not ids:
            return Unsupported("is none of NV-Segment-CTMR's classes of the body")
        with seconds.of("preprocess"):
            view = masks.view()
        with seconds.of("infer"):
            mask = masks.mask(ids, options["overlaps"])
        with seconds.of("postprocess"):
            return put_back(mask, VoxelGrid(mask.shape, view.affine), request.grid)

    return Prediction(each_target(request, segment), notes=notes, seconds=seconds)


def classes_of(target: Target, modality: str) -> Tuple[int, ...]:
    """The classes that the text means; the target's name, which is not a prompt, if it has none."""
    return numbers(target.text or target.name, modality)


def untrained_on(modality: str, classes: Mapping[str, Tuple[int, ...]]) -> List[str]:
    """Targets with a class that was not trained on images of this modality."""

    def trained(number: int) -> bool:
        if modality == "MR":
            return number in ON_MR
        return modality == "CT" and number not in ON_MR_ALONE

    return [name for name, ids in classes.items() if not all(map(trained, ids))]
