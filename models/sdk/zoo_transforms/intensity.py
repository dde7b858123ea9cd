"""Voxel values on the way into a network. Needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Undefined(ValueError):
    """These values cannot be normalised: they are all equal, or there are too few."""


def standardised(array: Any, where: Any) -> NDArray[np.float32]:
    """All voxels minus the mean and divided by the standard deviation (n - 1) of some, float32.

    Args:
        array: the image.
        where: bool, the voxels that the mean and the standard deviation are computed from.

    Raises:
        Undefined: these voxels are all equal, or there are fewer than two.
    """
    values = array[where].astype(np.float64)
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    if not deviation > 0:
        raise Undefined("nothing to standardise by: %d voxels, all equal" % values.size)
    return np.asarray((array - values.mean()) / deviation, dtype=np.float32)
