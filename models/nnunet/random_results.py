"""A results folder of nnU-Net v2 in the format that training writes, of random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from results import CHECKPOINT, DATASET, PLANS, find_trainer, write_json

CONFIGURATION = "3d_fullres"
#: full: as nnU-Net plans for a GPU of 8 GB; small: for tests
SIZES: Dict[str, Dict[str, Any]] = {
    "full": {"patch": [128, 128, 128], "features": [32, 64, 128, 256, 320, 320], "convolutions": 2},
    "small": {"patch": [32, 32, 32], "features": [4, 8], "convolutions": 1},
}
SCHEMES = {"CT": "CTNormalization"}


def write_results(
    folder: Path,
    size: str,
    labels: Mapping[str, Any],
    *,
    name: str,
    seed: int,
    channel: str = "CT",
    spacing: Sequence[float] = (1.5, 1.5, 1.5),
    reader: str = "SimpleITKIO",
    trainer: str = "nnUNetTrainer",
    folds: int = 1,
    background: float = 0.0,
) -> None:
    """Write a results folder; ``labels`` without the background, ``spacing`` along (z, y, x) in mm.

    ``background``: added to its logit; 0.2 gives it most voxels of a network of 20 to 30 classes.
    """
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    named = {"background": 0, **labels}
    plans = make_plans(size, name, channel, spacing, reader)
    write_json(folder / PLANS, plans)
    dataset = {
        "channel_names": {"0": channel},
        "labels": named,
        "numTraining": 10,
        "file_ending": ".nii.gz",
    }
    write_json(folder / DATASET, dataset)
    mirrored: Tuple[int, ...] | None = None if "NoMirroring" in trainer else (0, 1, 2)
    manager = PlansManager(plans)
    kind = find_trainer(trainer)
    for fold in range(folds):
        (folder / ("fold_%d" % fold)).mkdir()
        module = kind.build_network_architecture(
            manager, manager.get_configuration(CONFIGURATION), 1, len(named), False
        )
        part_among_classes(module, background)
        checkpoint = {
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
            "trainer_name": trainer,
            "inference_allowed_mirroring_axes": mirrored,
        }
        torch.save(checkpoint, folder / ("fold_%d" % fold) / CHECKPOINT)


def part_among_classes(module: Any, background: float) -> None:
    """Give each class a position among the features; a voxel gets the nearest class.

    The features are normal but for the slope below zero. The places are drawn nearer to their
    middle, where the mean of folds and mirrored images lies; the background's is there.
    """
    for head in module.decoder.seg_layers:
        places = 0.2 + 0.5 * torch.nn.functional.leaky_relu(torch.randn(head.weight.shape))
        places[0] = 0.4
        head.weight.data, head.bias.data = places, -0.5 * (places.flatten(1) ** 2).sum(1)
        head.bias.data[0] += background


def make_plans(
    size: str, name: str, channel: str, spacing: Sequence[float], reader: str
) -> Dict[str, Any]:
    """nnU-Net's plan of one configuration."""
    chosen = SIZES[size]
    features, stages = chosen["features"], len(chosen["features"])
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": features,
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            "n_conv_per_stage": [chosen["convolutions"]] * stages,
            "n_conv_per_stage_decoder": [chosen["convolutions"]] * (stages - 1),
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
    resample = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_" + CONFIGURATION,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": chosen["patch"],
        "median_image_size_in_voxels": [200.0, 200.0, 200.0],
        "spacing": list(spacing),
        "normalization_schemes": [SCHEMES.get(channel, "ZScoreNormalization")],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resample,
        "resampling_fn_seg_kwargs": {**resample, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resample, "order": 1},
        "architecture": architecture,
        "batch_dice": True,
    }
    intensities = {
        "max": 3000.0,
        "mean": 80.0,
        "median": 90.0,
        "min": -1024.0,
        "percentile_00_5": -960.0,
    }
    return {
        "dataset_name": name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing),
        "original_median_shape_after_transp": [200, 200, 200],
        "image_reader_writer": reader,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**intensities, "percentile_99_5": 800.0, "std": 140.0}
        },
    }
