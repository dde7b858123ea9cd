"""Steps that the packages lionz 1.0.7 and moosez 3.2.2 have in common, with the same calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK
import torch

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor


def resampled_by_package(image: SimpleITK.Image, spacing_xyz: Sequence[float]) -> SimpleITK.Image:
    """The image at another spacing, as ``image_processing.py`` resamples an image of one chunk."""
    sizes = zip(image.GetSize(), image.GetSpacing(), spacing_xyz, strict=True)
    return SimpleITK.Resample(
        image,
        [round(count * (size / wanted)) for count, size, wanted in sizes],
        SimpleITK.Transform(),
        SimpleITK.sitkBSpline,
        image.GetOrigin(),
        spacing_xyz,
        image.GetDirection(),
        0.0,
        image.GetPixelIDValue(),
    )


def predicted_by_package(
    predictor: nnUNetPredictor, values: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """The packages' way through nnU-Net: the preprocessor, then the iterator over cases."""
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case_npy(
        values[None],
        None,
        {"spacing": spacing},
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.dataset_json,
    )
    case = {
        "data": torch.from_numpy(np.asarray(data)).contiguous(),
        "data_properties": properties,
        "ofile": None,
    }
    (segmentation,) = predictor.predict_from_data_iterator(
        iter((case,)), num_processes_segmentation_export=1
    )
    return segmentation
