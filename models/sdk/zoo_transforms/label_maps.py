"""Models without prompts: they answer with one map of labels, of which each target takes those that its name means.

Needs numpy. Labels go by the names that training gave them; whose words are a target's are the target's, in any order
(``right_kidney`` is ``kidney-right``), and an organ that training had in parts is their union, if both sides are there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Mapping, Sequence, Tuple

import numpy as np

from zoo_sdk.adapter import Unsupported
from zoo_transforms.resampling import Space, sample, space_of

if TYPE_CHECKING:
    from zoo_sdk.wire import Grid, Request

#: name of a label -> its values; several for a region, which nnU-Net trains as a union
Labels = Mapping[str, Sequence[int]]

SIDES = frozenset({"left", "right"})
PARTS = SIDES | {"upper", "middle", "lower", "lobe"}
OTHER_WORDS = {
    "l": "left", "r": "right", "lt": "left", "rt": "right", "oesophagus": "esophagus", "lungs": "lung",
    "kidneys": "kidney", "lobes": "lobe",
}  # fmt: skip
#: says nothing: there is no other bladder among these organs but the gallbladder, which is one word
SILENT = frozenset({"urinary"})


def wanted_labels(request: Request, labels: Labels) -> Tuple[Dict[str, Tuple[int, ...]], Dict[str, Any]]:
    """The labels of each target that the model has (target -> values), and why it does not answer the others."""
    wanted: Dict[str, Tuple[int, ...]] = {}
    others: Dict[str, Any] = {}
    for target in request.targets:
        values = values_of(target.name, labels)
        if values:
            wanted[target.name] = values
        else:
            others[target.name] = Unsupported("none of the labels that this model was trained with is %s" % target.name)
    return wanted, others


def values_of(name: str, labels: Labels) -> Tuple[int, ...]:
    """The values of the organ of this name; none if the labels do not have it, or one side of it alone."""
    own = _words(name)
    words = {label: _words(label) for label in labels}
    same = [label for label in labels if words[label] == own]
    parts = [label for label in labels if own < words[label] and words[label] - own <= PARTS]
    if not same and not own & SIDES and frozenset().union(*(words[label] for label in parts)) >= SIDES:
        same = parts
    return tuple(sorted({int(value) for label in same for value in labels[label]}))


def masks_from(label_map: Any, space: Space, grid: Grid, wanted: Mapping[str, Sequence[int]]) -> Dict[str, Any]:
    """Masks on the grid of the answer, by nearest voxel, from a map of labels that lies in a space derived from the image."""
    back = sample(np.asarray(label_map), space.affine, space_of(grid), nearest=True, outside=None)
    masks = {}
    for name, values in wanted.items():
        chosen = np.zeros(int(back.max(initial=0)) + 1, dtype=bool)
        chosen[[value for value in values if value < len(chosen)]] = True
        masks[name] = chosen[back]
    return masks


def _words(name: str) -> FrozenSet[str]:
    found = re.findall(r"[a-z0-9]+", name.lower())
    return frozenset(OTHER_WORDS.get(word, word) for word in found) - SILENT
