"""A model folder and a bank of text embeddings as they are published, of random numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch
from network import PATCH, STATE, TEXT_DIMENSIONS, build

from zoo_sdk.random_weights import SEED

#: of each stage; the full ones fit the package's decoder, and are those of nnU-Net's large residual
#: encoder
FEATURES = {"small": [1, 2, 4, 8, 8, 8], "full": [32, 64, 128, 256, 320, 320]}
BLOCKS = {"small": [1] * 6, "full": [1, 3, 4, 6, 6, 6]}
#: the project's names of organs; the README of the published bank names only some of its texts
TEXTS = (
    "liver", "left kidney", "right kidney", "brain", "heart", "spleen", "aorta", "lung", "colon",
    "bladder", "pancreas", "esophagus", "stomach", "lesion",
)  # fmt: skip


def write(size: str, folder: Path) -> None:
    """Write the model folder of a network of this size, and the bank beside it."""
    torch.manual_seed(SEED)
    model = folder / "voxtell_random"
    (model / "fold_0").mkdir(parents=True)
    plans = make_plans(size)
    (model / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    state = {
        STATE: build(plans, size).state_dict(),
        "trainer_name": "VoxTellTrainer",
        "current_epoch": 0,
    }
    torch.save(state, model / "fold_0" / "checkpoint_final.pth")
    vectors = (
        np.random.default_rng(SEED).normal(size=(len(TEXTS), TEXT_DIMENSIONS)).astype(np.float16)
    )
    np.savez(folder / "text_embeddings.npz", labels=np.array(TEXTS), embeddings=vectors)


def make_plans(size: str) -> Dict[str, Any]:
    """The part of nnU-Net's plans that VoxTell reads."""
    architecture = {
        "n_stages": 6,
        "features_per_stage": FEATURES[size],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * 6 if size == "full" else [[1, 1, 1]] + [[3, 3, 3]] * 5,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * 5,
        "n_blocks_per_stage": BLOCKS[size],
        "n_conv_per_stage_decoder": [1] * 5,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    plans = {"arch_kwargs": architecture, "_kw_requires_import": imported}
    return {"configurations": {"3d_fullres": {"patch_size": PATCH, "architecture": plans}}}
