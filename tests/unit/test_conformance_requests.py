"""Requests of the conformance tests: one asymmetric body in the world for all orientations."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np

from evaluator.types import ModelCard
from evaluator.zoo import zoo
from evaluator.zoo.conformance.requests import oriented_requests, sdk_requests, target_of
from evaluator.zoo.conformance.results import agreement

CARD = ModelCard(
    name="m", title="m", contract="1", inputs=(("CT",),), units={}, prompts=("point",), targets=None
)


def test_the_body_is_equal_in_the_world_and_differs_in_wrong_orientations(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "requests").mkdir()
    requests = oriented_requests(tmp_path, CARD)
    assert len(requests) == 48
    images = []
    for request in requests:
        image = nibabel.load(tmp_path / next(iter(request.images.values())).path)
        images.append(np.asarray(nibabel.as_closest_canonical(image).dataobj))
        box = request.targets[0].box
        assert image.get_fdata()[request.targets[0].points[0].index] == 100
        assert all(
            0 <= low < high <= n
            for low, high, n in zip(box.low, box.high, image.shape, strict=True)
        )
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])
    bright = images[0] >= 90
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        rotated = np.transpose(bright, order)[tuple(slice(None, None, sign) for sign in signs)]
        if (order, signs) != ((0, 1, 2), (1, 1, 1)) and rotated.shape == bright.shape:
            assert 2 * (rotated & bright).sum() / (rotated.sum() + bright.sum()) < 0.97


def test_empty_masks_fail_the_comparison_of_orientations(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "requests").mkdir()
    requests = oriented_requests(tmp_path, CARD)
    empty = {request.id: np.zeros(request.grid.shape, np.uint8) for request in requests}
    assert not agreement(empty, requests).ok
    assert agreement(empty, requests).measured == {}
    full = {name: mask + np.uint8(1) for name, mask in empty.items()}
    assert agreement(full, requests).ok
    assert agreement(full, requests).measured["orientation_dice_lowest"] == 1.0


def test_every_model_is_asked_for_a_target_that_it_has():
    for model in zoo():
        assert model.card.targets is None or target_of(model.card) in model.card.targets
    assert target_of(CARD) == "liver"
    assert target_of(replace(CARD, targets=("spleen", "liver"))) == "liver"


def test_a_model_without_the_liver_is_asked_for_its_first_target(tmp_path):
    card = replace(CARD, targets=("spleen", "brain"))
    requests = sdk_requests(tmp_path, card)
    assert len(requests) == 3
    for request in requests:
        assert [(target.name, target.text) for target in request.targets] == [("brain", "brain")]
        written = (tmp_path / "requests" / f"{request.id}.json").read_text()
        assert '"brain"' in written
        assert "liver" not in written
