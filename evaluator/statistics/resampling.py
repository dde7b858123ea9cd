"""Resampling of subjects: one matrix of random numbers serves every column, whatever its number of subjects."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: bootstrap samples, and random sign flips where not all can be had
RESAMPLES = 4999
#: up to so many subjects all 2**n sign flips are taken
ALL_FLIPS = 13
#: columns that are resampled at once, few enough to stay in the processor's cache
_COLUMNS = 64
#: random numbers are drawn for so many subjects at a time
_BLOCK = 512


def resampled_means(columns: Matrix, resamples: int, seed: int) -> Iterator[tuple[slice, Matrix]]:
    """Means of the columns (n, m) over subjects drawn with replacement, (resamples, up to 64), and which columns they are."""
    numbers = _numbers(len(columns), resamples, seed)
    yield from ((part, _drawn(numbers, own) / len(columns)) for part, own in _parts(columns))


def flipped_sums(columns: Matrix, resamples: int, seed: int) -> Iterator[tuple[slice, Matrix]]:
    """Sums of the columns (n, m) with signs flipped, (k, up to 64), and which columns they are.

    For few subjects (up to ``ALL_FLIPS``) all 2**n flips, the unchanged one included; else ``resamples`` random ones.
    """
    n = len(columns)
    # the flips of few subjects are the bits of a number
    every = (
        np.arange(2**n, dtype=np.uint32)[:, None] >> np.arange(n, dtype=np.uint32)
        if n <= ALL_FLIPS
        else None
    )
    numbers = _numbers(n, resamples, seed) if every is None else every
    yield from ((part, _flipped(numbers, own)) for part, own in _parts(columns))


def draws(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Which of n subjects are drawn in each resample, (resamples, n)."""
    numbers = _numbers(n, resamples, seed)[:, :n].astype(np.uint64)
    return (numbers * np.uint64(n) >> np.uint64(32)).astype(np.int64)


def _parts(columns: Matrix) -> Iterator[tuple[slice, Matrix]]:
    for start in range(0, columns.shape[1], _COLUMNS):
        part = slice(start, min(start + _COLUMNS, columns.shape[1]))
        yield part, np.ascontiguousarray(columns[:, part].T)


def _numbers(n: int, resamples: int, seed: int) -> NDArray[np.uint32]:
    return _blocks(-(-n // _BLOCK), resamples, seed)


@lru_cache(maxsize=2)
def _blocks(count: int, resamples: int, seed: int) -> NDArray[np.uint32]:
    """Random 32-bit numbers, (resamples, count * block); the first blocks are the same whatever their count."""
    chance = [np.random.default_rng([seed, block]) for block in range(count)]
    parts = [one.integers(0, 2**32, (resamples, _BLOCK), dtype=np.uint32) for one in chance]
    return np.concatenate(parts, axis=1)


# sums may be made in any order, so that they are made many at a time; without a library's threads, which wait for each
# other longer than such small products take
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _drawn(numbers: Any, columns: Any) -> Any:
    """Sums over drawn subjects: a number's share of 2**32 is a subject's share of n."""
    m, n = columns.shape
    sums = np.empty((numbers.shape[0], m))
    times = np.empty(n)
    for row in range(numbers.shape[0]):
        times[:] = 0.0
        for i in range(n):
            times[(np.uint64(numbers[row, i]) * np.uint64(n)) >> np.uint64(32)] += 1.0
        for column in range(m):
            total = 0.0
            for i in range(n):
                total += times[i] * columns[column, i]
            sums[row, column] = total
    return sums


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _flipped(numbers: Any, columns: Any) -> Any:
    m, n = columns.shape
    sums = np.empty((numbers.shape[0], m))
    signs = np.empty(n)
    for row in range(numbers.shape[0]):
        for i in range(n):
            signs[i] = 1.0 if numbers[row, i] & np.uint32(1) else -1.0
        for column in range(m):
            total = 0.0
            for i in range(n):
                total += signs[i] * columns[column, i]
            sums[row, column] = total
    return sums
