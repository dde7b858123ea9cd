"""MRSegmentator's base model: the results folder of the release's archive, opened strictly."""

from __future__ import annotations

from itertools import chain
from typing import Any

from results import Results, device, find_results

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, weights_folder

FOLDER = "base"
#: in the order of their numbers, from 1, as the package's README has them
CLASSES = (
    "spleen", "right_kidney", "left_kidney", "gallbladder", "liver", "stomach", "pancreas",
    "right_adrenal_gland", "left_adrenal_gland", "left_lung", "right_lung", "heart", "aorta",
    "inferior_vena_cava", "portal_vein_and_splenic_vein", "left_iliac_artery", "right_iliac_artery",
    "left_iliac_vena", "right_iliac_vena", "esophagus", "small_bowel", "duodenum", "colon",
    "urinary_bladder", "spine", "sacrum", "left_hip", "right_hip", "left_femur", "right_femur",
    "left_autochthonous_muscle", "right_autochthonous_muscle", "left_iliopsoas_muscle",
    "right_iliopsoas_muscle", "left_gluteus_maximus", "right_gluteus_maximus",
    "left_gluteus_medius", "right_gluteus_medius", "left_gluteus_minimus", "right_gluteus_minimus",
)  # fmt: skip


class MRSegmentator:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        self._results = Results(find_results(weights_folder() / FOLDER), self.device)
        self.labels = {name: (number,) for number, name in enumerate(CLASSES, 1)}
        label_values = sorted(set(chain.from_iterable(self._results.labels.values())))
        if label_values != list(range(1, len(CLASSES) + 1)):
            raise WrongWeights(
                "%s has %d classes; MRSegmentator's base model has %d"
                % (FOLDER, len(label_values), len(CLASSES))
            )
        self.about = self._results.about

    def label_map(self, image: Volume, *, fast: bool) -> Any:
        """All folds with mirroring, steps of half a patch.

        ``fast``, as upstream's command: one fold, steps of four fifths of a patch, no mirroring.
        """
        return self._results.label_map(
            image, mirroring=not fast, folds=1 if fast else None, step=0.8 if fast else 0.5
        )
