"""A results folder of nnU-Net v2, opened strictly by nnU-Net's predictor.

    plans.json  dataset.json  fold_0/checkpoint_final.pth  fold_1/checkpoint_final.pth ...

Preprocessing, sliding window, mirroring, the mean over folds and the way back are all nnU-Net's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import torch
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import WrongWeights, load_strictly

PLANS, DATASET, CHECKPOINT = "plans.json", "dataset.json", "checkpoint_final.pth"
#: nnU-Net's reader -> how it turns a file's axes before it takes them in reverse order
READERS = {
    "SimpleITKIO": "stored",
    "SimpleITKIOWithReorient": "ras",
    "NibabelIO": "stored",
    "NibabelIOWithReorient": "ras",
}
#: trainers that packages put into nnU-Net -> the one whose network and preprocessing they have
TRAINERS = {
    "nnUNetTrainerDA5_2000epochs": "nnUNetTrainerDA5",
    "nnUNetTrainer_2000_epochs_DA5NoMirroring": "nnUNetTrainerDA5",
}
#: label maps that are kept: a volume's own and the one before
MAPS = 2


class Results:
    """One trained model."""

    def __init__(self, folder: Path, device: Any) -> None:
        for name in (PLANS, DATASET):
            if not (folder / name).is_file():
                raise WrongWeights(
                    "%s is not a results folder of nnU-Net v2: it has no %s" % (folder, name)
                )
        self.folder = folder
        self._predictor = nnUNetPredictor(device=device, allow_tqdm=False)
        folds = folds_in(folder)
        try:
            self._predictor.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
        except (
            RuntimeError,
            OSError,
            KeyError,
            ValueError,
            TypeError,
            EOFError,
            AttributeError,
            AssertionError,
        ) as error:
            raise WrongWeights(
                "%s cannot be opened by nnU-Net: %s" % (folder, str(error)[:600])
            ) from error
        self._folds = list(zip(folds, self._predictor.list_of_parameters))
        for fold, state in self._folds:
            load_strictly(self._predictor.network, state, "fold_%s/%s" % (fold, CHECKPOINT))
        self._check()
        self._maps = Recent(MAPS)

    def _check(self) -> None:
        dataset, stage = (
            self._predictor.dataset_json,
            self._predictor.configuration_manager.previous_stage_name,
        )
        channels = dataset.get("channel_names", dataset.get("modality", {}))
        if len(channels) != 1:
            raise WrongWeights(
                "%s was trained on %d channels (%s); a request has one image"
                % (self.folder, len(channels), ", ".join(map(str, channels.values())))
            )
        if stage is not None:
            raise WrongWeights(
                "%s is the second stage of a cascade; give the results of %s" % (self.folder, stage)
            )
        if self.reader not in READERS:
            raise WrongWeights(
                "%s was trained on files of %s, which are not medical volumes"
                % (self.folder, self.reader)
            )

    @property
    def reader(self) -> str:
        """The class that read the training's images."""
        return str(self._predictor.plans_manager.plans.get("image_reader_writer"))

    @property
    def orientation(self) -> str:
        """``stored`` or ``ras``: which way the axes go that training took in reverse order."""
        return READERS[self.reader]

    @property
    def channel(self) -> str:
        """What ``dataset.json`` calls the image."""
        dataset = self._predictor.dataset_json
        return str(next(iter(dataset.get("channel_names", dataset.get("modality", {})).values())))

    @property
    def labels(self) -> Dict[str, Tuple[int, ...]]:
        """Name -> values; several for a region."""
        named = self._predictor.dataset_json["labels"]
        values = {
            name: tuple(value) if isinstance(value, (list, tuple)) else (value,)
            for name, value in named.items()
        }
        return {
            name: value for name, value in values.items() if name not in ("background", "ignore")
        }

    @property
    def spacing(self) -> Tuple[float, ...]:
        """The voxel size that the network works at, along (z, y, x), mm."""
        return tuple(float(size) for size in self._predictor.configuration_manager.spacing)

    @property
    def about(self) -> Dict[str, Any]:
        """The model as a reply's notes describe it."""
        plans = self._predictor.plans_manager
        return {
            "trainer": self._predictor.trainer_name,
            "plans": plans.plans_name,
            "dataset": plans.dataset_name,
            "folds": [str(fold) for fold, _ in self._folds],
            "reader": self.reader,
        }

    def label_map(
        self, image: Volume, *, mirroring: bool = True, folds: int | None = None, step: float = 0.5
    ) -> Any:
        """The labels of an image whose axes are those of training, (z, y, x).

        Args:
            image: the volume.
            mirroring: predict on mirrored images, too, and average.
            folds: how many folds to use; None for all.
            step: distance between patches, as a fraction of a patch.
        """
        values = np.ascontiguousarray(image.array, dtype=np.float32)
        # headers store voxel sizes in 32 bits
        spacing = [float(np.float32(size)) for size in image.spacing]
        shown = hashlib.blake2b(values, digest_size=16).hexdigest(), values.shape
        key = (shown, tuple(spacing), mirroring, folds, step)
        return self._maps.get(key, lambda: self._predict(values, spacing, mirroring, folds, step))

    def _predict(
        self, values: Any, spacing: Any, mirroring: bool, folds: int | None, step: float
    ) -> Any:
        self._predictor.use_mirroring, self._predictor.tile_step_size = mirroring, step
        self._predictor.list_of_parameters = [state for _, state in self._folds[:folds]]
        return self._predictor.predict_single_npy_array(values[None], {"spacing": spacing})


def find_trainer(name: str) -> Any:
    """nnU-Net's trainer class, which builds the network. Raises RuntimeError for an unknown one.

    nnU-Net's search stops at the first module whose package is missing (timm), even if another
    trainer needs it.
    """
    name = TRAINERS.get(name, name)
    trainers = importlib.import_module("nnunetv2.training.nnUNetTrainer")
    skipped_modules = []
    for module in pkgutil.walk_packages(trainers.__path__, trainers.__name__ + "."):
        if module.ispkg:
            continue
        try:
            kind = getattr(importlib.import_module(module.name), name, None)
        except ImportError as error:
            skipped_modules.append("%s (needs %s)" % (module.name.rpartition(".")[2], error.name))
            continue
        if isinstance(kind, type):
            return kind
    skipped = "; not searched: " + ", ".join(skipped_modules) if skipped_modules else ""
    raise RuntimeError("nnunetv2 has no trainer %s%s" % (name, skipped))


#: where nnU-Net's predictor looks for it
predict_from_raw_data.recursive_find_trainer_class_by_name = find_trainer


def folds_in(folder: Path) -> Tuple[Any, ...]:
    """Every fold with a finished training; ``all`` if it is the only one. Raises WrongWeights."""
    names = sorted(path.parent.name[len("fold_") :] for path in folder.glob("fold_*/" + CHECKPOINT))
    numbers = tuple(sorted(int(name) for name in names if name.isdigit()))
    if numbers or "all" in names:
        return numbers or ("all",)
    raise WrongWeights(
        "%s has no fold_*/%s; only finished trainings are used" % (folder, CHECKPOINT)
    )


def find_results(folder: Path) -> Path:
    """The only results folder in a folder: itself, or up to two levels down as in an export.

    Raises WrongWeights for none or several.
    """
    plans = chain.from_iterable(sorted(folder.glob(level + PLANS)) for level in ("", "*/", "*/*/"))
    folders = [path.parent for path in plans]
    if len(folders) != 1:
        paths = ", ".join(str(results.relative_to(folder)) for results in folders) or "none"
        raise WrongWeights(
            "%s must hold one results folder of nnU-Net v2 (with %s, %s and fold_*/%s); it holds %s"
            % (folder, PLANS, DATASET, CHECKPOINT, paths)
        )
    return folders[0]


def device() -> Any:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_json(path: Path, content: Any) -> None:
    """One file of a results folder."""
    path.write_text(json.dumps(content, indent=4), encoding="utf-8")
