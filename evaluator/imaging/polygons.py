"""Polygons of a plane as pixels: those whose centre lies inside, by the even-odd rule.

A contour that is joined to its hole by a channel of no width (a keyhole) needs nothing more: the
two ways along the channel cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: coordinates are rounded to this many decimals of a pixel, so that noise decides nothing
DECIMALS = 6


def fill_polygon(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centre lies inside a closed polygon.

    A centre on the polygon's line belongs to it on the sides of lower indices only, so that two
    polygons with a common line share no pixel.

    Args:
        corners: (n, 2), indices with fractions; the last corner is joined to the first.
        shape: pixels along both axes.

    Returns:
        (i, j).
    """
    corners = np.round(corners, DECIMALS)
    following = np.roll(corners, -1, axis=0)
    upward = corners[:, 1] <= following[:, 1]
    low = np.where(upward[:, None], corners, following)
    high = np.where(upward[:, None], following, corners)
    first = np.clip(np.ceil(low[:, 1]), 0, shape[1]).astype(np.int64)
    last = np.clip(np.ceil(high[:, 1]), 0, shape[1]).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(corners)), counts)
    ends = np.cumsum(counts)
    line = np.arange(len(edge)) - np.repeat(ends - counts, counts) + first[edge]
    rise = high[edge, 1] - low[edge, 1]
    share = (line - low[edge, 1]) / rise
    crossing = low[edge, 0] + share * (high[edge, 0] - low[edge, 0])
    column = np.clip(np.ceil(np.round(crossing, DECIMALS)), 0, shape[0]).astype(np.int64)
    toggles = np.zeros((shape[0] + 1, shape[1]), dtype=np.int64)
    np.add.at(toggles, (column, line), 1)
    inside: NDArray[np.bool_] = np.cumsum(toggles[:-1], axis=0) % 2 == 1
    return inside


def combine_polygons(
    polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], bool]:
    """The pixels of several polygons of one structure in one plane.

    A polygon inside another is a hole, and one inside a hole is an island. Polygons that cross are
    united. A polygon that occurs twice counts once.

    Returns:
        the pixels (i, j), and whether polygons cross.
    """
    masks: list[NDArray[np.bool_]] = []
    seen: set[bytes] = set()
    for corners in polygons:
        content = np.round(corners, DECIMALS).tobytes()
        if content not in seen:
            seen.add(content)
            masks.append(fill_polygon(corners, shape))
    masks.sort(key=lambda mask: -int(mask.sum()))
    combined = np.zeros(shape, dtype=np.bool_)
    crossing = False
    for number, mask in enumerate(masks):
        partly = [
            larger for larger in masks[:number] if (mask & larger).any() and (mask & ~larger).any()
        ]
        if partly:
            crossing = True
            combined |= mask
        else:
            combined ^= mask
    return combined, crossing
