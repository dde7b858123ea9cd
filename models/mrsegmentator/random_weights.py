"""The base model's results folder, as the release's archive holds it, of random numbers."""

from __future__ import annotations

from pathlib import Path

from network import CLASSES, FOLDER
from random_results import write_results
from results import write_json

from zoo_sdk.random_weights import SEED

SPACING = {"small": (6.0, 5.0, 5.0), "full": (3.0, 1.5, 1.5)}
#: upstream has five
FOLDS = {"small": 2, "full": 5}


def write(size: str, folder: Path) -> None:
    """Write the folder with a network of this size."""
    labels = {name: number for number, name in enumerate(CLASSES, 1)}
    settings = {"channel": "MRI", "spacing": SPACING[size], "folds": FOLDS[size]}
    write_results(
        folder / FOLDER,
        size,
        labels,
        name="Dataset999_RandomMRSegmentator",
        seed=SEED + 999,
        **settings,
    )
    write_json(folder / FOLDER / "version.json", {"weights_version": 1.2})
