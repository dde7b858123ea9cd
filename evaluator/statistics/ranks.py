"""Ranks with ties, as ``scipy.stats.rankdata`` gives them.

``scipy.stats`` takes a second of processor time to import, which is longer than a comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rank_data(
    values: NDArray[Any], axis: int = -1, ties: Literal["average", "min"] = "average"
) -> NDArray[np.float64]:
    """Ranks along an axis; the smallest value has rank 1.

    Args:
        values: any shape. NaN gets the last ranks, which have no meaning.
        axis: along which values are ranked.
        ties: equal values get the mean of their ranks, or the smallest of them.

    Returns:
        An array of the same shape.
    """
    lines = np.moveaxis(np.asarray(values), axis, -1)
    if lines.size == 0:
        return np.zeros(np.shape(values))
    order = np.argsort(lines, axis=-1, kind="stable")
    ordered = np.take_along_axis(lines, order, axis=-1)
    is_first = np.ones(ordered.shape, dtype=bool)
    is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    counts = np.diff(np.flatnonzero(is_first), append=ordered.size)
    first_rank = np.broadcast_to(np.arange(1.0, ordered.shape[-1] + 1), ordered.shape)[is_first]
    if ties == "average":
        first_rank += (counts - 1) / 2
    ranks = np.empty(ordered.shape)
    np.put_along_axis(ranks, order, np.repeat(first_rank, counts).reshape(ordered.shape), axis=-1)
    return np.moveaxis(ranks, -1, axis)
