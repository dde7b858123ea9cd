"""Filled polygons against matplotlib's point test; holes, keyholes, islands, common edges."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path

from evaluator.imaging.polygons import combine_polygons, fill_polygon

SHAPE = (23, 17)
CENTRES = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).reshape(-1, 2)


@given(
    radii=st.lists(st.floats(1, 14), min_size=3, max_size=40),
    middle=st.tuples(st.floats(-2, 25), st.floats(-2, 19)),
)
def test_any_star_equals_a_test_of_points(radii, middle):
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) + 0.123
    corners = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array(radii)[:, None] + middle
    near = Path(corners).contains_points(CENTRES, radius=1e-4)
    also = Path(corners).contains_points(CENTRES, radius=-1e-4)
    filled = fill_polygon(corners, SHAPE).ravel()
    # centres on the line itself may fall on either side
    clear = near == also
    assert (filled == near)[clear].all()


def square(low, high):
    return np.array([(low, low), (high, low), (high, high), (low, high)], float)


def test_neighbours_share_no_pixel_and_leave_none_out():
    left = fill_polygon(np.array([(2, 2), (8, 2), (8, 12), (2, 12)], float), SHAPE)
    right = fill_polygon(np.array([(8, 2), (14, 2), (14, 12), (8, 12)], float), SHAPE)
    union = fill_polygon(np.array([(2, 2), (14, 2), (14, 12), (2, 12)], float), SHAPE)
    assert not (left & right).any()
    assert ((left | right) == union).all()
    assert left.sum() == 60


def test_noise_on_a_pixel_centre_decides_nothing():
    exact = fill_polygon(square(2, 9), SHAPE)
    for noise in (1e-9, -1e-9):
        assert (fill_polygon(square(2, 9) + noise, SHAPE) == exact).all()


def test_holes_islands_and_keyholes():
    ring, crossing = combine_polygons([square(4.5, 8.5), square(1.5, 13.5)], SHAPE)
    assert ring.sum() == 144 - 16
    assert not crossing
    island, _ = combine_polygons([square(5.5, 7.5), square(1.5, 13.5), square(4.5, 8.5)], SHAPE)
    assert island.sum() == 144 - 16 + 4
    outside = [(1.5, 1.5), (13.5, 1.5), (13.5, 13.5), (1.5, 13.5), (1.5, 6.2), (4.5, 6.2)]
    hole = [(4.5, 8.5), (8.5, 8.5), (8.5, 4.5), (4.5, 4.5), (4.5, 6.2), (1.5, 6.2)]
    keyhole, _ = combine_polygons([np.array(outside + hole)], SHAPE)
    assert (keyhole == ring).all()


def test_crossing_polygons_are_united_and_repeats_count_once():
    united, crossing = combine_polygons([square(1.5, 7.5), square(4.5, 10.5)], SHAPE)
    assert united.sum() == 36 + 36 - 9
    assert crossing
    once, crossing = combine_polygons([square(1.5, 7.5)] * 2, SHAPE)
    assert once.sum() == 36
    assert not crossing


def test_outside_and_degenerate():
    assert not fill_polygon(square(-9, -3), SHAPE).any()
    assert fill_polygon(square(-100, 100), SHAPE).all()
    assert not fill_polygon(np.array([(3, 3), (9, 9), (3, 3)], float), SHAPE).any()
