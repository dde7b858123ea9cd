"""What a volume's header declares, and what the formats' parsers share.

Nothing in these parsers opens a file, follows a name that a header gives, or allocates memory for a
size that a header claims. All readers of the evaluator use them, so ``umd score``, ``umd run`` and
``umd data verify`` see one file alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import make_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zoo_sdk.wire import Grid

    Encoding = Literal["raw", "gzip", "zlib", "bzip2", "text"]

MOST_TEXT = 2**20
"""The most bytes of a header in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file declares about its voxels."""

    #: two or three axes, as stored; the grid of a two-axis image has one voxel along the third axis
    shape: tuple[int, ...]
    grid: Grid
    dtype: np.dtype[Any]
    slope: float = 1.0
    intercept: float = 0.0
    #: how the voxels are written (a NIfTI file is compressed as a whole, header included)
    encoding: Encoding = "raw"
    #: offset of the voxels in their file (of a compressed NIfTI file in its decompressed content);
    #: None: they end where the file ends
    start: int | None = 0
    #: lines and then bytes before the voxels, behind ``start``; bytes after decompression
    skipped_lines: int = 0
    skipped_bytes: int = 0
    #: the file of the voxels, as the header names it; empty: the header's own file
    data_file: str = ""
    #: why the grid's position is not known from the header; empty: the header states it
    no_position: str = ""

    @property
    def bytes(self) -> int:
        """The number of bytes of the voxels in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def trimmed(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without axes of one voxel after the third."""
    sizes = tuple(int(n) for n in shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def shape_and_grid(shape: tuple[int, ...], affine: Any) -> dict[str, Any]:
    """``shape`` and ``grid`` of a header; raises VolumeError."""
    if len(shape) not in (2, 3):
        raise VolumeError(
            f"a volume has three dimensions, an image two; this one has {shape}"
            f"{'; write a file for each of its volumes' if len(shape) > 3 else ''}"
        )
    return {"shape": shape, "grid": make_grid((*shape, 1)[:3], affine)}


def text_lines(body: bytes) -> Iterator[tuple[str, int]]:
    """The lines of a header in text and their ends; raises VolumeError for a line without end."""
    at = 0
    while at < MOST_TEXT:
        end = body.find(b"\n", at, MOST_TEXT)
        if end < 0:
            break
        yield body[at:end].decode("latin-1").rstrip("\r"), end + 1
        at = end + 1
    raise VolumeError(f"the header has no end in its first {min(len(body), MOST_TEXT)} bytes")


def numbers(text: str, kind: type) -> list[Any]:
    """The numbers of a field, divided by white space."""
    return [kind(part) for part in text.split()]


def affine_from_lps(axes: Any, origin: Any) -> Any:
    """The RAS affine, (4, 4).

    Args:
        axes: (n, n), n two or three, a row for each index axis in LPS millimetres.
        origin: position of voxel 0, (n,) LPS millimetres.
    """
    n = len(axes)
    affine = np.eye(4)
    affine[:n, :n] = np.asarray(axes, dtype=np.float64).T
    affine[:n, 3] = origin
    affine[:2] *= -1
    return affine
