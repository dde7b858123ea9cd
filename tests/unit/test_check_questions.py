"""What models are asked when they are checked: one body in the world, which no orientation hides."""

from __future__ import annotations

from itertools import permutations, product

import nibabel
import numpy as np

from evaluator.types import ModelCard
from evaluator.zoo.conformance.checks import _agreement
from evaluator.zoo.conformance.requests import oriented

CARD = ModelCard(
    name="m", title="m", contract="1", inputs=(("CT",),), units={}, prompts=("point",), targets=None
)


def test_the_body_is_the_same_in_the_world_and_looks_otherwise_in_any_wrong_orientation(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "requests").mkdir()
    asked = oriented(tmp_path, CARD)
    assert len(asked) == 48
    seen = []
    for request in asked:
        image = nibabel.load(tmp_path / next(iter(request.images.values())).path)
        seen.append(np.asarray(nibabel.as_closest_canonical(image).dataobj))
        box = request.targets[0].box
        assert image.get_fdata()[request.targets[0].points[0].index] == 100
        assert all(
            0 <= low < high <= n
            for low, high, n in zip(box.low, box.high, image.shape, strict=True)
        )
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])
    bright = seen[0] >= 90
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turned = np.transpose(bright, order)[tuple(slice(None, None, sign) for sign in signs)]
        if (order, signs) != ((0, 1, 2), (1, 1, 1)) and turned.shape == bright.shape:
            assert 2 * (turned & bright).sum() / (turned.sum() + bright.sum()) < 0.97


def test_empty_masks_say_nothing_of_orientations(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "requests").mkdir()
    asked = oriented(tmp_path, CARD)
    empty = {request.id: np.zeros(request.grid.shape, np.uint8) for request in asked}
    assert not _agreement(empty, asked).ok
    assert _agreement(empty, asked).measured == {}
    full = {name: mask + np.uint8(1) for name, mask in empty.items()}
    assert _agreement(full, asked).ok
    assert _agreement(full, asked).measured["orientation_dice_lowest"] == 1.0
