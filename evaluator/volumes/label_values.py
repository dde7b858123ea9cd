"""Whole numbers from the numbers that a file stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

ROUNDING = 1e-6
"""Relative rounding of values that went through 32 bits."""

MOST_ROUNDING = 1e-3
"""The most that rounding may change a label, whatever its size."""

FINEST_STEP = 0.01
"""Where the stored numbers lie at most this far apart, the number next to a label stands for it.

A writer that scales labels to the range of its integers stores the nearest number it has.
"""

LARGEST_LABEL = 2**63 - 1

MOST_AT_ONCE = 2**22
"""Numbers that are converted at the same time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A volume as stored: value = number * slope + intercept."""

    array: NDArray[Any]
    grid: Grid
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def neutral(self) -> bool:
        """The stored numbers are the values."""
        return (self.slope, self.intercept) == (1.0, 0.0)


def whole_numbers(stored: Stored, path: Path) -> NDArray[np.integer[Any]]:
    """A volume's values as integers.

    Values that differ from integers by the rounding of the header or of the number type are
    rounded.

    Raises:
        VolumeError: a value is not an integer, or a label is too large.
    """
    array = stored.array
    if not stored.neutral or array.dtype.kind == "f":
        return _converted(stored, path)
    if array.dtype == np.uint64:
        return _signed(array, path)
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def _converted(stored: Stored, path: Path) -> NDArray[np.integer[Any]]:
    """The values as integers, converted by parts so that no second volume of floats is needed."""
    flat = stored.array.reshape(-1, order="A")
    converted = np.empty(flat.shape, _smallest_type(stored))
    for start in range(0, flat.size, MOST_AT_ONCE):
        part = flat[start : start + MOST_AT_ONCE]
        if not stored.neutral:
            part = part.astype(np.float64) * stored.slope + stored.intercept
        converted[start : start + MOST_AT_ONCE] = _rounded(part, stored, path)
    order: Literal["C", "F"] = "F" if stored.array.flags.f_contiguous else "C"
    return converted.reshape(stored.array.shape, order=order)


def _smallest_type(stored: Stored) -> type[np.int16 | np.int32]:
    """Sixteen bits if no number of the stored type can have a larger value."""
    kind = stored.array.dtype
    if kind.kind not in "iu":
        return np.int32
    limits = np.iinfo(kind)
    ends = [float(end) * stored.slope + stored.intercept for end in (limits.min, limits.max)]
    largest = max(map(abs, ends))
    return np.int16 if largest < np.iinfo(np.int16).max else np.int32


def _rounded(array: NDArray[Any], stored: Stored, path: Path) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        integers: NDArray[np.int32] = np.rint(array).astype(np.int32)
    if np.array_equal(integers, array):
        return integers
    with np.errstate(invalid="ignore"):
        off = np.abs(array - integers)
        limit = np.minimum(MOST_ROUNDING, ROUNDING * np.maximum(1.0, np.abs(array)))
        if not stored.neutral and stored.array.dtype.kind in "iu":
            step = abs(stored.slope)
            limit = np.maximum(limit, step * 0.5001 if step <= FINEST_STEP else 0.0)
        wrong = array[~(off <= limit)]
    if wrong.size:
        raise VolumeError(f"{path}: {_fault(wrong.flat[0], stored)}")
    return integers


def _fault(value: float, stored: Stored) -> str:
    text = "NaN" if np.isnan(value) else f"{value:.10g}"
    message = f"a mask must hold whole numbers of at most 32 bits; this file holds {text}"
    if stored.neutral:
        return message
    return (
        f"{message}. Its header scales the stored numbers (scl_slope {stored.slope:.6g}, scl_inter "
        f"{stored.intercept:.6g}): save the labels again with an integer type and without a scale"
    )


def _signed(array: NDArray[Any], path: Path) -> NDArray[np.int64]:
    if array.size and int(array.max()) > LARGEST_LABEL:
        raise VolumeError(
            f"{path}: holds the label {int(array.max())}; labels up to 2^63 - 1 are read"
        )
    return array.view(np.int64)
