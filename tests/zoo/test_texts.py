"""Models with text prompts: the words that they accept, their patches, and unusable images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.zoo.bodies import ORGANS, body, dice
from tests.zoo.models import MODELS
from zoo_sdk import Unsupported, Volume
from zoo_sdk.adapter import choose_options
from zoo_transforms.intensity import Undefined

BY_NAME = {model.name: model for model in MODELS}
SAT, VOXTELL = BY_NAME["sat-nano"], BY_NAME["voxtell"]


@pytest.fixture(scope="module")
def phantom():
    return body("oblique PET")


def ask(model, phantom, request, image=None):
    network = model.ideal(phantom)
    return model.pipeline.predict(
        image or phantom.image, request, network, choose_options(request, model.pipeline.OPTIONS)
    )


def with_text(request, text):
    return replace(request, targets=tuple(replace(target, text=text) for target in request.targets))


def test_sat_asks_in_the_words_of_its_training_data(phantom):
    words_for = SAT.pipeline.words_for
    assert words_for("Bladder", "published") == "urinary bladder"
    assert words_for(" left  Kidney ", "published") == "left kidney"
    assert words_for("Bladder", "asked") == "bladder"
    assert set(SAT.pipeline.PUBLISHED) & set(SAT.pipeline.PUBLISHED.values()) == set()
    prediction = ask(SAT, phantom, phantom.request("lesion"))
    assert (prediction.notes["words"], prediction.notes["modality"]) == ({"lesion": "tumor"}, "pet")
    assert dice(prediction.masks["lesion"], phantom.mask("lesion")) > 0.9


@pytest.mark.parametrize("model", [SAT, VOXTELL], ids=lambda model: model.name)
@pytest.mark.parametrize("text", [None, "", "  "])
def test_without_a_text_nothing_is_looked_at(model, phantom, text):
    request = with_text(phantom.request("liver"), text)
    prediction = ask(model, phantom, request, Volume(np.full((1, 1, 1), np.nan), np.eye(4)))
    assert isinstance(prediction.masks["liver"], Unsupported)


def test_voxtell_says_which_text_its_bank_lacks(phantom):
    request = phantom.request("liver", "spleen")
    request = replace(
        request, targets=(request.targets[0], replace(request.targets[1], text="Milt"))
    )
    prediction = ask(VOXTELL, phantom, request)
    assert "'milt'" in prediction.masks["spleen"].reason
    assert dice(prediction.masks["liver"], phantom.mask("liver")) > 0.99


def test_voxtell_at_a_common_spacing(phantom):
    organs = [organ for organ in ORGANS if organ != "lesion"]
    prediction = ask(VOXTELL, phantom, phantom.request(*organs, spacing="1.5mm"))
    assert min(dice(prediction.masks[organ], phantom.mask(organ)) for organ in organs) > 0.97


@pytest.mark.parametrize("model", [SAT, VOXTELL], ids=lambda model: model.name)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_contrast_is_an_error_that_says_so(model, phantom, value):
    flat = replace(phantom.image, array=np.full(phantom.grid.shape, value, np.float32))
    prediction = ask(model, phantom, phantom.request("liver"), flat)
    assert isinstance(prediction.masks["liver"], Undefined)


def test_sat_crops_to_what_is_positive_and_looks_at_it_all():
    pipeline = SAT.pipeline
    for shape in ((5, 288, 97), (289, 433, 96), (700, 144, 300)):
        seen = np.zeros(shape, bool)
        for start in pipeline.starts(shape):
            stops = [n + edge for n, edge in zip(start, pipeline.PATCH, strict=True)]
            assert all(n >= 0 for n in start)
            assert all(
                stop <= max(size, edge)
                for stop, size, edge in zip(stops, shape, pipeline.PATCH, strict=True)
            )
            seen[tuple(slice(n, stop) for n, stop in zip(start, stops, strict=True))] = True
        assert seen.all()
    array = np.full((20, 18, 9), -900.0, np.float32)
    array[4:15, 3:17, 2:8] = np.random.default_rng(0).uniform(1, 2000, (11, 14, 6))
    network_grid = pipeline.network_grid_of(
        pipeline.VoxelGrid((20, 18, 9), np.diag([1.0, 1.0, 3.0, 1.0]))
    )
    start, values = pipeline.network_values(
        Volume(array, np.diag([1.0, 1.0, 3.0, 1.0])), network_grid, "ct"
    )
    assert (start, values.shape) == ((4, 3, 2), (11, 14, 6))
    clipped = np.clip(array[4:15, 3:17, 2:8], -500, 1000)
    np.testing.assert_allclose(values, (clipped - clipped.mean()) / clipped.std(), atol=1e-5)


def test_voxtell_looks_at_it_all_and_centres_what_is_small():
    pipeline = VOXTELL.pipeline
    assert pipeline.starts((91, 192, 193)) == [(-50, 0, 0), (-50, 0, 1)]
    for size in (191, 250, 288, 289, 777):
        line = [start[0] for start in pipeline.starts((size, 10, 10))]
        assert max(np.diff(line), default=0) <= 96
        assert min(line[0], 0) + max(size, 192) <= line[-1] + 192
