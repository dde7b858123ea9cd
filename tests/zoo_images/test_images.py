"""Each model's image, built with random weights, checked, and run over a tiny dataset.

Run by ``make test-zoo``, not by ``make test``. An image that needs a bundle (upstream source that
no index has) is built where ``UMD_BUNDLE`` names a folder that holds it, and told as not run
elsewhere. With ``UMD_RECORD`` set the checks are recorded, as by ``umd models check --record``, and
images that share an adapter are checked each.
"""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import NoReturn

import pytest

from evaluator.analysis.run_header import header
from evaluator.zoo import ImageBuildConfig, ensure_image, find_model, zoo
from evaluator.zoo.conformance.checks import check_model
from evaluator.zoo.conformance.readme_table import write_record
from evaluator.zoo.conformance.requests import target_of
from evaluator.zoo.sources import read_sources
from evaluator.zoo.weights import Weights
from tests.conftest import order, skip_outside_ci
from tests.tiny import make_dataset
from tests.zoo.models import MODELS

BUNDLE = os.environ.get("UMD_BUNDLE")
RECORD = bool(os.environ.get("UMD_RECORD"))
IMAGES = list(chain.from_iterable(model.images for model in MODELS))


def needs(image: str) -> str | None:
    """What is missing here to build the image with random weights; None if nothing is."""
    sources = read_sources(image)
    assert sources
    missing = [source.git for source in sources.upstream] + [
        download.into for download in sources.auxiliary
    ]
    if not missing or (BUNDLE and Path(BUNDLE, image).is_dir()):
        return None
    place = f"{BUNDLE} has no {image}" if BUNDLE else "no bundle: set UMD_BUNDLE"
    return f"{', '.join(missing)} ({place})"


def skip_without(missing: str) -> NoReturn:
    """Skip what needs a bundle; in CI a bundle that was named must have it."""
    if BUNDLE:
        skip_outside_ci(f"needs {missing}")
    pytest.skip(f"needs {missing}")


@pytest.fixture(params=IMAGES)
def image(request, docker_engine, not_run) -> str:
    """An image that can be built here; another is reported as not run and never passes."""
    if missing := needs(request.param):
        not_run(f"{request.param}: NOT RUN, needs {missing}")
        skip_without(missing)
    if BUNDLE and Path(BUNDLE, request.param).is_dir():
        # from then on it is found by what it is made of
        order = ImageBuildConfig(weights=Weights(kind="random", size="small"), bundle=Path(BUNDLE))
        ensure_image(find_model(request.param), order)
    return request.param


def test_every_model_with_weights_is_registered():
    with_weights = {
        model.name
        for model in zoo()
        if (sources := read_sources(model.name)) and sources.has_weights
    }
    assert with_weights == set(IMAGES)


def test_it_keeps_the_contract(image, figures, not_run):
    (model,) = (model for model in MODELS if image in model.images)
    if image != model.images[0] and not RECORD:
        not_run(f"{image}: checked as {model.images[0]}, whose adapter it shares")
        pytest.skip(f"shares the adapter of {model.images[0]}")
    if model.no_huge:
        not_run(f"{image} on 512 x 512 x 400: NOT RUN, {model.no_huge}")
    ready, results = check_model(image, weights="random", large=not model.no_huge)
    done = list(results)
    if RECORD:
        write_record(image, ready, done)
    items = chain.from_iterable(result.measured.items() for result in done)
    measured = ", ".join(f"{name} {value:g}" for name, value in dict(items).items())
    figures(f"{image} {ready.identity}: {measured}")
    assert [f"{result.check}: {result.detail}" for result in done if not result.ok] == []
    assert len(done) >= 7


def test_a_run_is_scored_and_marked_as_random(image, tmp_path, figures):
    card = find_model(image).card
    modalities = tuple(inputs[0] for inputs in card.inputs)
    target = target_of(card)
    data = make_dataset(tmp_path / "data", ["a"], modalities, (target,))
    protocol = "text" if card.prompts in ((), ("text",)) else "point-1"
    run = order(image, data, protocol, weights="random")
    rounds = list(chain.from_iterable(record.rounds for record in run.records()))
    statuses = [entry.targets[target].status for entry in rounds]
    figures(f"{image}: {', '.join(statuses)}")
    assert statuses == ["ok"] * len(modalities)
    assert any("RANDOM WEIGHTS, NOT A RESULT" in line for line in header(run))
    notes = [entry.reply.notes for entry in rounds]
    assert all(note["weights"] == "random:small" for note in notes)
    assert all(note["options"] == run.info().options for note in notes)
