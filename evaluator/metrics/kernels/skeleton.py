"""Centre lines of tubular organs, and how much of each runs inside the other mask (clDice).

The centre line is the curve skeleton that is left when border voxels whose removal changes no topology are taken away,
one direction after the other, ends excepted (Lee, Kashyap and Chu, CVGIP 56:462, 1994): the object joined over faces,
edges and corners, the background over faces. clDice is by Shit et al., CVPR 2021, arXiv 2003.07311.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

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
    """The mask's curve skeleton, (planes, rows, columns) bool; memory is 1 byte a voxel and some 20 a border voxel."""
    padded = np.pad(mask.view(np.uint8), 1)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    around = np.array(_AROUND) @ strides
    _thin(padded.reshape(-1), around, np.array(DIRECTIONS) @ strides, _JOINED, _JOINED_BY_FACES)
    return padded[1:-1, 1:-1, 1:-1] > 0


_AROUND = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def _joined(near: Any) -> NDArray[np.int64]:
    """For each of the 26 neighbours the bits of those that it is joined with."""
    return np.array(
        [sum(1 << j for j, b in enumerate(_AROUND) if near(a, b)) for a in _AROUND], dtype=np.int64
    )


def _share_face(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Both among the 18 neighbours that share a face or an edge with the middle, and a face with each other."""
    among = sum(map(abs, a)) < 3 and sum(map(abs, b)) < 3
    return among and sum(abs(i - j) for i, j in zip(a, b, strict=True)) == 1


_JOINED = _joined(lambda a, b: a != b and max(abs(i - j) for i, j in zip(a, b, strict=True)) == 1)
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
def _piece(bits: int, seed: int, joined: Any) -> int:
    """The piece of ``bits`` that holds the bit ``seed``."""
    piece, edge = seed, seed
    while edge:
        grown = 0
        for i in range(26):
            if edge >> i & 1:
                grown |= joined[i]
        edge = grown & bits & ~piece
        piece |= edge
    return piece


@njit(cache=True, nogil=True)
def _one_piece(bits: int, joined: Any) -> bool:
    return bits != 0 and _piece(bits, bits & -bits, joined) == bits


@njit(cache=True, nogil=True)
def _outside_is_one(bits: int, joined_by_faces: Any) -> bool:
    """Is the background that touches the middle's faces one piece."""
    outside = ~bits & _ALL & ~_CORNERS
    faces = outside & _FACES
    return faces != 0 and _piece(outside, faces & -faces, joined_by_faces) & _FACES == faces


@njit(cache=True, nogil=True)
def _thin(voxels: Any, around: Any, directions: Any, joined: Any, joined_by_faces: Any) -> None:
    """Thin a padded volume in place. 1 is inside, 2 is on the border, whose voxels ``border`` lists in order."""
    for at in range(voxels.size):
        if voxels[at] and _on_border(voxels, at, directions):
            voxels[at] = 2
    border = np.flatnonzero(voxels == 2)
    changed = True
    while changed:
        changed = False
        for direction in directions:
            chosen = _removable(voxels, border, direction, around, joined, joined_by_faces)
            bared = np.empty(6 * chosen.size, dtype=np.int64)
            removed, new = 0, 0
            for at in chosen:
                # those taken away before it in this turn may have left it as a bridge
                if not _one_piece(_neighbours(voxels, at, around), joined):
                    continue
                voxels[at] = 0
                removed += 1
                for step in directions:
                    if voxels[at + step] == 1:
                        voxels[at + step] = 2
                        bared[new] = at + step
                        new += 1
            if removed:
                changed = True
                border = _merged(voxels, border, np.sort(bared[:new]), border.size - removed + new)


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
    """Voxels without a neighbour in this direction that are no ends and whose removal changes no topology."""
    chosen = np.empty(border.size, dtype=np.int64)
    found = 0
    for at in border:
        if voxels[at + direction]:
            continue
        bits = _neighbours(voxels, at, around)
        if (
            bits & (bits - 1)
            and _one_piece(bits, joined)
            and _outside_is_one(bits, joined_by_faces)
        ):
            chosen[found] = at
            found += 1
    return chosen[:found]


@njit(cache=True, nogil=True)
def _merged(voxels: Any, border: Any, bared: Any, size: int) -> Any:
    """What is left of two sorted lists of voxels, as one."""
    out = np.empty(size, dtype=np.int64)
    found, j = 0, 0
    for at in border:
        if not voxels[at]:
            continue
        while j < bared.size and bared[j] < at:
            if voxels[bared[j]]:
                out[found] = bared[j]
                found += 1
            j += 1
        out[found] = at
        found += 1
    while j < bared.size:
        if voxels[bared[j]]:
            out[found] = bared[j]
            found += 1
        j += 1
    return out[:found]
