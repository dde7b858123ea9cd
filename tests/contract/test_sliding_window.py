"""Windows over a volume: each voxel is seen, none too often; an object is followed further."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_transforms.sliding_window import covering, cut, slide, starts


@given(st.integers(1, 700), st.integers(2, 130), st.floats(0, 0.9))
def test_windows_cover_a_line(size, edge, share):
    firsts = starts(size, edge, share)
    covered = np.zeros(max(size, edge), bool)
    for start in firsts:
        if size <= edge:
            assert firsts == [start] == [-((edge - size) // 2)]
            return
        assert 0 <= start <= size - edge
        covered[start : start + edge] = True
    assert covered[:size].all()
    steps = np.diff(firsts)
    assert (steps[:-1] == max(int(edge * (1 - share)), 1)).all()
    assert (steps > 0).all()


def test_as_monai_covers():
    """What ``dense_patch_slices`` gives for these sizes in monai 1.6.1."""
    assert starts(300, 128, 0.25) == [0, 96, 172]
    assert starts(224, 128, 0.25) == [0, 96]
    assert starts(225, 128, 0.25) == [0, 96, 97]
    assert starts(128, 128, 0.25) == [0]
    assert starts(101, 128, 0.25) == [-13]
    assert covering((130, 5, 128), (128, 8, 128), 0.25) == [(0, -1, 0), (2, -1, 0)]


def test_beyond_the_volume():
    volume = np.arange(24.0).reshape(2, 3, 4)
    inner = cut(volume, (-1, 1, 2), (4, 2, 4), beyond=-5)
    np.testing.assert_array_equal(inner[1:3, :, :2], volume[:, 1:, 2:])
    assert (inner[0] == -5).all() and (inner[..., 2:] == -5).all()
    edges = cut(volume, (-1, 1, 2), (4, 2, 4), beyond=None)
    np.testing.assert_array_equal(edges[0], edges[1])
    np.testing.assert_array_equal(edges[:, :, 3], edges[:, :, 1])
    assert (cut(volume, (9, 9, 9), (2, 2, 2), beyond=1) == 1).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_long_object_is_followed_through_and_only_it(axis):
    shape = tuple(90 if n == axis else 20 for n in range(3))
    rod = np.zeros(shape, bool)
    rod[tuple(slice(3, 88) if n == axis else slice(8, 12) for n in range(3))] = True
    edge = (16, 16, 16)
    clicks = []

    def look(start, click):
        clicks.append(click)
        return cut(rod, start, edge, beyond=False)

    first = tuple(20 if n == axis else 2 for n in range(3))
    slid = slide([first, first], look, edge, shape, most=50)
    np.testing.assert_array_equal(slid.mask, rod)
    assert clicks[0] is None and all(rod[click] for click in clicks[1:])
    assert slid.looks == len(clicks) < 14
    assert slid.left_out == 0
    cutoff = slide([first], look, edge, shape, most=2)
    assert cutoff.looks == 2 and cutoff.left_out > 0 and 0 < cutoff.mask.sum() < rod.sum()
    nothing = slide([first], lambda *_: None, edge, shape, most=5)
    assert not nothing.mask.any() and nothing.looks == 1
