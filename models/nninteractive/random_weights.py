"""A model folder as it is published, of random numbers.

The files, the names in them and the full network's 956 arrays are those of nnInteractive_v1.0, but
not the values. The channels of the prompts have large weights and the background is favoured, so a
mask stays near its prompts: noise everywhere would make upstream zoom out and refine forever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import torch
from nnInteractive.trainer.nnInteractiveTrainer import nnInteractiveTrainer_stub
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from zoo_sdk.random_weights import SEED

ARCHITECTURES = "dynamic_network_architectures.architectures"

CONFIGURATION = "3d_fullres_ps192_bs24"
#: image, previous segmentation, and a foreground and a background channel for boxes, points and
#: scribbles
CHANNELS = 8
LOUD, QUIET = 100.0, 4.0
#: the small network is for tests and takes the same patch
SIZES: Dict[str, Dict[str, Any]] = {
    "full": {
        "features_per_stage": [32, 64, 128, 256, 320, 320],
        "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
        "kernel_sizes": [[3, 3, 3]] * 6,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * 5,
    },
    "small": {
        "features_per_stage": [2, 4, 8],
        "n_blocks_per_stage": [1, 1, 1],
        "kernel_sizes": [[1, 1, 1], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [4, 4, 4], [4, 4, 4]],
    },
}


def write(size: str, folder: Path) -> None:
    """Write the model folder of a network of this size."""
    plans = make_plans(SIZES[size])
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    dataset = {
        "channel_names": {"0": "image"},
        "labels": {"background": 0, "object": 1},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    session = {
        "inference_class": "nnInteractiveInferenceSession",
        "point_radius": 4,
        "preferred_scribble_thickness": 2,
    }
    (folder / "inference_session_class.json").write_text(json.dumps(session), encoding="utf-8")
    checkpoint = {
        "network_weights": make_state(plans),
        "trainer_name": "nnInteractiveTrainer_stub",
        "init_args": {"configuration": CONFIGURATION, "fold": 0},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")


def make_state(plans: Dict[str, Any]) -> Dict[str, Any]:
    """The network's arrays."""
    torch.manual_seed(SEED)
    manager = PlansManager(plans)
    module = nnInteractiveTrainer_stub.build_network_architecture(
        manager, manager.get_configuration(CONFIGURATION), CHANNELS, 2, False
    )
    state: Dict[str, Any] = module.state_dict()
    last = max(
        name for name in state if name.startswith("decoder.seg_layers") and name.endswith("bias")
    )
    with torch.no_grad():
        # an array that two modules share has two names
        state["encoder.stem.convs.0.conv.weight"][:, 1:] *= LOUD
        state[last][0] += QUIET
    return state


def make_plans(size: Dict[str, Any]) -> Dict[str, Any]:
    """The part of an nnU-Net plan that inference reads."""
    stages = len(size["strides"])
    architecture = {
        "network_class_name": f"{ARCHITECTURES}.unet.ResidualEncoderUNet",
        "arch_kwargs": {
            "n_stages": stages,
            **size,
            "n_conv_per_stage_decoder": [1] * (stages - 1),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "patch_size": [192, 192, 192],
        "spacing": [1.0, 1.0, 1.0],
        "architecture": architecture,
    }
    return {
        "dataset_name": "Dataset225_nnInteractiveV2",
        "plans_name": "nnUNetResEncUNetLPlans_noResampling",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "configurations": {CONFIGURATION: configuration},
    }
