"""What a model's card promises, its adapter keeps: the same options with the same defaults."""

from __future__ import annotations

from itertools import chain, product

import pytest

from evaluator.zoo import find_model
from evaluator.zoo.dockerfiles import copied_paths
from evaluator.zoo.sources import read_sources
from tests.zoo.bodies import body
from tests.zoo.models import MODELS, load
from zoo_sdk.adapter import choose_options


def test_notes_have_unions_and_templates():
    """A reply's notes hold every choice that affects a score and is not an option."""
    phantom = body("LPS CT")
    for name, expected in (
        ("ct-fm", ("classes", {"lung": list(load("ct-fm", "pipeline").ORGANS["lung"])})),
        ("segvol", ("template", "A computerized tomography of a {}.")),
    ):
        (model,) = [model for model in MODELS if model.name == name]
        prediction = model.pipeline.predict(
            phantom.image,
            phantom.request("lung"),
            model.ideal(phantom),
            choose_options(phantom.request("lung"), model.pipeline.OPTIONS),
        )
        assert prediction.notes[expected[0]] == expected[1]


@pytest.mark.parametrize(
    ("model", "image"),
    [*chain.from_iterable(product([model], model.images) for model in MODELS)],
)
def test_options_and_parts(model, image):
    card = find_model(image).card
    assert card.options == {name: tuple(values) for name, values in model.pipeline.OPTIONS.items()}
    assert {inputs[0] for inputs in card.inputs} <= set(model.modalities)
    sources = read_sources(image)
    assert sources
    text = find_model(image).dockerfile.read_text()
    copied = copied_paths(text)
    assert ("parts/packages" in copied) == bool(sources.packages)
    assert ("-m compileall" in text) == bool(sources.packages)
    assert ("parts/upstream" in copied) == bool(sources.upstream)
    assert ("parts/weights" in copied) == bool(sources.weights or sources.auxiliary)
    assert card.weights == (
        "published" if sources.weights else "mounted" if sources.brought else ""
    )
