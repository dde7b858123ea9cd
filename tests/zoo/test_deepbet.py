"""deepbet's pipeline: grids of heads, its steps against torch's definitions, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.zoo.bodies import GRIDS, body, dice
from tests.zoo.models import IdealDeepBet, load
from zoo_sdk import Unsupported
from zoo_sdk.wire import Target

pipeline = load("deepbet", "pipeline")


def ask(phantom, network, *names, image=None):
    request = replace(phantom.request(), targets=tuple(Target(name) for name in names))
    return pipeline.predict(image or phantom.image, request, network, {})


OTHER_GRIDS = [name for name in GRIDS if GRIDS[name][3] == "MR" and name != "oblique MR"]


@pytest.mark.parametrize(
    "grid",
    ["oblique MR", *(pytest.param(name, marks=pytest.mark.extended) for name in OTHER_GRIDS)],
)
def test_the_organ_comes_back_on_every_grid(grid):
    phantom = body(grid)
    prediction = ask(phantom, IdealDeepBet(phantom), "brain", "liver")
    assert dice(prediction.masks["brain"], phantom.mask("liver")) > 0.97
    assert isinstance(prediction.masks["liver"], Unsupported)
    assert len(prediction.notes["box"]) == 3


def test_an_image_that_is_constant_or_shows_no_brain_gets_an_empty_mask_and_a_reason():
    phantom = body("oblique MR")
    constant = np.full_like(phantom.image.array, 7)
    # a ball that is smaller than the share of voxels that the quantiles cut
    small_ball = constant.copy()
    small_ball[:2, :2, :2] = 90

    class Blind(IdealDeepBet):
        def locate(self, head):
            return np.zeros_like(head.array)

    class BlindInTheBox(IdealDeepBet):
        def segment(self, box):
            return np.zeros_like(box.array)

    cases = (
        (constant, IdealDeepBet, "quantiles 0.005 and 0.995"),
        (small_ball, IdealDeepBet, "quantiles 0.005 and 0.995"),
        (phantom.image.array, Blind, "finds no brain"),
        (phantom.image.array, BlindInTheBox, "finds no brain"),
    )
    for array, network, reason in cases:
        image = replace(phantom.image, array=array)
        prediction = ask(phantom, network(phantom), "brain", image=image)
        mask = prediction.masks["brain"]
        assert mask.dtype == bool
        assert mask.shape == phantom.grid.shape
        assert not mask.any()
        assert reason in prediction.notes["empty"]


def test_nearest_takes_the_voxel_whose_centre_is_nearest():
    array = np.arange(7.0).reshape(7, 1, 1)
    assert pipeline.nearest(array, (7, 1, 1)).ravel().tolist() == array.ravel().tolist()
    # centres of three voxels lie at 7/6, 21/6 and 35/6
    assert pipeline.nearest(array, (3, 1, 1)).ravel().tolist() == [1, 3, 5]
    assert pipeline.nearest(array, (14, 2, 1))[:, 1, 0].tolist() == np.repeat(range(7), 2).tolist()


def test_the_box_has_a_margin_and_stays_inside():
    mask = np.zeros((128, 128, 128), bool)
    mask[32:96, 0:128, 60:68] = True
    box = pipeline.box_about(mask, (256, 100, 128))
    # 64 slices of 2 voxels, and a tenth on each side; the second axis is cut
    assert [(part.start, part.stop) for part in box] == [(51, 205), (0, 100), (59, 69)]
