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
    area_by_distance = AreaByDistance(areas)
    area_by_distance.add(codes, squares)
    return area_by_distance.surface(tolerance_mm)


class AreaByDistance:
    """The area of a surface at each distinct squared distance; corners are added in parts."""

    def __init__(self, areas: Any) -> None:
        self.areas = areas
        self.corners = 0
        self._used = 0
        self._table = _empty_table(1024)

    def add(self, codes: Any, squares: Any) -> None:
        """Add corners.

        Args:
            codes: of each corner, (n,) uint8.
            squares: squared distance of each corner, (n,) mm^2.
        """
        self.corners += codes.size
        self._table, self._used = _add_parts(codes, squares, self.areas, self._used, self._table)

    def sums(self) -> Any:
        """The squared distances, the sums of area, and the digits that the sums lost, unsorted."""
        used_slots = self._table[self._table[:, 0] >= 0]
        return used_slots[:, 0], used_slots[:, 1], used_slots[:, 2]

    def surface(self, tolerance_mm: float) -> Surface:
        """The statistics of the corners that were added."""
        return surface_of_sums(*self.sums(), corners=self.corners, tolerance_mm=tolerance_mm)


def surface_of_sums(
    squares: Any, sums: Any, losses: Any, *, corners: int, tolerance_mm: float
) -> Surface:
    """The surface whose area at each squared distance is known.

    Args:
        squares: (n,) mm^2, in any order, not empty.
        sums: area at each squared distance.
        losses: digits that each sum lost.
        corners: number of corners.
        tolerance_mm: as in ``summarise``.
    """
    order = np.argsort(squares)
    limit = tolerance_mm * (1 + HEADER_SLACK)
    area, within, moment, farthest, percentile = _statistics(
        squares[order], sums[order], losses[order], limit
    )
    return Surface(
        area=area,
        area_within=within,
        moment=moment,
        farthest=farthest,
        percentile_95=percentile,
        corners=corners,
    )


def unmatched_surface(counts: Any, areas: Any) -> Surface:
    """The surface of a mask whose counterpart is empty: it has an area and no distances.

    Args:
        counts: corners of each code.
        areas: surface of each code.
    """
    return Surface(area=total_area(counts, areas), corners=int(counts.sum()))


@njit(cache=True, nogil=True)
def total_area(counts: Any, areas: Any) -> float:
    """Area of so many corners of each code."""
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
def _statistics(
    squares: Any, sums: Any, losses: Any, limit: float
) -> tuple[float, float, float, float, float]:
    """Area, area within the limit, moment, largest distance and percentile of sorted distances."""
    area, area_lost, within, within_lost, moment, moment_lost = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(squares.size):
        distance = np.sqrt(squares[k])
        area, area_lost = _added(area, area_lost, sums[k])
        area_lost += losses[k]
        if distance <= limit:
            within, within_lost = _added(within, within_lost, sums[k])
            within_lost += losses[k]
        moment, moment_lost = _added(moment, moment_lost, distance * (sums[k] + losses[k]))
    area += area_lost
    enough = PERCENTILE * area * (1 - HEADER_SLACK)
    farthest = np.sqrt(squares[-1])
    percentile, reached, lost = farthest, 0.0, 0.0
    for k in range(squares.size):
        reached, lost = _added(reached, lost, sums[k])
        lost += losses[k]
        if reached + lost >= enough:
            percentile = np.sqrt(squares[k])
            break
    return area, within + within_lost, moment + moment_lost, farthest, percentile


@njit(cache=True, nogil=True)
def _empty_table(size: int) -> Any:
    """A hash table: squared distance (-1 where a slot is free), sum of area, and lost digits.

    The fourth column is not used. With it, a slot lies in one line of the processor's cache.
    """
    table = np.zeros((size, 4))
    table[:, 0] = -1.0
    return table


@njit(cache=True, nogil=True)
def _add_parts(codes: Any, squares: Any, areas: Any, used: int, table: Any) -> Any:
    """Add the area of corners; the table grows when it is half full."""
    position = 0
    while position < codes.size:
        if 2 * used >= table.shape[0]:
            table = _rehashed(table, 4 * table.shape[0])
        position, used = _add_corners(codes, squares, areas, position, used, table)
    return table, used


@njit(cache=True, nogil=True)
def _add_corners(
    codes: Any, squares: Any, areas: Any, first: int, used: int, table: Any
) -> tuple[int, int]:
    """Add the area of corners from ``first`` on, until a new distance finds the table half full.

    This function does not bind its arrays again, because Numba then counts references in the loop.

    Returns:
        The corner to go on with, and how many slots of the table are used.
    """
    bits = squares.view(np.uint64)
    for i in range(first, codes.size):
        at = _slot(table, squares[i], bits[i])
        if table[at, 0] < 0:
            if 2 * used >= table.shape[0]:
                return i, used
            table[at, 0] = squares[i]
            used += 1
        table[at, 1], table[at, 2] = _added(table[at, 1], table[at, 2], areas[codes[i]])
    return codes.size, used


@njit(cache=True, nogil=True)
def _slot(table: Any, key: float, bits: Any) -> Any:
    mask = np.uint64(table.shape[0] - 1)
    at = ((bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(36)) & mask
    while table[at, 0] >= 0 and table[at, 0] != key:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True, nogil=True)
def _rehashed(table: Any, size: int) -> Any:
    larger = _empty_table(size)
    bits = table[:, 0].copy().view(np.uint64)
    for i in range(table.shape[0]):
        if table[i, 0] >= 0:
            larger[_slot(larger, table[i, 0], bits[i])] = table[i]
    return larger


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
