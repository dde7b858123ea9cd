"""Statistics of the distances of one surface.

Sums keep the digits that single additions lose, and the weighted percentile is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluator.compilation import njit

PERCENTILE = 0.95

HEADER_SLACK = 1e-6
"""Relative slack of comparisons, larger than the rounding of a header.

Headers store spacings in 32 bits (relative error 6e-8). Without the slack, the rounding would
decide whether a distance that equals the tolerance is within it, and whether a share of the area
that equals the percentile has reached it.
"""


def summarise(codes: Any, squares: Any, areas: Any, tolerance_mm: float) -> Surface:
    """The surface of these corners.

    Args:
        codes: of each corner, (n,) uint8.
        squares: squared distance of each corner, (n,) mm^2.
        areas: surface of each code.
        tolerance_mm: distances up to it are within tolerance, and up to ``HEADER_SLACK`` more.
    """
    limit = tolerance_mm * (1 + HEADER_SLACK)
    area, within, moment, farthest, percentile = _summarise(codes, squares, areas, limit)
    return Surface(
        area=area,
        area_within=within,
        moment=moment,
        farthest=farthest,
        percentile_95=percentile,
        corners=codes.size,
    )


def unmatched_surface(codes: Any, areas: Any) -> Surface:
    """The surface of a mask whose counterpart is empty: it has an area and no distances."""
    counts = np.bincount(codes, minlength=areas.size)
    return Surface(area=_total(counts, areas), corners=codes.size)


@njit(cache=True, nogil=True)
def _total(counts: Any, areas: Any) -> float:
    total, lost = 0.0, 0.0
    for code in range(areas.size):
        total, lost = _added(total, lost, counts[code] * areas[code])
    return total + lost


@njit(cache=True, nogil=True)
def _added(total: float, lost: float, term: float) -> tuple[float, float]:
    """Neumaier's sum: the digits that an addition loses are summed separately."""
    new = total + term
    lost += (total - new) + term if abs(total) >= abs(term) else (term - new) + total
    return new, lost


@njit(cache=True, nogil=True)
def _summarise(
    codes: Any, squares: Any, areas: Any, limit: float
) -> tuple[float, float, float, float, float]:
    keys, sums, losses = _gathered(codes, squares, areas)
    order = np.argsort(keys)
    area, area_lost, within, within_lost, moment, moment_lost = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in order:
        distance = np.sqrt(keys[k])
        area, area_lost = _added(area, area_lost, sums[k])
        area_lost += losses[k]
        if distance <= limit:
            within, within_lost = _added(within, within_lost, sums[k])
            within_lost += losses[k]
        moment, moment_lost = _added(moment, moment_lost, distance * (sums[k] + losses[k]))
    area += area_lost
    enough = PERCENTILE * area * (1 - HEADER_SLACK)
    percentile, reached, lost = np.sqrt(keys[order[-1]]), 0.0, 0.0
    for k in order:
        reached, lost = _added(reached, lost, sums[k])
        lost += losses[k]
        if reached + lost >= enough:
            percentile = np.sqrt(keys[k])
            break
    return area, within + within_lost, moment + moment_lost, np.sqrt(keys[order[-1]]), percentile


@njit(cache=True, nogil=True)
def _gathered(codes: Any, squares: Any, areas: Any) -> Any:
    """Area at each distinct squared distance, in no order.

    Returns:
        The squared distances, the sums of area, and the digits that the sums lost.
    """
    size = 1024
    keys, sums, losses = np.full(size, -1.0), np.zeros(size), np.zeros(size)
    position, used = 0, 0
    while position < codes.size:
        if 2 * used >= size:
            size *= 4
            keys, sums, losses = _rehashed(keys, sums, losses, size)
        table = (keys, sums, losses)
        position, used = _add_corners(codes, squares, areas, position, used, table)
    used_slots = keys >= 0
    return keys[used_slots], sums[used_slots], losses[used_slots]


@njit(cache=True, nogil=True)
def _add_corners(
    codes: Any, squares: Any, areas: Any, first: int, used: int, table: Any
) -> tuple[int, int]:
    """Add the area of corners from ``first`` on, until a new distance finds the table half full.

    This function does not bind its arrays again, because Numba then counts references in the loop.

    Returns:
        The corner to go on with, and how many slots of the table are used.
    """
    keys, sums, losses = table
    bits = squares.view(np.uint64)
    for i in range(first, codes.size):
        at = _slot(keys, squares[i], bits[i])
        if keys[at] < 0:
            if 2 * used >= keys.size:
                return i, used
            keys[at] = squares[i]
            used += 1
        sums[at], losses[at] = _added(sums[at], losses[at], areas[codes[i]])
    return codes.size, used


@njit(cache=True, nogil=True)
def _slot(keys: Any, key: float, bits: Any) -> Any:
    mask = keys.size - 1
    at = np.int64((bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(36)) & mask
    while keys[at] >= 0 and keys[at] != key:
        at = (at + 1) & mask
    return at


@njit(cache=True, nogil=True)
def _rehashed(keys: Any, sums: Any, losses: Any, room: int) -> Any:
    new_keys, new_sums, new_losses = np.full(room, -1.0), np.zeros(room), np.zeros(room)
    bits = keys.view(np.uint64)
    for i in range(keys.size):
        if keys[i] >= 0:
            at = _slot(new_keys, keys[i], bits[i])
            new_keys[at], new_sums[at], new_losses[at] = keys[i], sums[i], losses[i]
    return new_keys, new_sums, new_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One mask's surface, with distances to the other mask's surface.

    Distances go from each surface corner to the nearest corner of the other surface, weighted by
    the corner's area (``evaluator.metrics.kernels.surface_area``). They are zero where either
    surface is absent, and then have no meaning. A surface has an area even if the other is absent.
    """

    #: mm^2 (in 2-D: mm)
    area: float = 0.0
    #: the part of the area that lies within the tolerance of the other surface
    area_within: float = 0.0
    #: sum over corners of area times distance
    moment: float = 0.0
    #: the largest distance, mm
    farthest: float = 0.0
    #: the smallest distance within which lies at least 95 % of the area, mm
    percentile_95: float = 0.0
    #: surface corners
    corners: int = 0

    @property
    def mean(self) -> float:
        """The area-weighted mean distance, mm."""
        return self.moment / self.area
