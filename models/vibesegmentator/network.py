"""VIBESegmentator's model 100: three archives with the folds of one nnU-Net, opened strictly."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
from nnunetv2.inference import predict_from_raw_data
from results import CHECKPOINT, DATASET, PLANS, Results, device, find_results, find_trainer
from scipy.ndimage import gaussian_filter
from settings import check_labels, orientation_of, read, spacing_of

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, weights_folder

#: folders that the three archives are unpacked to; the first has the plans
ARCHIVES = ("100", "100_1", "100_2")
#: may name directions and spacing instead of dataset.json
SETTINGS = "inference_config.json"
#: files of a results folder that are no fold
FILES = (PLANS, DATASET, SETTINGS)
TRAINER = "nnUNetTrainer"

#: the weight of a patch's middle voxel
MIDDLE = 1000.0


@lru_cache(maxsize=2)
def patch_weights(tile_size: Sequence[int], **about: Any) -> Any:
    """The weights of a patch's voxels as upstream makes them: in 16 bits before they are scaled.

    In a patch of 128 voxels weights below 1/500 of the middle's are lost, and get the least that
    is left. nnU-Net scales first, and loses none of these.

    Args:
        tile_size: the patch's shape.
        about: nnU-Net's settings; of these the device and the width, ``sigma_scale``, count.
    """
    middle = np.zeros(tuple(tile_size))
    middle[tuple(size // 2 for size in tile_size)] = 1
    widths = [size * about.get("sigma_scale", 1 / 8) for size in tile_size]
    values = torch.from_numpy(gaussian_filter(middle, widths, mode="constant"))
    weights = values.half().to(about.get("device", "cpu"))
    weights = (weights / weights.max() * MIDDLE).half()
    weights[weights == 0] = weights[weights > 0].min()
    return weights


predict_from_raw_data.compute_gaussian = patch_weights
# upstream builds the network from the plans alone, whichever trainer the checkpoint names
predict_from_raw_data.recursive_find_trainer_class_by_name = lambda _: find_trainer(TRAINER)


class VibeSegmentator:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        with tempfile.TemporaryDirectory() as folder:
            merge_archives(weights_folder(), Path(folder))
            self._results = Results(Path(folder), self.device)
            dataset, plans, settings = (
                read(Path(folder, name)) for name in (DATASET, PLANS, SETTINGS)
            )
        check_labels(self._results.labels)
        self.about: Dict[str, Any] = self._results.about
        self.orientation = orientation_of(dataset, settings)
        self.spacing = spacing_of(dataset, settings, plans, self._results.spacing)

    def label_map(self, image: Volume) -> Any:
        """All folds, steps of half a patch, no mirroring."""
        return self._results.label_map(image, mirroring=False)


def merge_archives(archives: Path, into: Path) -> None:
    """Link the plans of the first archive and the folds of all into one results folder.

    Raises:
        WrongWeights: an archive has no fold, or two have the same one.
    """
    first = find_results(archives / ARCHIVES[0])
    for name in FILES:
        if (first / name).is_file():
            (into / name).symlink_to((first / name).resolve())
    for archive in ARCHIVES:
        folds = folds_of(archives / archive)
        if not folds:
            raise WrongWeights(
                "%s has no fold_*/%s; model 100 is the three archives %s"
                % (archive, CHECKPOINT, ", ".join("%s.zip" % name for name in ARCHIVES))
            )
        for fold in folds:
            if (into / fold.name).exists():
                raise WrongWeights("%s of %s is in another archive, too" % (fold.name, archive))
            (into / fold.name).symlink_to(fold.resolve(), target_is_directory=True)


def folds_of(folder: Path) -> List[Path]:
    """The folders of folds in an unpacked archive, up to two levels down."""
    levels = (sorted(folder.glob("%sfold_*/%s" % (up, CHECKPOINT))) for up in ("", "*/", "*/*/"))
    return [path.parent for path in chain.from_iterable(levels)]
