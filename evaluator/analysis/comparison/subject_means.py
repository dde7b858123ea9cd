"""Statistics over subjects: the one place that defines how they are computed.

The unit of every statistic is the subject. Values of one subject (its sessions and seeds) are
averaged first, so every subject has the same weight however often it was imaged. ``umd show``,
``umd compare``, ``umd rank`` and the report all use these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def sum_by_subject(values: Any, subject: NDArray[np.int64]) -> Any:
    """Sum over each subject's values.

    Args:
        values: Array of shape (..., units).
        subject: Array of shape (units,): the number of each unit's subject, in ascending order
            from 0 and without gaps.

    Returns:
        Array of shape (..., subjects).
    """
    if not len(subject):
        return np.zeros((*values.shape[:-1], 0))
    starts = np.flatnonzero(np.diff(subject, prepend=-1))
    return np.add.reduceat(values.astype(np.float64), starts, axis=-1)


def mean_by_subject(values: Any, subject: NDArray[np.int64]) -> Any:
    """Average each subject's values that are not NaN; NaN where there are none.

    Args:
        values: Array of shape (..., units).
        subject: As in ``sum_by_subject``.

    Returns:
        Array of shape (..., subjects).
    """
    sums = sum_by_subject(np.nan_to_num(values), subject)
    counts = sum_by_subject(~np.isnan(values), subject)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts


def with_target_mean(values: Any) -> Any:
    """Append each subject's mean over targets as one more target.

    Args:
        values: Array of shape (k, targets, subjects).

    Returns:
        Array of shape (k, targets + 1, subjects).
    """
    present = ~np.isnan(values)
    counts = present.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nan_to_num(values).sum(axis=1, keepdims=True) / counts
    return np.concatenate([values, mean], axis=1)


def groups_of_equal_size(values: Floats) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield rows with the same number of subjects together.

    Args:
        values: Array of shape (rows, subjects), NaN where a subject has no value.

    Yields:
        The indices of the rows, and their values without NaN as an array (n, len(indices)).
    """
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    for count in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == count)
        yield rows, values[rows][present[rows]].reshape(len(rows), count).T


def describe_subjects(values: Floats) -> dict[str, NDArray[Any]]:
    """Compute statistics over subjects for each row.

    Args:
        values: Array of shape (rows, subjects), NaN where a subject has no value.

    Returns:
        Arrays of shape (rows,): ``n`` (subjects with a value), ``mean``, ``sd`` (n - 1 in the
        denominator), ``median``, ``q1`` and ``q3`` (linear interpolation). NaN where undefined.
    """
    n = (~np.isnan(values)).sum(axis=1)
    statistics = {name: np.full(len(n), np.nan) for name in ("mean", "sd", "median", "q1", "q3")}
    for rows, columns in groups_of_equal_size(values):
        statistics["mean"][rows] = columns.mean(axis=0)
        if len(columns) > 1:
            statistics["sd"][rows] = columns.std(axis=0, ddof=1)
        for name, percent in (("q1", 25), ("median", 50), ("q3", 75)):
            statistics[name][rows] = np.percentile(columns, percent, axis=0)
    return {"n": n} | statistics
