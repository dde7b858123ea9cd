"""Which labels a target means, and masks from a map of labels."""

from __future__ import annotations

import numpy as np
import pytest

from zoo_sdk import Request, Target, Unsupported
from zoo_sdk.wire import Grid, ImageFile
from zoo_transforms.label_maps import labels_of_targets, masks_from, values_of
from zoo_transforms.resampling import VoxelGrid

LOBES = {
    "lung_upper_lobe_left": [10], "lung_lower_lobe_left": [11], "lung_upper_lobe_right": [12],
    "lung_middle_lobe_right": [13], "lung_lower_lobe_right": [14],
}  # fmt: skip
LABELS = {
    "Right Kidney": [2], "kidney_l": [3], "kidney_cyst_left": [23], "urinary_bladder": [21],
    "gallbladder": [4], "heart": [51], "heart_left": [60], "heart_right": [61], "femur_left": [75],
    "tumour": [2, 3], **LOBES,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kidney-right", (2,)),
        ("kidney-left", (3,)),
        ("left kidney", (3,)),
        ("bladder", (21,)),
        ("lung", (10, 11, 12, 13, 14)),
        ("lung-left", ()),
        ("kidney", (2, 3)),
        ("heart", (51,)),
        ("femur", ()),
        ("tumour", (2, 3)),
        ("liver", ()),
        ("", ()),
    ],
)
def test_a_target_means_the_labels_of_its_words(name, values):
    assert values_of(name, LABELS) == values


def test_one_side_is_not_the_organ():
    left = {name: value for name, value in LOBES.items() if name.endswith("left")}
    assert values_of("lung", left) == ()


def test_targets_without_a_label_are_unsupported():
    grid = Grid(shape=(1, 1, 1), affine=tuple(map(tuple, np.eye(4).tolist())))
    targets = (Target("lung"), Target("liver"))
    request = Request("r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, targets)
    values_by_target, unsupported = labels_of_targets(request, LABELS)
    assert values_by_target == {"lung": (10, 11, 12, 13, 14)}
    assert isinstance(unsupported["liver"], Unsupported)
    assert "liver" in unsupported["liver"].reason


def test_masks_lie_on_the_grid():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    grid = Grid(shape=(4, 3, 2), affine=tuple(map(tuple, affine.tolist())))
    labels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    turned = VoxelGrid((2, 3, 4), affine @ np.eye(4)[:, [2, 1, 0, 3]])
    masks = masks_from(labels, turned, grid, {"a": (0, 23), "b": (300,)})
    assert masks["a"].shape == grid.shape
    assert np.argwhere(masks["a"]).tolist() == [[0, 0, 0], [3, 2, 1]]
    assert not masks["b"].any()
