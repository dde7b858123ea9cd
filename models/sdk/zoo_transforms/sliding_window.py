"""Windows on a volume: where a network of one input size looks, and how it looks on where an object goes on beyond one.

A window is told by its first voxel's index, which may lie before the volume. Needs numpy; ``slide`` scipy.
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

#: what a window shows of the object, bool of the window's shape; None where there is nothing to be seen
Look = Callable[[Index, "Index | None"], Any]


def starts(size: int, edge: int, share: float) -> List[int]:
    """Along one axis: first voxels of windows that cover ``size`` voxels and overlap by a ``share`` of their ``edge``.

    It is MONAI's rule: steps of ``edge * (1 - share)`` voxels, the last window moved back into the volume; a volume
    smaller than a window lies in the middle of one (of an odd rest, one voxel more behind it).
    """
    if size <= edge:
        return [-((edge - size) // 2)]
    step = max(int(edge * (1 - share)), 1)
    made = [0]
    while made[-1] + edge < size:
        made.append(min(made[-1] + step, size - edge))
    return made


def covering(volume: Sequence[int], edge: Index, share: float) -> List[Index]:
    """Windows that cover a volume, the last axis running fastest (see ``starts``)."""
    return [(a, b, c) for a, b, c in product(*(starts(size, own, share) for size, own in zip(volume, edge)))]


def cut(array: Any, start: Sequence[int], shape: Index, *, beyond: float | None) -> NDArray[Any]:
    """A window's values; beyond the volume stands ``beyond``, or the outermost value where that is None."""
    here, part = overlap(start, shape, array.shape)
    if beyond is None:
        before_after = [(own.start, n - own.stop) for own, n in zip(part, shape)]
        return np.pad(array[here], before_after, mode="edge")
    made = np.full(shape, beyond, dtype=array.dtype)
    made[part] = array[here]
    return made


@dataclass(frozen=True)
class Slid:
    """A mask of the whole volume, from how many windows it was made, and how many were left out."""

    mask: Any
    looks: int
    left_out: int


def slide(first: Sequence[Index], look: Look, edge: Index, volume: Index, most: int) -> Slid:
    """Look through windows, and on through neighbours half a window away wherever the object meets a window's face.

    ``look(start, click)`` answers for a window; ``click`` is None in the ``first`` ones, in which the user's clicks are,
    and else the volume's voxel that lies deepest in what the window can see of the mask so far. A voxel is decided by
    the window in which it lies deepest. At most ``most`` windows are looked through.
    """
    whole = np.zeros(volume, dtype=bool)
    decided = np.zeros(volume, dtype=np.uint16)
    depth = _depth(edge)
    waiting: List[Tuple[Index, Index | None]] = [(start, None) for start in dict.fromkeys(first)]
    seen = {start for start, _ in waiting}
    looks = 0
    while waiting and looks < most:
        start, click = waiting.pop(0)
        looks += 1
        mask = look(start, click)
        if mask is None:
            continue
        here, part = overlap(start, edge, volume)
        deeper = depth[part] > decided[here]
        whole[here] = np.where(deeper, mask[part], whole[here])
        decided[here] = np.maximum(decided[here], depth[part])
        for neighbour in _neighbours(mask, start, edge, volume):
            if neighbour not in seen:
                seen.add(neighbour)
                deepest = _deepest(whole, neighbour, edge)
                if deepest is not None:
                    waiting.append((neighbour, deepest))
    return Slid(whole, looks, len(waiting))


@lru_cache(maxsize=4)
def _depth(edge: Index) -> NDArray[np.uint16]:
    """Of each voxel of a window: how far it lies from the window's border, from 1."""
    lines = [np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 for n in edge]
    inner = np.minimum(np.minimum(lines[0][:, None, None], lines[1][None, :, None]), lines[2][None, None, :])
    return np.asarray(inner, dtype=np.uint16)


def _neighbours(mask: Any, start: Index, edge: Index, volume: Index) -> List[Index]:
    """Windows half a window away across the faces that a mask meets, unless the volume ends there."""
    found = []
    for axis in range(3):
        for face, step in ((0, -(edge[axis] // 2)), (-1, edge[axis] // 2)):
            ends = start[axis] <= 0 if face == 0 else start[axis] + edge[axis] >= volume[axis]
            if not ends and mask.take(face, axis).any():
                a, b, c = (n + (step if axis == own else 0) for own, n in enumerate(start))
                found.append((a, b, c))
    return found


def _deepest(whole: Any, start: Index, edge: Index) -> Index | None:
    """The volume's voxel that lies deepest in what a window can see of the mask so far."""
    from scipy import ndimage

    here, _ = overlap(start, edge, whole.shape)
    visible = whole[here]
    if not visible.any():
        return None
    depth = ndimage.distance_transform_cdt(np.pad(visible, 1), metric="taxicab")[1:-1, 1:-1, 1:-1]
    index = np.unravel_index(int(np.argmax(depth)), depth.shape)
    a, b, c = (int(n) + own.start for n, own in zip(index, here))
    return (a, b, c)
