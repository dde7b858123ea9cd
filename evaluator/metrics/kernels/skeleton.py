"""Centre lines of tubular organs, and how much of each lies inside the other mask (clDice).

The centre line is the curve skeleton. It remains when border voxels whose removal does not change
the topology are removed, one direction after the other, ends excepted (Lee, Kashyap and Chu, CVGIP
56:462, 1994). The object is connected over faces, edges and corners, the background over faces.
clDice is by Shit et al., CVPR 2021, arXiv 2003.07311.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTIONS = ((0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0))
"""Borders are thinned in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreLines:
    """Voxels on the two centre lines, and how many of these lie in the other mask."""

    reference: int
    reference_inside: int
    prediction: int
    prediction_inside: int


def measure_centre_lines(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_]
) -> CentreLines:
    """Compare two masks of one shape with three axes by their centre lines."""
    lines = [thin(mask) for mask in (reference, prediction)]
    return CentreLines(
        reference=int(np.count_nonzero(lines[0])),
        reference_inside=int(np.count_nonzero(lines[0] & prediction)),
        prediction=int(np.count_nonzero(lines[1])),
        prediction_inside=int(np.count_nonzero(lines[1] & reference)),
    )


def thin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The curve skeleton of a mask, (planes, rows, columns) bool.

    Memory is 1 byte a voxel and some 20 bytes a border voxel.
    """
    padded = np.pad(mask.view(np.uint8), 1)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    around = np.array(_AROUND) @ strides
    _thin(padded.reshape(-1), around, np.array(DIRECTIONS) @ strides, _JOINED, _JOINED_BY_FACES)
    return padded[1:-1, 1:-1, 1:-1] > 0


_AROUND = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def _joined(near: Any) -> NDArray[np.int64]:
    """For each of the 26 neighbours, the bits of the neighbours that it is connected with."""
    bits = np.zeros(len(_AROUND), dtype=np.int64)
    for (i, a), (j, b) in product(enumerate(_AROUND), repeat=2):
        if near(a, b):
            bits[i] |= 1 << j
    return bits


def _touch(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two different voxels share a face, an edge or a corner."""
    return a != b and max(abs(i - j) for i, j in zip(a, b, strict=True)) == 1


def _share_face(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two voxels share a face, both of them among the middle's 18 neighbours."""
    among = sum(map(abs, a)) < 3 and sum(map(abs, b)) < 3
    return among and sum(abs(i - j) for i, j in zip(a, b, strict=True)) == 1


_JOINED = _joined(_touch)
_JOINED_BY_FACES = _joined(_share_face)
_FACES = sum(1 << i for i, step in enumerate(_AROUND) if sum(map(abs, step)) == 1)
_CORNERS = sum(1 << i for i, step in enumerate(_AROUND) if sum(map(abs, step)) == 3)
_ALL = 2**26 - 1


@njit(cache=True, nogil=True)
def _neighbours(voxels: Any, at: int, around: Any) -> int:
    bits = 0
    for i in range(26):
        if voxels[at + around[i]]:
            bits |= 1 << i
    return bits


@njit(cache=True, nogil=True)
def _component(bits: int, seed: int, joined: Any) -> int:
    """The component of ``bits`` that holds the bit ``seed``."""
    component, edge = seed, seed
    while edge:
        grown = 0
        for i in range(26):
            if edge >> i & 1:
                grown |= joined[i]
        edge = grown & bits & ~component
        component |= edge
    return component


@njit(cache=True, nogil=True)
def _is_one_component(bits: int, joined: Any) -> bool:
    return bits != 0 and _component(bits, bits & -bits, joined) == bits


@njit(cache=True, nogil=True)
def _background_is_one_component(bits: int, joined_by_faces: Any) -> bool:
    """Whether the background that touches the middle's faces is one component."""
    outside = ~bits & _ALL & ~_CORNERS
    faces = outside & _FACES
    return faces != 0 and _component(outside, faces & -faces, joined_by_faces) & _FACES == faces


@njit(cache=True, nogil=True)
def _thin(voxels: Any, around: Any, directions: Any, joined: Any, joined_by_faces: Any) -> None:
    """Thin a padded volume in place.

    1 is inside, 2 is on the border; ``border`` lists the border voxels in order.
    """
    for at in range(voxels.size):
        if voxels[at] and _on_border(voxels, at, directions):
            voxels[at] = 2
    border = np.flatnonzero(voxels == 2)
    changed = True
    while changed:
        changed = False
        for direction in directions:
            chosen = _removable(voxels, border, direction, around, joined, joined_by_faces)
            exposed = np.empty(6 * chosen.size, dtype=np.int64)
            removed, new = 0, 0
            for at in chosen:
                # voxels removed before it in this pass may have left it as a bridge
                if not _is_one_component(_neighbours(voxels, at, around), joined):
                    continue
                voxels[at] = 0
                removed += 1
                for step in directions:
                    if voxels[at + step] == 1:
                        voxels[at + step] = 2
                        exposed[new] = at + step
                        new += 1
            if removed:
                changed = True
                border = _merged(
                    voxels, border, np.sort(exposed[:new]), border.size - removed + new
                )


@njit(cache=True, nogil=True)
def _on_border(voxels: Any, at: int, directions: Any) -> bool:
    bare = False
    for step in directions:
        bare |= voxels[at + step] == 0
    return bare


@njit(cache=True, nogil=True)
def _removable(
    voxels: Any, border: Any, direction: int, around: Any, joined: Any, joined_by_faces: Any
) -> Any:
    """Voxels without a neighbour in this direction that can be removed.

    They are not ends, and their removal does not change the topology.
    """
    chosen = np.empty(border.size, dtype=np.int64)
    count = 0
    for at in border:
        if voxels[at + direction]:
            continue
        bits = _neighbours(voxels, at, around)
        if (
            bits & (bits - 1)
            and _is_one_component(bits, joined)
            and _background_is_one_component(bits, joined_by_faces)
        ):
            chosen[count] = at
            count += 1
    return chosen[:count]


@njit(cache=True, nogil=True)
def _merged(voxels: Any, border: Any, exposed: Any, size: int) -> Any:
    """Merge two sorted lists of voxels, without the voxels that were removed."""
    out = np.empty(size, dtype=np.int64)
    count, j = 0, 0
    for at in border:
        if not voxels[at]:
            continue
        while j < exposed.size and exposed[j] < at:
            if voxels[exposed[j]]:
                out[count] = exposed[j]
                count += 1
            j += 1
        out[count] = at
        count += 1
    while j < exposed.size:
        if voxels[exposed[j]]:
            out[count] = exposed[j]
            count += 1
        j += 1
    return out[:count]
