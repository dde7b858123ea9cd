"""With a network that is always right, an adapter must return the reference; it causes every loss.

Where a model looks at one patch only, as it was published, the loss for larger organs is the
patch's; it is measured, compared to what the patch cuts off, and reported after the tests.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from evaluator.zoo import find_model
from tests.zoo.bodies import GRIDS, LARGE, ORGANS, Body, body, dice
from tests.zoo.models import MODELS, Registered
from zoo_sdk.adapter import choose_options

SMALL_ML = 50
FLOOR, SMALL_FLOOR = 0.97, 0.90
FITTING = tuple(organ for organ in ORGANS if organ not in LARGE)


def supported_organs(model: Registered, organs=ORGANS):
    """Those of the organs that the model has by its card."""
    targets = find_model(model.name).card.targets
    return [
        organ
        for organ in organs
        if organ not in model.lacks
        if targets is None or model.stands_for.get(organ, organ) in targets
    ]


cached_body = cache(body)


def ask(model: Registered, phantom: Body, *organs: str, **options: str):
    """Dice of each organ."""
    request = phantom.request(*organs, **options)
    names = [model.stands_for.get(organ, organ) for organ in organs]
    targets = tuple(
        replace(target, name=name) for target, name in zip(request.targets, names, strict=True)
    )
    request = replace(request, targets=targets)
    chosen = choose_options(request, model.pipeline.OPTIONS)
    prediction = model.pipeline.predict(phantom.image, request, model.ideal(phantom), chosen)
    for name in names:
        if isinstance(prediction.masks[name], Exception):
            raise prediction.masks[name]
    return {
        organ: dice(prediction.masks[name], phantom.mask(organ))
        for organ, name in zip(organs, names, strict=True)
    }, prediction


def cases(organs=None):
    return [
        pytest.param(
            model,
            grid,
            id=f"{model.name} {grid}",
            marks=() if grid.startswith("oblique") else pytest.mark.extended,
        )
        for model, grid in product(MODELS, GRIDS)
        if grid in model.grids
        and GRIDS[grid][3] in model.modalities
        and (organs is None or supported_organs(model, organs))
    ]


@pytest.mark.parametrize(("model", "grid"), cases(FITTING))
def test_organs_come_back_on_the_image_grid(model, grid):
    phantom = cached_body(grid)
    scores, prediction = ask(model, phantom, *supported_organs(model, FITTING))
    for organ, value in scores.items():
        assert value >= (FLOOR if phantom.volumes_ml[organ] > SMALL_ML else SMALL_FLOOR), (
            organ,
            value,
        )
        name = model.stands_for.get(organ, organ)
        assert prediction.masks[name].shape == phantom.grid.shape


@pytest.mark.parametrize(
    ("model", "grid"),
    [case for case in cases() if case.values[1] in ("LPS CT", "oblique MR", "PET")],
)
@pytest.mark.extended
def test_large_organs(model, grid, losses):
    phantom = cached_body(grid)
    organs = supported_organs(model, LARGE)
    scores, _ = ask(model, phantom, *organs, **model.large_options)
    assert all(value >= FLOOR for value in scores.values()), scores
    if model.large_by_default:
        return
    published_scores, prediction = ask(model, phantom, *LARGE)
    for organ, value in published_scores.items():
        losses.append(
            f"{model.name}, as published, {organ} on {grid}: Dice {value:.3f} at best, "
            f"{scores[organ]:.3f} with {model.large_options}"
        )
        assert value < FLOOR, "this organ should be larger than the patch"
        # all that is there is right: only what the patch cuts off is lacking
        assert (
            not (prediction.masks[organ] & ~phantom.mask(organ)).sum()
            > 0.03 * phantom.mask(organ).sum()
        )


@pytest.mark.parametrize(
    "model",
    [model for model in MODELS if len(supported_organs(model)) > 1],
    ids=lambda model: model.name,
)
@pytest.mark.extended
def test_one_target_does_not_change_another(model):
    phantom = cached_body("oblique PET" if "PT" in model.modalities else "oblique LPI CT")
    first, second = (
        supported_organs(model)[-1],
        "spleen" if supported_organs(model)[-1] != "spleen" else "liver",
    )
    together, _ = ask(model, phantom, first, second)
    assert together == ask(model, phantom, first)[0] | ask(model, phantom, second)[0]
