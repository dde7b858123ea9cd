"""With a network that is always right, an adapter must give back the reference: whatever it loses is its own fault.

Where a model looks at one patch only, as it was published, the loss for larger organs is the
patch's; it is measured, compared to what the patch cuts off, and told at the end of the tests.
"""

from __future__ import annotations

from functools import cache

import pytest

from evaluator.build import find_model
from tests.zoo.bodies import GRIDS, LARGE, ORGANS, Body, body, dice
from tests.zoo.models import MODELS, Registered
from zoo_sdk.adapter import choose_options

SMALL_ML = 50
FLOOR, SMALL_FLOOR = 0.97, 0.90
FITTING = tuple(organ for organ in ORGANS if organ not in LARGE)


def taken(model: Registered, organs=ORGANS):
    """Those of the organs that the model has by its card."""
    targets = find_model(model.name).card.targets
    return [organ for organ in organs if targets is None or organ in targets]


cached_body = cache(body)


def ask(model: Registered, own: Body, *organs: str, **options: str):
    """Dice of each organ."""
    request = own.request(*organs, **options)
    chosen = choose_options(request, model.pipeline.OPTIONS)
    said = model.pipeline.predict(own.image, request, model.ideal(own), chosen)
    for organ in organs:
        if isinstance(said.masks[organ], Exception):
            raise said.masks[organ]
    return {organ: dice(said.masks[organ], own.mask(organ)) for organ in organs}, said


def cases():
    return [
        pytest.param(model, grid, id=f"{model.name} {grid}")
        for model in MODELS
        for grid in GRIDS
        if GRIDS[grid][3] in model.modalities
    ]


@pytest.mark.parametrize(("model", "grid"), cases())
def test_organs_come_back_on_the_image_grid(model, grid):
    own = cached_body(grid)
    found, said = ask(model, own, *taken(model, FITTING))
    for organ, value in found.items():
        assert value >= (FLOOR if own.volumes_ml[organ] > SMALL_ML else SMALL_FLOOR), (organ, value)
        assert said.masks[organ].shape == own.grid.shape


@pytest.mark.parametrize(
    ("model", "grid"),
    [case for case in cases() if case.values[1] in ("LPS CT", "oblique MR", "PET")],
)
def test_large_organs(model, grid, losses):
    own = cached_body(grid)
    found, _ = ask(model, own, *LARGE, **model.whole)
    assert all(value >= FLOOR for value in found.values()), found
    if model.whole_by_default:
        return
    lost, said = ask(model, own, *LARGE)
    for organ, value in lost.items():
        losses.append(
            f"{model.name}, as published, {organ} on {grid}: Dice {value:.3f} at best, {found[organ]:.3f} with {model.whole}"
        )
        assert value < FLOOR, "this organ should be larger than the patch"
        # all that is there is right: only what the patch cuts off is lacking
        assert not (said.masks[organ] & ~own.mask(organ)).sum() > 0.03 * own.mask(organ).sum()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_one_target_does_not_change_another(model):
    own = cached_body("oblique PET" if "PT" in model.modalities else "oblique LPI CT")
    one, other = taken(model)[-1], "spleen" if taken(model)[-1] != "spleen" else "liver"
    together, _ = ask(model, own, one, other)
    assert together == ask(model, own, one)[0] | ask(model, own, other)[0]
