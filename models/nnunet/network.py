"""The mounted nnU-Net models by modality."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from results import Results, device, find_results

from zoo_sdk.weights import weights_folder

#: DICOM modality -> what dataset.json may call it
CHANNELS = {
    "CT": ("ct",),
    "MR": ("mr", "mri", "t1", "t2", "dixon", "vibe"),
    "PT": ("pt", "pet", "suv"),
}


class NnUNet:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        self._models = open_models(weights_folder(), self.device)

    def model(self, modality: str) -> Results | None:
        """The model of a modality, or the one that is for all."""
        return self._models.get(modality)


def open_models(folder: Path, where: object) -> Dict[str, Results]:
    """The models by modality: from the folders ``CT``, ``MR``, ``PT``, or one for its modalities.

    A channel that ``dataset.json`` calls by no modality's name may be any. Raises WrongWeights.
    """
    modalities_with_folder = [modality for modality in CHANNELS if (folder / modality).is_dir()]
    if modalities_with_folder:
        return {
            modality: Results(find_results(folder / modality), where)
            for modality in modalities_with_folder
        }
    only = Results(find_results(folder), where)
    modalities = [modality for modality, names in CHANNELS.items() if only.channel.lower() in names]
    return dict.fromkeys(modalities or CHANNELS, only)
