"""Resampling of subjects: one matrix of draws serves all columns that have as many subjects."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: bootstrap samples, and random sign flips where not all can be had
RESAMPLES = 4999
#: up to so many subjects all 2**n sign flips are taken
ALL_FLIPS = 13
#: columns of resampled figures that are held at once
_COLUMNS = 512


def resampled_means(columns: Matrix, resamples: int, seed: int) -> Iterator[tuple[slice, Matrix]]:
    """Means of the columns (n, m) over subjects drawn with replacement, (resamples, up to 512), and which columns they are.

    The draws are those of ``numpy.random.default_rng(seed).integers(0, n, (resamples, n))``.
    """
    n, m = columns.shape
    drawn = _draws(n, resamples, seed)
    for start in range(0, m, _COLUMNS):
        part = slice(start, min(start + _COLUMNS, m))
        yield part, drawn @ columns[:, part] / n


def flips(n: int, resamples: int, seed: int) -> Matrix:
    """Signs, (k, n) of 1 and -1: all of them, the unchanged one included, for few subjects; else ``resamples`` random ones."""
    return _flips(n, resamples if n > ALL_FLIPS else 0, seed)


@lru_cache(maxsize=3)
def _draws(n: int, resamples: int, seed: int) -> Matrix:
    """How often each of n subjects is drawn in each resample."""
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    drawn += np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


@lru_cache(maxsize=3)
def _flips(n: int, resamples: int, seed: int) -> Matrix:
    if resamples == 0:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (resamples, n), dtype=np.int8)
    return np.where(bits == 1, -1.0, 1.0)
