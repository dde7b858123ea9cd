"""The results folders of both tracers, as the releases' archives hold them, of random numbers."""

from __future__ import annotations

from pathlib import Path

from pipeline import LABELS
from random_results import write_results

from zoo_sdk.random_weights import SEED

NAMES = {"fdg": "Dataset789_Tumors", "psma": "Dataset711_PSMA"}
SPACING = {"small": (6.0, 6.0, 6.0), "full": (3.0, 3.0, 3.0)}


def write(size: str, folder: Path) -> None:
    """Write a folder for each tracer, with a network of this size."""
    for number, (tracer, label) in enumerate(LABELS.items()):
        labels = {"label_%d" % value: value for value in range(1, label)}
        write_results(
            folder
            / tracer
            / NAMES[tracer]
            / "nnUNetTrainerDA5_2000epochs__nnUNetPlans__3d_fullres",
            size,
            {**labels, "lesion": label},
            name=NAMES[tracer],
            seed=SEED + number,
            channel="PET",
            spacing=SPACING[size],
            trainer="nnUNetTrainerDA5",
        )
