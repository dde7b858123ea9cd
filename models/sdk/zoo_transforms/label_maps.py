"""Models without prompts: they answer with one label map, of which each target takes its labels.

Labels have the names that they had in training. A label is a target's if it has the same words in
any order (``right_kidney`` is ``kidney-right``). An organ that was trained in parts is their union,
if both sides are there. Needs numpy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Mapping, Sequence, Set, Tuple

import numpy as np

from zoo_sdk.adapter import Unsupported
from zoo_transforms.resampling import VoxelGrid, sample, voxel_grid_of

if TYPE_CHECKING:
    from zoo_sdk.wire import Grid, Request

#: name of a label -> its values; several for a region, which nnU-Net trains as a union
Labels = Mapping[str, Sequence[int]]

SIDES = frozenset({"left", "right"})
PARTS = SIDES | {"upper", "middle", "lower", "lobe"}
SYNONYMS = {
    "l": "left",
    "r": "right",
    "lt": "left",
    "rt": "right",
    "oesophagus": "esophagus",
    "lungs": "lung",
    "kidneys": "kidney",
    "lobes": "lobe",
}
#: carries no information: the only other bladder here is the gallbladder, which is one word
IGNORED = frozenset({"urinary"})


def labels_of_targets(
    request: Request, labels: Labels
) -> Tuple[Dict[str, Tuple[int, ...]], Dict[str, Any]]:
    """The labels of each target that the model has, and the outcome of the other targets.

    Returns:
        Target -> label values, and target -> Unsupported with the reason.
    """
    values_by_target: Dict[str, Tuple[int, ...]] = {}
    unsupported: Dict[str, Any] = {}
    for target in request.targets:
        values = values_of(target.name, labels)
        if values:
            values_by_target[target.name] = values
        else:
            unsupported[target.name] = Unsupported(
                "none of the labels that this model was trained with is %s" % target.name
            )
    return values_by_target, unsupported


def values_of(name: str, labels: Labels) -> Tuple[int, ...]:
    """The label values of an organ; none if the labels lack it, or have one side of it only."""
    organ = _words(name)
    words = {label: _words(label) for label in labels}
    chosen = [label for label in labels if words[label] == organ]
    if not chosen and not organ & SIDES:
        parts = [
            label for label in labels if organ < words[label] and words[label] - organ <= PARTS
        ]
        words_of_parts = frozenset().union(*(words[label] for label in parts))
        chosen = parts if words_of_parts >= SIDES else []
    values: Set[int] = set()
    for label in chosen:
        values.update(int(value) for value in labels[label])
    return tuple(sorted(values))


def masks_from(
    label_map: Any, map_grid: VoxelGrid, grid: Grid, labels: Mapping[str, Sequence[int]]
) -> Dict[str, Any]:
    """Masks on the grid of the answer, by nearest voxel, from a label map on a derived grid.

    Args:
        label_map: label of each voxel, of the shape of ``map_grid``.
        map_grid: a grid derived from the image's.
        grid: the grid of the answer.
        labels: target -> its label values.

    Returns:
        Target -> bool array of the shape of ``grid``.
    """
    on_grid = sample(
        np.asarray(label_map), map_grid.affine, voxel_grid_of(grid), nearest=True, outside=None
    )
    masks = {}
    for name, values in labels.items():
        chosen = np.zeros(int(on_grid.max(initial=0)) + 1, dtype=bool)
        chosen[[value for value in values if value < len(chosen)]] = True
        masks[name] = chosen[on_grid]
    return masks


def _words(name: str) -> FrozenSet[str]:
    words = re.findall(r"[a-z0-9]+", name.lower())
    return frozenset(SYNONYMS.get(word, word) for word in words) - IGNORED
