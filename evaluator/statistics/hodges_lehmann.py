"""The Hodges-Lehmann shift of paired differences: the median of all Walsh averages.

Hodges and Lehmann, Ann Math Stat 1963;34:598-611. The Walsh averages are the means of each two of n
values, each value with itself included. They are not listed: in sorted values, the averages up to a
bound are counted in n steps, so the median is found by halving the range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

#: halvings of the range, after which different averages of 64-bit values are practically equal
_HALVINGS = 60


def hodges_lehmann(columns: Matrix) -> NDArray[np.float64]:
    """The shift of each column of differences.

    Args:
        columns: (n, m), n at least 1.

    Returns:
        (m,), in the differences' unit.
    """
    ordered = np.ascontiguousarray(np.sort(columns, axis=0).T)
    shifts: NDArray[np.float64] = _medians(ordered)
    return shifts


@njit(cache=True, nogil=True)
def _medians(ordered: Any) -> Any:
    shifts = np.empty(ordered.shape[0])
    n = ordered.shape[1]
    pairs = n * (n + 1) // 2
    for row in range(ordered.shape[0]):
        values = ordered[row]
        upper = _at(values, pairs // 2 + 1)
        shifts[row] = upper if pairs % 2 else (upper + _at(values, pairs // 2)) / 2
    return shifts


@njit(cache=True, nogil=True)
def _at(values: Any, rank: int) -> float:
    """The Walsh average of this rank, counted from 1."""
    low, high = values[0], values[-1]
    if _count(values, low) >= rank:
        return float(low)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        if middle <= low or middle >= high:
            break
        if _count(values, middle) >= rank:
            high = middle
        else:
            low = middle
    return _next(values, low)


@njit(cache=True, nogil=True)
def _count(values: Any, bound: float) -> int:
    """The number of Walsh averages that are at most the bound."""
    n = values.size
    j, count = n - 1, 0
    for i in range(n):
        while j >= i and (values[i] + values[j]) / 2 > bound:
            j -= 1
        if j < i:
            break
        count += j - i + 1
    return count


@njit(cache=True, nogil=True)
def _next(values: Any, bound: float) -> float:
    """The smallest Walsh average above the bound."""
    n = values.size
    j, least = n - 1, values[-1]
    for i in range(n):
        while j >= i and (values[i] + values[j]) / 2 > bound:
            least = min(least, (values[i] + values[j]) / 2)
            j -= 1
    return float(least)
