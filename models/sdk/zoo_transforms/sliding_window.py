"""Windows on a volume for a network of one input size, and following an object beyond a window.

A window is given by the index of its first voxel, which may lie before the volume.
Needs numpy; ``slide`` needs scipy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Callable, List, Sequence, Tuple

import numpy as np

from zoo_transforms.resampling import overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = Tuple[int, int, int]

#: (first voxel of a window, click) -> the object in it, bool of the window's shape; None: nothing
Look = Callable[[Index, "Index | None"], Any]


def starts(size: int, edge: int, share: float) -> List[int]:
    """First voxels of windows that cover one axis, by MONAI's rule.

    The steps are ``edge * (1 - share)`` voxels and the last window is moved back into the volume. A
    volume smaller than a window lies in the middle of one (of an odd rest, one voxel more after
    it).

    Args:
        size: voxels of the volume.
        edge: voxels of a window.
        share: the part of its edge by which a window overlaps the next.
    """
    if size <= edge:
        return [-((edge - size) // 2)]
    step = max(int(edge * (1 - share)), 1)
    firsts = [0]
    while firsts[-1] + edge < size:
        firsts.append(min(firsts[-1] + step, size - edge))
    return firsts


def covering(volume: Sequence[int], edge: Index, share: float) -> List[Index]:
    """First voxels of windows that cover a volume, the last axis running fastest (``starts``)."""
    i, j, k = (starts(size, length, share) for size, length in zip(volume, edge))
    return list(product(i, j, k))


def cut(array: Any, start: Sequence[int], shape: Index, *, beyond: float | None) -> NDArray[Any]:
    """A window's values; ``beyond`` stands beyond the volume, or the outermost value if None."""
    in_volume, in_window = overlap(start, shape, array.shape)
    if beyond is None:
        padding = [(part.start, n - part.stop) for part, n in zip(in_window, shape)]
        return np.pad(array[in_volume], padding, mode="edge")
    values = np.full(shape, beyond, dtype=array.dtype)
    values[in_window] = array[in_volume]
    return values


@dataclass(frozen=True)
class Slid:
    """A mask of the volume, how many windows it was made from, and how many were left out."""

    mask: Any
    looks: int
    left_out: int


def slide(first: Sequence[Index], look: Look, edge: Index, volume: Index, most: int) -> Slid:
    """Segment windows, and their neighbours wherever the object meets the face of a window.

    A neighbour lies half a window away. The window in which a voxel lies deepest decides it.

    Args:
        first: the windows that hold the user's clicks.
        look: segments a window. Its click is None for the ``first`` windows, else the volume's
            voxel that lies deepest in the part of the present mask that the window shows.
        edge: shape of a window, voxels.
        volume: shape of the volume, voxels.
        most: the largest number of windows to segment.
    """
    mask = np.zeros(volume, dtype=bool)
    decided = np.zeros(volume, dtype=np.uint16)
    depth = _depth(edge)
    waiting: List[Tuple[Index, Index | None]] = [(start, None) for start in dict.fromkeys(first)]
    seen = {start for start, _ in waiting}
    looks = 0
    while waiting and looks < most:
        start, click = waiting.pop(0)
        looks += 1
        window = look(start, click)
        if window is None:
            continue
        in_volume, in_window = overlap(start, edge, volume)
        deeper = depth[in_window] > decided[in_volume]
        mask[in_volume] = np.where(deeper, window[in_window], mask[in_volume])
        decided[in_volume] = np.maximum(decided[in_volume], depth[in_window])
        for neighbour in _neighbours(window, start, edge, volume):
            if neighbour not in seen:
                seen.add(neighbour)
                deepest = _deepest(mask, neighbour, edge)
                if deepest is not None:
                    waiting.append((neighbour, deepest))
    return Slid(mask, looks, len(waiting))


@lru_cache(maxsize=4)
def _depth(edge: Index) -> NDArray[np.uint16]:
    """The distance of each voxel of a window from the window's border, from 1."""
    i, j, k = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 for n in edge)
    depth = np.minimum(np.minimum(i[:, None, None], j[None, :, None]), k[None, None, :])
    return np.asarray(depth, dtype=np.uint16)


def _neighbours(mask: Any, start: Index, edge: Index, volume: Index) -> List[Index]:
    """Windows half a window away across the faces that a mask meets, inside the volume."""
    neighbours = []
    for axis in range(3):
        for face, step in ((0, -(edge[axis] // 2)), (-1, edge[axis] // 2)):
            ends = start[axis] <= 0 if face == 0 else start[axis] + edge[axis] >= volume[axis]
            if not ends and mask.take(face, axis).any():
                a, b, c = (n + (step if axis == moved else 0) for moved, n in enumerate(start))
                neighbours.append((a, b, c))
    return neighbours


def _deepest(mask: Any, start: Index, edge: Index) -> Index | None:
    """The volume's voxel that lies deepest in the part of a mask that a window shows."""
    from scipy import ndimage

    in_volume, _ = overlap(start, edge, mask.shape)
    visible = mask[in_volume]
    if not visible.any():
        return None
    padded = np.pad(visible, 1)
    depth = ndimage.distance_transform_cdt(padded, metric="taxicab")[1:-1, 1:-1, 1:-1]
    index = np.unravel_index(int(np.argmax(depth)), depth.shape)
    a, b, c = (int(n) + part.start for n, part in zip(index, in_volume))
    return (a, b, c)
