"""What the comparisons with lionz 1.0.7 and moosez 3.2.2 have in common: their steps and calls."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK
import torch

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from zoo_sdk import Volume


class Recorded:
    """Our networks, which keep what they were shown and what they answered."""

    def __init__(self, networks: Any) -> None:
        self._networks = networks

    def model(self, name: str) -> Recorded:
        """A model of the package."""
        self._model = self._networks.model(name)
        self.spacing = self._model.spacing
        return self

    def label_map(self, image: Volume) -> np.ndarray:
        """The labels of an image."""
        self.shown = image
        with contextlib.redirect_stdout(io.StringIO()):
            self.labels = np.asarray(self._model.label_map(image))
        return self.labels


def resampled_by_package(image: SimpleITK.Image, spacing_xyz: Sequence[float]) -> SimpleITK.Image:
    """The image at another spacing, as ``image_processing.py`` resamples an image of one chunk."""
    sizes = zip(image.GetSize(), image.GetSpacing(), spacing_xyz, strict=True)
    return SimpleITK.Resample(
        image,
        [round(count * (size / spacing)) for count, size, spacing in sizes],
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
