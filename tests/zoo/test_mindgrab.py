"""MindGrab's pipeline: where the box lies, its intensities, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.zoo.bodies import body
from tests.zoo.models import IdealMindGrab, load
from zoo_sdk import Unsupported
from zoo_sdk.wire import Target
from zoo_transforms.resampling import VoxelGrid

pipeline = load("mindgrab", "pipeline")
DEFAULTS = {name: values[0] for name, values in pipeline.OPTIONS.items()}


@pytest.fixture
def published_size(monkeypatch):
    """The box of the published network; tests of all models have a coarser one."""
    source = Path(pipeline.__file__).read_text()
    assert "EDGE, SIZE = 256, 1.0" in source
    monkeypatch.setattr(pipeline, "EDGE", 256)
    monkeypatch.setattr(pipeline, "SIZE", 1.0)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(pipeline, "EDGE", 128)
    monkeypatch.setattr(pipeline, "SIZE", 2.0)


def ask(phantom, network, *names, image=None, **options):
    request = replace(phantom.request(), targets=tuple(Target(name) for name in names))
    return pipeline.predict(image or phantom.image, request, network, DEFAULTS | options)


def test_other_targets_are_unsupported():
    phantom = body("oblique PET")
    masks = ask(phantom, IdealMindGrab(phantom), "liver", "brain").masks
    assert isinstance(masks["liver"], Unsupported)
    assert masks["brain"].any()


def test_an_image_that_is_constant_or_shows_no_brain_gets_an_empty_mask_and_a_reason():
    phantom = body("PET")

    class Blind:
        def is_brain(self, head):
            return np.zeros(head.array.shape, dtype=bool)

    constant = replace(phantom.image, array=np.full_like(phantom.image.array, 7))
    cases = (
        (constant, IdealMindGrab(phantom), "all voxels are equal"),
        (phantom.image, Blind(), "finds no brain"),
    )
    for image, network, reason in cases:
        prediction = ask(phantom, network, "brain", image=image)
        mask = prediction.masks["brain"]
        assert mask.dtype == bool
        assert mask.shape == phantom.grid.shape
        assert not mask.any()
        assert reason in prediction.notes["empty"]


@pytest.mark.usefixtures("published_size")
def test_the_box_is_about_freesurfers_centre_with_axes_lia():
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = 100, 120, -50
    grid = pipeline.box_grid(VoxelGrid((100, 120, 60), affine), "centre")
    assert nibabel.aff2axcodes(grid.affine) == ("L", "I", "A")
    # index 128 of the box is index shape / 2 of the image
    assert np.allclose(grid.affine @ [128, 128, 128, 1], affine @ [50, 60, 30, 1])


@pytest.mark.usefixtures("published_size")
@pytest.mark.parametrize("slices", [60, 300])
def test_the_box_at_the_top_ends_with_a_tall_image_and_holds_a_short_one(slices):
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    grid = pipeline.box_grid(VoxelGrid((100, 100, slices), affine), "top")
    # the second axis goes down from the upper face of the box
    upper_face = (grid.affine @ [0, -0.5, 0, 1])[2]
    image_top = 3 * (slices - 0.5)
    if slices == 300:
        assert upper_face == pytest.approx(image_top, abs=0.6)
    else:
        assert upper_face > image_top
        assert upper_face - 256 < -1.5


def test_cormack_units_are_steep_about_water():
    hounsfield = np.array([-1100, -1000, -101, -100, 0, 100, 101, 1000], dtype=np.float32)
    # as niimath -h2c converts them
    expected = [0, 0, 899, 900, 1900, 2900, 2901, 3800]
    assert pipeline.cormack(hounsfield).tolist() == expected


def test_bytes_are_cut_at_the_bright_end_only():
    values = np.arange(1, 1001, dtype=np.float32).reshape(10, 10, 10)
    converted = pipeline.to_bytes(values)
    assert converted.min() == 0
    assert (converted == 255).sum() in range(19, 23)
    assert len(np.unique(converted[converted < 255])) > 970
