"""A results folder of random numbers for each modality: two folds, the paper's 13 organs."""

from __future__ import annotations

from pathlib import Path

from random_results import write_results

from zoo_sdk.random_weights import SEED

ORGANS = (
    "liver", "kidney_left", "kidney_right", "brain", "heart", "spleen", "aorta", "lung", "colon",
    "bladder", "pancreas", "esophagus", "stomach",
)  # fmt: skip
#: modality -> the channel's name in dataset.json, reader
MODELS = {
    "CT": ("CT", "SimpleITKIO"),
    "MR": ("MRI", "NibabelIO"),
    "PT": ("PET", "NibabelIOWithReorient"),
}
SPACING = {"small": (6.0, 5.0, 5.0), "full": (2.0, 1.5, 1.5)}


def write(size: str, folder: Path) -> None:
    """Write the folders ``CT``, ``MR`` and ``PT`` with a network of this size."""
    labels = {name: value for value, name in enumerate(ORGANS, 1)}
    for number, (modality, (channel, reader)) in enumerate(MODELS.items(), 1):
        name = "Dataset%03d_Random%s" % (900 + number, modality)
        settings = {"channel": channel, "reader": reader, "spacing": SPACING[size], "folds": 2}
        write_results(folder / modality, size, labels, name=name, seed=SEED + number, **settings)
