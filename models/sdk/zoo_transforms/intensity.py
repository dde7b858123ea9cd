"""Voxel values on the way into a network. Needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Undefined(ValueError):
    """These values have no normalisation: they are all alike, or too few."""


def standardised(array: Any, where: Any) -> NDArray[np.float32]:
    """Minus the mean and by the standard deviation (n - 1) of the voxels ``where``; all voxels are changed, float32.

    Raises Undefined where these voxels are all alike, or fewer than two.
    """
    values = array[where].astype(np.float64)
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    if not deviation > 0:
        raise Undefined("nothing to standardise by: %d voxels, all alike" % values.size)
    return np.asarray((array - values.mean()) / deviation, dtype=np.float32)
