"""The results folders of the three models, as the releases' archives hold them, random numbers."""

from __future__ import annotations

from pathlib import Path

from labels import MODELS
from random_results import write_results

from zoo_sdk.random_weights import SEED

#: the published plans could not be seen; 1.5 mm is the package's own default
SPACING = {"small": (6.0, 5.0, 5.0), "full": (1.5, 1.5, 1.5)}
TRAINER = "nnUNetTrainer_2000_epochs_DA5NoMirroring"


def write(size: str, folder: Path) -> None:
    """Write a folder for each model, with a network of this size."""
    for number, (name, (dataset, labels)) in enumerate(MODELS.items()):
        write_results(
            folder / name / dataset / (TRAINER + "__nnUNetPlans__3d_fullres"),
            size,
            {label: value for value, label in enumerate(labels, 1)},
            name=dataset,
            seed=SEED + number,
            spacing=SPACING[size],
            trainer=TRAINER,
        )
