"""VIBESegmentator: its resampling and margin beside scipy's and numpy's, files, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from evaluator.zoo import find_model
from tests.zoo.bodies import body
from tests.zoo.models import IdealVibe, load
from zoo_sdk import Unsupported, Volume
from zoo_sdk.weights import WrongWeights
from zoo_sdk.wire import Grid, Target
from zoo_transforms.intensity import Undefined

pipeline = load("vibesegmentator", "pipeline")
labels = load("vibesegmentator", "labels")
settings = load("vibesegmentator", "settings")


def ask(phantom, network, *names, image=None):
    request = replace(phantom.request(), targets=tuple(Target(name) for name in names))
    return pipeline.predict(image or phantom.image, request, network, {}).masks


def test_the_view_is_scipys_spline_in_16_bits_with_a_mirrored_margin():
    """A left-handed grid with three sizes, whose axes the network wants in another order."""
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(19, 12, 15)) * 300 + 500).astype(np.float32)
    affine = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, 3], [0, 0, 3.0, -9], [0, 0, 0, 1]])
    grid = Grid(shape=values.shape, affine=tuple(map(tuple, affine.tolist())))
    request = replace(body("PIR MR").request(), grid=grid)
    spacing = (2.5, 2.0, 1.2)
    view = pipeline.network_values(Volume(values, affine), request, "RAS", spacing)
    # to (R, A, S): second axis, first axis backwards, third; then in reverse order
    turned = values.transpose(1, 0, 2)[:, ::-1].transpose(2, 1, 0)
    ratio = np.array(spacing) / (3.0, 1.5, 2.0)
    shape = tuple(np.rint(np.array(turned.shape) / ratio).astype(int))
    expected = ndimage.affine_transform(
        turned, np.diag(ratio), output_shape=shape, order=3, mode="nearest", output=np.float32
    )
    expected = np.pad(expected.astype(np.float16), 5, mode="reflect")
    assert view.array.shape == expected.shape
    # another order of sums may round a number of 16 bits to its neighbour
    assert np.allclose(view.array, expected, rtol=1e-3, atol=1e-3)
    assert (view.array != expected).mean() < 1e-2
    first = (view.affine @ [5, 5, 5, 1])[:3]
    assert np.allclose(first, (affine @ [18, 0, 0, 1])[:3])


@pytest.mark.parametrize("spacing", [(3.0, 2.0, 2.0), (3.0005, 2.0, 1.9995)])
def test_an_image_of_the_same_spacing_is_not_resampled(spacing):
    values = np.random.default_rng(1).normal(size=(8, 9, 10)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    grid = Grid(shape=values.shape, affine=tuple(map(tuple, affine.tolist())))
    request = replace(body("PIR MR").request(), grid=grid)
    view = pipeline.network_values(Volume(values, affine), request, "", spacing)
    inner = view.array[5:-5, 5:-5, 5:-5]
    assert np.array_equal(inner, values.T.astype(np.float16))


def test_large_intensities_are_scaled_as_upstream_does():
    phantom = body("PIR MR")
    bright = replace(phantom.image, array=phantom.image.array * np.float32(40))
    view = pipeline.network_values(bright, phantom.request(), "RAS", (2.7, 2.0, 2.4))
    assert view.array.max() == pytest.approx(1000, rel=1e-3)
    view = pipeline.network_values(phantom.image, phantom.request(), "RAS", (2.7, 2.0, 2.4))
    assert view.array.max() == pytest.approx(phantom.image.array.max(), rel=1e-3)


def test_the_axes_of_the_file_are_kept_where_training_names_none():
    phantom = body("PIR MR")
    view = pipeline.network_values(phantom.image, phantom.request(), "", (2.0, 2.0, 2.0))
    steps = view.affine[:3, :3] / 2
    directions = phantom.affine[:3, :3] / np.linalg.norm(phantom.affine[:3, :3], axis=0)
    assert np.allclose(steps, directions[:, ::-1], atol=1e-6)


def test_the_table_of_organs_is_that_of_the_labels():
    assert len(labels.NAMES) == 72
    assert set(pipeline.ORGANS) == set(find_model("vibesegmentator").card.targets)
    for organ, values in pipeline.ORGANS.items():
        words = set(organ.split("-"))
        same = [
            number for number, name in enumerate(labels.NAMES, 1) if words <= set(name.split("_"))
        ]
        assert list(values) == same


def test_what_it_lacks_is_unsupported_and_the_intestine_is_no_colon():
    phantom = body("oblique MR")
    masks = ask(phantom, IdealVibe(phantom), "liver", "colon", "brain")
    assert masks["liver"].any()
    assert isinstance(masks["colon"], Unsupported)
    assert isinstance(masks["brain"], Unsupported)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (-7e4, "below -65504")],
)
def test_a_voxel_without_a_number_of_16_bits_is_an_error(value, message):
    phantom = body("PIR MR")
    array = phantom.image.array.copy()
    array[20:26, 20:26, 20:26] = value
    outcomes = ask(
        phantom, IdealVibe(phantom), "liver", "aorta", image=replace(phantom.image, array=array)
    )
    assert all(isinstance(outcome, Undefined) for outcome in outcomes.values())
    assert message in str(outcomes["liver"])


def test_an_image_of_zeros_and_a_single_slice_are_errors():
    phantom = body("PIR MR")
    zeros = replace(phantom.image, array=np.zeros_like(phantom.image.array))
    outcomes = ask(phantom, IdealVibe(phantom), "liver", image=zeros)
    assert "all voxels are zero" in str(outcomes["liver"])
    slices = replace(phantom.image, array=phantom.image.array[:, :1])
    grid = replace(phantom.grid, shape=slices.array.shape)
    request = replace(phantom.request(), grid=grid, targets=(Target("liver"),))
    outcomes = pipeline.predict(slices, request, IdealVibe(phantom), {}).masks
    assert isinstance(outcomes["liver"], Undefined)
    assert "one voxel thick" in str(outcomes["liver"])


def test_axes_and_spacing_are_those_of_the_files_in_upstreams_order():
    assert settings.orientation_of({"orientation": ["R", "A", "S"]}, {}) == "RAS"
    expected = {"model_expected_orientation": ["L", "P", "S"]}
    assert settings.orientation_of({"orientation": "RAS"}, expected) == "LPS"
    assert settings.orientation_of({}, {}) == ""
    plans = {"transpose_backward": [2, 0, 1]}
    planned = (1.0, 2.0, 3.0)
    assert settings.spacing_of({}, {}, plans, planned) == (3.0, 1.0, 2.0)
    assert settings.spacing_of({"spacing": [3, 1.4, 1.5]}, {}, plans, planned) == (3.0, 1.4, 1.5)
    said = {"resolution_range": [1.4, 1.5, 3]}
    assert settings.spacing_of({"spacing": [9, 9, 9]}, said, plans, planned) == (3.0, 1.5, 1.4)


@pytest.mark.parametrize("codes", ["RAX", "RAP", "RA", ["R", "L", "S"], "RASS"])
def test_an_orientation_that_names_no_axes_is_refused(codes):
    with pytest.raises(WrongWeights, match="names no axes"):
        settings.orientation_of({"orientation": codes}, {})


def test_labels_of_another_model_are_refused():
    right = {name: (number,) for number, name in enumerate(labels.NAMES, 1)}
    settings.check_labels(right)
    settings.check_labels({f"other {name}": value for name, value in right.items()})
    settings.check_labels({name: value for name, value in right.items() if name != "rib"})
    with pytest.raises(WrongWeights, match="71 labels"):
        settings.check_labels({name: value for name, value in right.items() if name != "liver"})
    swapped = right | {"kidney_left": (2,), "kidney_right": (3,)}
    with pytest.raises(WrongWeights, match="calls label 3 kidney_right"):
        settings.check_labels(swapped)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "\x00"])
def test_a_file_that_holds_no_table_is_refused(tmp_path, text):
    assert settings.read(tmp_path / "dataset.json") == {}
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(WrongWeights, match=r"dataset\.json"):
        settings.read(tmp_path / "dataset.json")
