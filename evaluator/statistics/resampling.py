"""Resampling of subjects: one matrix of random numbers serves every column."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: bootstrap samples
RESAMPLES = 4999
#: up to so many subjects all 2**n sign flips are listed
ALL_FLIPS = 13
#: columns that are resampled at once; they fit into the processor's cache
_COLUMNS = 64
#: random numbers are generated for so many subjects at a time
_BLOCK = 512


def resampled_means(columns: Matrix, resamples: int, seed: int) -> Iterator[tuple[slice, Matrix]]:
    """Means of the columns over subjects drawn with replacement.

    Args:
        columns: (n, m), of n subjects.
        resamples: number of resamples.
        seed: of the resamples.

    Yields:
        A slice of at most 64 columns, and their means, (resamples, columns of the slice).
    """
    numbers = _numbers(len(columns), resamples, seed)
    for part, values in _parts(columns):
        yield part, _drawn_sums(numbers, values) / len(columns)


def flipped_sums(columns: Matrix) -> Iterator[tuple[slice, Matrix]]:
    """Sums of the columns with flipped signs: all 2**n flips, the unchanged one included.

    Args:
        columns: (n, m), of at most ``ALL_FLIPS`` subjects.

    Yields:
        A slice of at most 64 columns, and their sums, (flips, columns of the slice).
    """
    n = len(columns)
    # the flips are the bits of a number
    numbers = np.arange(2**n, dtype=np.uint32)[:, None] >> np.arange(n, dtype=np.uint32)
    for part, values in _parts(columns):
        yield part, _flipped_sums(numbers, values)


def draws(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """The subjects that each resample draws, (resamples, n), numbers from 0 to n - 1."""
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
    """Random 32-bit numbers, (resamples, count * block).

    The first blocks are the same whatever the count.
    """
    generators = [np.random.default_rng([seed, block]) for block in range(count)]
    shape = (resamples, _BLOCK)
    blocks = [rng.integers(0, 2**32, shape, dtype=np.uint32) for rng in generators]
    return np.concatenate(blocks, axis=1)


# the order of the sums is free, so the processor may compute many at a time; a library's threads
# are not used, because they would wait for each other longer than such small products take
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _drawn_sums(numbers: Any, columns: Any) -> Any:
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
def _flipped_sums(numbers: Any, columns: Any) -> Any:
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
