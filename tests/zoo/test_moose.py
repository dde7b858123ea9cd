"""MOOSE's pipeline: its resampling beside SimpleITK's, its table of organs, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK

from evaluator.zoo import find_model
from tests.zoo.bodies import body
from tests.zoo.models import IdealMoose, load
from zoo_sdk import Unsupported
from zoo_sdk.wire import Target
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import VoxelGrid
from zoo_transforms.splines import respaced_by_spline

pipeline = load("moose", "pipeline")
labels = load("moose", "labels")


def ask(phantom, network, *names, image=None):
    request = replace(phantom.request(), targets=tuple(Target(name) for name in names))
    return pipeline.predict(image or phantom.image, request, network, {}).masks


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_view_is_simpleitks_in_the_type_of_the_file(dtype):
    """SimpleITK cuts the spline's values to integers in an image of integers."""
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(17, 23, 30)) * 300).astype(dtype)
    affine = np.diag([3.0, 1.3, 1.3, 1.0])
    view = respaced_by_spline(
        values.astype(np.float32), VoxelGrid(values.shape, affine), (1.5, 2.0, 2.0)
    )
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((1.3, 1.3, 3.0))
    resampled = SimpleITK.Resample(
        image,
        view.array.shape[::-1],
        SimpleITK.Transform(),
        SimpleITK.sitkBSpline,
        image.GetOrigin(),
        (2.0, 2.0, 1.5),
        image.GetDirection(),
        0.0,
    )
    expected = SimpleITK.GetArrayFromImage(resampled)
    actual = np.trunc(view.array) if dtype == np.int16 else view.array
    # on a voxel of the file the spline gives its whole number, and the last bit decides
    assert abs(expected - actual).max() <= (1 if dtype == np.int16 else 1e-3)
    assert (abs(expected - actual) > 1e-3).sum() <= 5e-3 * expected.size


def test_integers_stay_integers_and_fractions_stay_fractions():
    phantom = body("oblique LPI CT")
    request = phantom.request("liver")
    whole = replace(phantom.image, array=np.rint(phantom.image.array))
    view = pipeline.network_values(whole, request, (3.0, 2.0, 2.0))
    assert np.array_equal(view.array, np.trunc(view.array))
    fractions = replace(phantom.image, array=whole.array + np.float32(0.25))
    view = pipeline.network_values(fractions, request, (3.0, 2.0, 2.0))
    assert not np.array_equal(view.array, np.trunc(view.array))


def test_each_model_is_asked_once_and_only_for_its_organs():
    phantom = body("LPS CT")
    network = IdealMoose(phantom)
    masks = ask(phantom, network, "liver", "spleen", "aorta", "lesion")
    assert network.models == ["organs", "cardiac"]
    assert isinstance(masks["lesion"], Unsupported)
    assert masks["aorta"].any()


def test_the_table_of_organs_is_that_of_the_labels():
    names_by_model = {model: names for model, (_, names) in labels.MODELS.items()}
    sizes = {model: len(names) for model, names in names_by_model.items()}
    assert sizes == {"organs": 19, "cardiac": 13, "digestive": 4}
    assert set(pipeline.ORGANS) == set(find_model("moose").card.targets)
    for organ, (model, values) in pipeline.ORGANS.items():
        names = [names_by_model[model][value - 1] for value in values]
        words = set(organ.split("-"))
        assert all(words <= set(name.split("_")) for name in names), (organ, names)
        # no label of the organ is left out
        same = [name for name in names_by_model[model] if words <= set(name.split("_"))]
        assert sorted(names) == sorted(same)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_voxel_that_is_not_finite_is_an_error_and_not_an_empty_mask(value):
    phantom = body("LPS CT")
    array = phantom.image.array.copy()
    array[0, 0, 0] = value
    image = replace(phantom.image, array=array)
    outcomes = ask(phantom, IdealMoose(phantom), "liver", "aorta", image=image)
    assert all(isinstance(outcome, Undefined) for outcome in outcomes.values())
    assert "not finite" in str(outcomes["liver"])


def test_an_image_of_zeros_is_an_error():
    phantom = body("LPS CT")
    zeros = replace(phantom.image, array=np.zeros_like(phantom.image.array))
    outcomes = ask(phantom, IdealMoose(phantom), "liver", "aorta", image=zeros)
    assert all(isinstance(outcome, Undefined) for outcome in outcomes.values())
    assert "all voxels are zero" in str(outcomes["liver"])
