"""The three archives of model 100, unpacked, with random numbers: a fold in each.

The published archives have the size of one fold of nnU-Net's large residual network each: 102.5
million parameters and as many momenta.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import torch
from labels import NAMES
from network import ARCHIVES, TRAINER
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from random_results import CONFIGURATION, make_plans, part_among_classes
from results import CHECKPOINT, DATASET, PLANS, find_trainer, write_json

from zoo_sdk.random_weights import SEED

NAME = "Dataset100_VIBESegmentator"
#: along (z, y, x), mm; the published one is said to be 3 x 1.41 x 1.41
SPACING = {"small": (6.0, 5.0, 5.0), "full": (3.0, 1.40625, 1.40625)}
#: residual blocks of each stage of the encoder
BLOCKS = {"small": [1, 1], "full": [1, 3, 4, 6, 6, 6]}
RESIDUAL = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"


def write(size: str, folder: Path) -> None:
    """Write the folders of the three archives, with a network of this size."""
    labels = {"background": 0, **{name: number for number, name in enumerate(NAMES, 1)}}
    plans = residual_plans(size)
    dataset = {
        "channel_names": {"0": "MRI"},
        "labels": labels,
        "numTraining": 10,
        "file_ending": ".nii.gz",
        "orientation": ["R", "A", "S"],
        "spacing": list(SPACING[size]),
    }
    for fold, archive in enumerate(ARCHIVES):
        results = folder / archive / ("%s__nnUNetResEncUNetLPlans__%s" % (TRAINER, CONFIGURATION))
        (results / ("fold_%d" % fold)).mkdir(parents=True)
        if not fold:
            write_json(results / PLANS, plans)
            write_json(results / DATASET, dataset)
        torch.manual_seed(SEED + 100 + fold)
        checkpoint = random_checkpoint(plans, dataset, fold)
        torch.save(checkpoint, results / ("fold_%d" % fold) / CHECKPOINT)


def residual_plans(size: str) -> Dict[str, Any]:
    """The plans of nnU-Net's residual network."""
    plans = make_plans(size, NAME, "MRI", SPACING[size], "SimpleITKIO")
    architecture = plans["configurations"][CONFIGURATION]["architecture"]
    architecture["network_class_name"] = RESIDUAL
    settings = architecture["arch_kwargs"]
    del settings["n_conv_per_stage"]
    settings["n_blocks_per_stage"] = BLOCKS[size]
    settings["n_conv_per_stage_decoder"] = [1] * (len(BLOCKS[size]) - 1)
    return plans


def random_checkpoint(plans: Dict[str, Any], dataset: Dict[str, Any], fold: int) -> Dict[str, Any]:
    """A fold's checkpoint as training writes it."""
    manager = PlansManager(plans)
    module = find_trainer(TRAINER).build_network_architecture(
        manager, manager.get_configuration(CONFIGURATION), 1, len(dataset["labels"]), False
    )
    part_among_classes(module, 0.0)
    return {
        "network_weights": module.state_dict(),
        "optimizer_state": {},
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 1000,
        "init_args": {
            "plans": plans,
            "configuration": CONFIGURATION,
            "fold": fold,
            "dataset_json": dataset,
        },
        "trainer_name": TRAINER,
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
