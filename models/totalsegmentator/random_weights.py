"""The results folders of both tasks, as the releases' archives hold them, of random numbers."""

from __future__ import annotations

from pathlib import Path

from network import TASKS, datasets
from random_results import write_results
from totalsegmentator import map_tasks_config

from zoo_sdk.random_weights import SEED

#: added to the background's logit of all parts but the first
LATER = 0.2
CHANNELS = {"CT": "CT", "MR": "MRI"}


def write(size: str, folder: Path) -> None:
    """Write a folder for each part, with a network of this size."""
    for modality, (task, names, classes) in TASKS.items():
        trainer = map_tasks_config.TASK_CONFIGS[task]["sub_modes"]["default"]["trainer"]
        for place, number in enumerate(datasets(modality)):
            labels = {organ: label for label, organ in classes[names[number]].items()}
            name = "Dataset%d_Random" % number
            where = folder / str(number) / name / (trainer + "__nnUNetPlans__3d_fullres")
            settings = {
                "channel": CHANNELS[modality],
                "reader": "NibabelIOWithReorient",
                "trainer": trainer,
            }
            # a later part's voxels hide an earlier one's
            background = LATER if place else 0.0
            write_results(
                where,
                size,
                labels,
                name=name,
                seed=SEED + number,
                background=background,
                **settings,
            )
