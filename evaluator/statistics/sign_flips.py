"""The sign-flip test of a mean difference (Fisher, The Design of Experiments, 1935).

If modality made no difference, each subject's difference could as well have the other sign. The p
is the share of all 2**n patterns of signs whose mean is at least as far from 0. Up to 13 subjects
the patterns are listed. For more subjects the distribution of their sums is built subject by
subject: magnitudes are rounded to units of a grid, and adding one subject is the mean of the
distribution and of its copy moved by the subject's magnitude. So small p are as exact as large
ones, and nothing is random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evaluator.statistics.resampling import ALL_FLIPS, flipped_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

#: differences that are closer than this share of the largest score differ by rounding
ROUNDING = 1e-10
#: units of the sum of all magnitudes; the error of a p is below 1 % of it
_UNITS = 2**14


def without_rounding(differences: Matrix, scale: NDArray[np.float64]) -> Matrix:
    """Differences whose magnitudes are equal but for rounding, made equal; near 0 they are 0.

    Args:
        differences: (n, m).
        scale: (m,) largest magnitude of the scores that were subtracted.

    Returns:
        (n, m): each magnitude is the smallest one of those that it is equal to.
    """
    order = np.argsort(np.abs(differences), axis=0, kind="stable")
    ordered = np.take_along_axis(np.abs(differences), order, axis=0)
    starts = np.diff(ordered, axis=0, prepend=0.0) > ROUNDING * scale
    rows = np.where(starts, np.arange(len(ordered))[:, None], -1)
    first = np.maximum.accumulate(rows, axis=0)
    equal = np.where(first < 0, 0.0, np.take_along_axis(ordered, np.maximum(first, 0), axis=0))
    magnitudes = np.empty_like(ordered)
    np.put_along_axis(magnitudes, order, equal, axis=0)
    merged: Matrix = magnitudes * np.sign(differences)
    return merged


def sign_flip_p(differences: Matrix) -> NDArray[np.float64]:
    """Two-sided p of the mean difference among those with flipped signs.

    Args:
        differences: (n, m).

    Returns:
        (m,); never below 2**(1 - n), 1 where all differences are zero, NaN for one subject.
    """
    n, m = differences.shape
    if n < 2:
        return np.full(m, np.nan)
    if n <= ALL_FLIPS:
        return all_flips_p(differences)
    units = np.stack([_units(column) for column in np.abs(differences).T])
    observed = np.abs((units * np.sign(differences.T)).sum(axis=1)).astype(np.int64)
    p: NDArray[np.float64] = _tails(np.sort(units, axis=1), observed)
    return p


def all_flips_p(values: Matrix) -> NDArray[np.float64]:
    """The same for at most 13 subjects, by listing all patterns of signs."""
    enough = np.abs(values.sum(axis=0)) - 1e-12 * np.abs(values).sum(axis=0)
    p = np.empty(values.shape[1])
    for part, sums in flipped_sums(values):
        p[part] = (np.abs(sums) >= enough[part]).mean(axis=0)
    return p


def _units(magnitudes: NDArray[np.float64]) -> NDArray[np.int64]:
    """The magnitudes as whole numbers: multiples of the smallest one where all are, else rounded.

    Multiples of one number (counts, ties) keep their exact sums in this way.
    """
    total = magnitudes.sum()
    if total == 0:
        return np.zeros(len(magnitudes), dtype=np.int64)
    multiples = magnitudes / magnitudes[magnitudes > 0].min()
    units = np.round(multiples)
    if units.sum() > _UNITS or np.abs(multiples - units).max() >= 1e-6:
        units = np.round(magnitudes * (_UNITS / total))
    as_integers: NDArray[np.int64] = units.astype(np.int64)
    return as_integers


@njit(cache=True, nogil=True)
def _tails(units: Any, observed: Any) -> Any:
    """For each row of magnitudes the share of sign patterns with a sum beyond the observed one.

    The sum of the positive magnitudes s has the distribution ``share``; the signed sum is 2 s
    minus the total.
    """
    p = np.ones(units.shape[0])
    for row in range(units.shape[0]):
        total = units[row].sum()
        if observed[row] == 0:
            continue
        share = np.zeros(total + 1)
        moved = np.zeros(total + 1)
        share[0] = 1.0
        reach = 0
        for magnitude in units[row]:
            reach += magnitude
            _halve(moved[:magnitude], share[:magnitude])
            stop = reach + 1
            _average(moved[magnitude:stop], share[magnitude:stop], share[: stop - magnitude])
            share, moved = moved, share
        p[row] = 2.0 * share[(total + observed[row]) // 2 :].sum()
    return np.minimum(p, 1.0)


@njit(cache=True, nogil=True)
def _halve(result: Any, values: Any) -> None:
    for i in range(result.size):
        result[i] = 0.5 * values[i]


@njit(cache=True, nogil=True)
def _average(result: Any, values: Any, others: Any) -> None:
    for i in range(result.size):
        result[i] = 0.5 * (values[i] + others[i])
