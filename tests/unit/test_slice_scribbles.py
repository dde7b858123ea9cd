"""The scribbles of autoPET V, on masks whose centre lines are known, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from evaluator.imaging.grid_masks import crop_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.prompting.corrections import correct
from evaluator.prompting.random_stream import RandomStream
from evaluator.prompting.slice_scribbles import centre_line, draw_scribble, thin_slice
from tests.tiny import GRIDS

PLAN = load_protocol("autopet-v").rounds
GRID = GRIDS["CT"]


def block(low, high):
    array = np.zeros(GRID.shape, bool)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return array


def scribble(reference, prediction):
    masks = [crop_mask(array, GRID) for array in (reference, prediction)]
    return correct(PLAN, *masks, RandomStream("correction", 0, "s", "t", 1))


def test_the_line_lies_in_the_slice_with_the_largest_region():
    errors = (
        block((1, 1, 2), (12, 4, 3)) | block((1, 6, 5), (13, 11, 6)) | block((0, 0, 7), (2, 2, 8))
    )
    line = draw_scribble(errors)
    assert set(line[:, 2]) == {5}
    assert errors[tuple(line.T)].all()
    # along the long axis of the region
    assert np.ptp(line[:, 0]) > np.ptp(line[:, 1])


def test_the_ends_of_a_long_line_are_cut():
    bar = np.zeros((5, 40), bool)
    bar[2] = True
    # 40 voxels less a tenth at each end; int(36.0) may not be reached by rounding
    np.testing.assert_array_equal(np.flatnonzero(centre_line(bar)[2]), np.arange(4, 36))
    short = np.zeros((5, 12), bool)
    short[2, 1:11] = True
    np.testing.assert_array_equal(centre_line(short), short)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_region_has_a_line(size):
    array = np.zeros((9, 9), bool)
    array[2 : 2 + size, 3 : 3 + size] = True
    line = centre_line(array)
    assert line.any()
    assert not (line & ~array).any()


def test_the_sign_with_the_longer_line_is_corrected():
    long, short = block((1, 1, 2), (13, 4, 4)), block((3, 7, 6), (8, 8, 7))
    missed = scribble(long | short, short)
    assert missed
    assert all(foreground for _, foreground in missed)
    added = scribble(short, long | short)
    assert [voxel for voxel, _ in added] == [voxel for voxel, _ in missed]
    assert not any(foreground for _, foreground in added)
    # of both signs, the longer; of equal ones the foreground
    longer = scribble(short, long)
    assert not any(foreground for _, foreground in longer)
    equal = scribble(block((1, 1, 2), (7, 4, 3)), block((1, 7, 2), (7, 10, 3)))
    assert all(foreground for _, foreground in equal)


def test_equal_masks_have_no_scribble():
    # the challenge's script fails here
    assert scribble(block((1, 1, 1), (4, 4, 4)), block((1, 1, 1), (4, 4, 4))) == ()


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_line_is_connected_and_inside(seed):
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=(15, 12, 4)), 1.5)
    errors = noise > np.quantile(noise, generator.uniform(0.5, 0.95))
    line = draw_scribble(errors)
    assert len(line)
    assert errors[tuple(line.T)].all()
    (layer,) = set(line[:, 2])
    drawn = np.zeros(errors.shape[:2], bool)
    drawn[tuple(line[:, :2].T)] = True
    assert ndimage.label(drawn, structure=np.ones((3, 3)))[1] == 1
    skeleton = thin_slice(errors[:, :, layer])
    # no region loses its skeleton or falls apart
    labels, count = ndimage.label(errors[:, :, layer], structure=np.ones((3, 3)))
    for number in range(1, count + 1):
        part = skeleton & (labels == number)
        assert ndimage.label(part, structure=np.ones((3, 3)))[1] <= 1
