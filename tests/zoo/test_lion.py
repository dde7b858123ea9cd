"""LION's pipeline: its resampling beside SimpleITK's, options, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK

from tests.zoo.bodies import body
from tests.zoo.models import IdealLion, load
from zoo_sdk import Unsupported
from zoo_sdk.wire import Target
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import VoxelGrid
from zoo_transforms.splines import respaced_by_spline

pipeline = load("lion", "pipeline")
DEFAULTS = {name: values[0] for name, values in pipeline.OPTIONS.items()}


def ask(phantom, *names, image=None, **options):
    request = replace(phantom.request(), targets=tuple(Target(name) for name in names))
    network = IdealLion(phantom)
    return pipeline.predict(image or phantom.image, request, network, DEFAULTS | options).masks


@pytest.mark.parametrize("millimetres", [(3.0, 3.0, 3.0), (2.0, 4.07, 3.5)])
def test_the_spline_is_simpleitks(millimetres):
    values = np.random.default_rng(0).normal(size=(17, 23, 30)).astype(np.float32)
    affine = np.diag([3.0, 4.07, 4.07, 1.0])
    affine[:3, 3] = 5, -20, 7
    view = respaced_by_spline(values, VoxelGrid(values.shape, affine), millimetres)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((4.07, 4.07, 3.0))
    resampled = SimpleITK.Resample(
        image,
        view.array.shape[::-1],
        SimpleITK.Transform(),
        SimpleITK.sitkBSpline,
        image.GetOrigin(),
        millimetres[::-1],
        image.GetDirection(),
        0.0,
    )
    assert np.allclose(SimpleITK.GetArrayFromImage(resampled), view.array, atol=1e-4)
    assert np.allclose(view.spacing, millimetres)
    assert np.allclose(view.affine[:3, 3], affine[:3, 3])


def test_a_threshold_takes_dark_voxels_off_and_other_targets_are_unsupported():
    phantom = body("PET")
    masks = ask(phantom, "lesion", "liver")
    assert isinstance(masks["liver"], Unsupported)
    assert masks["lesion"].any()
    # half of the lesion has less than SUV 4
    array = phantom.image.array.copy()
    array[phantom.mask("lesion")] = 1.0
    dark = replace(phantom.image, array=array)

    class Fixed(IdealLion):
        def label_map(self, image):
            return np.full(image.array.shape, 11)

    request = replace(phantom.request(), targets=(Target("lesion"),))
    options = DEFAULTS | {"suv": "4"}
    mask = pipeline.predict(dark, request, Fixed(phantom), options).masks["lesion"]
    assert mask.any()
    assert not (mask & phantom.mask("lesion")).any()


def test_an_image_of_one_value_is_an_error():
    phantom = body("PET")
    constant = replace(phantom.image, array=np.full_like(phantom.image.array, 3))
    outcome = ask(phantom, "lesion", image=constant)["lesion"]
    assert isinstance(outcome, Undefined)
    assert "all voxels are equal" in str(outcome)
