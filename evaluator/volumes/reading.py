"""Read the user's images and references; the reader of all formats is ``VolumeFile``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.volumes.label_values import Stored, whole_numbers
from evaluator.volumes.volume_file import VolumeFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid


def read_grid(path: Path) -> Grid:
    """The grid of a volume in millimetres, from its header alone; raises VolumeError."""
    return VolumeFile(path, untrusted=False).grid


def read_image(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read an image.

    Returns:
        The values in the file's unit, float32 (i, j, k), and the grid.

    Raises:
        VolumeError: the file cannot be read.
    """
    stored = read_stored(path)
    array = stored.array.astype(np.float32)
    if not stored.neutral:
        array *= np.float32(stored.slope)
        array += np.float32(stored.intercept)
    return array, stored.grid


def read_labels(path: Path) -> tuple[NDArray[np.integer[Any]], Grid]:
    """Read a mask or label map.

    Floating-point files are accepted if every voxel is an integer but for rounding.

    Returns:
        The labels (i, j, k) in the file's integer type, and the grid.

    Raises:
        VolumeError: the file cannot be read, or holds other numbers than integers.
    """
    stored = read_stored(path)
    return whole_numbers(stored, path), stored.grid


def labels_of_nifti(content: bytes, path: Path) -> tuple[NDArray[np.integer[Any]], Grid]:
    """As ``read_labels``, of a file's bytes; ``path`` names the file in errors."""
    stored = read_stored(path, content)
    return whole_numbers(stored, path), stored.grid


def read_stored(path: Path, content: bytes | None = None) -> Stored:
    """Read a volume, converted to this machine's byte order only; raises VolumeError.

    An image of two axes has one voxel along the third. ``content``: the file's bytes, where they
    are read already.
    """
    stored = VolumeFile(path, untrusted=False, content=content).read_stored()
    array = stored.array.reshape(stored.grid.shape, order="F")
    return Stored(array, stored.grid, stored.slope, stored.intercept)
