"""How much surface lies in a 2x2x2 neighbourhood of voxels, by the shape that its inside voxels make.

A surface corner ("surfel") is a corner of the voxel grid whose eight neighbours (2-D: four) are not all inside or all
outside. Its area is that of the triangles which marching cubes lays through the neighbourhood, with the vertices half
way between neighbours (Lorensen and Cline 1987), as DeepMind's surface-distance counts it (Nikolov et al.,
arXiv 1809.04430). Marching cubes cuts each piece of inside voxels off by itself: pieces are voxels joined by a face,
and where more than half are inside, the pieces are of the outside. So six pieces make up all 256 codes.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import combinations, product
from math import hypot
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Voxel = tuple[int, ...]


def surfel_areas(spacing: Sequence[float]) -> NDArray[np.float64]:
    """Surface in a neighbourhood of every code: (256,) mm^2 for three spacings in mm, (16,) mm for two (contours).

    A code has one bit for each voxel of the neighbourhood, in C order of its axes; the first is the highest bit.
    """
    return _surfel_areas(tuple(float(step) for step in spacing))


@lru_cache(maxsize=256)
def _surfel_areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Kept, because the scans of a dataset, and the targets and rounds of a scan, ask for the same again."""
    areas = np.array(
        [
            sum(_cut_area(piece, spacing) for piece in pieces)
            for pieces in _pieces_of_codes(len(spacing))
        ]
    )
    areas.flags.writeable = False
    return areas


@cache
def _pieces_of_codes(axes: int) -> list[list[list[Voxel]]]:
    """What marching cubes cuts off in a neighbourhood of every code: pieces of inside voxels, or else of outside ones."""
    voxels = tuple(product((0, 1), repeat=axes))
    full = 2 ** len(voxels) - 1
    pieces: list[list[list[Voxel]]] = [[] for _ in range(full + 1)]
    for code in range(1, full):
        inside = {voxel for bit, voxel in enumerate(reversed(voxels)) if code >> bit & 1}
        pieces[code] = _pieces(inside if 2 * len(inside) <= len(voxels) else set(voxels) - inside)
    return pieces


def _pieces(inside: set[Voxel]) -> list[list[Voxel]]:
    """The voxels in groups that are joined by faces."""
    left, pieces = set(inside), []
    while left:
        piece = [left.pop()]
        for voxel in piece:
            joined = [other for other in left if _apart(voxel, other) == 1]
            piece += joined
            left -= set(joined)
        pieces.append(piece)
    return pieces


def _apart(a: Voxel, b: Voxel) -> int:
    return sum(i != j for i, j in zip(a, b, strict=True))


def _cut_area(piece: list[Voxel], spacing: Sequence[float]) -> float:
    if len(spacing) == 2:
        return _cut_length(piece, spacing)
    # the areas of the voxel's three faces, and of the triangle that spans all three axes, in units of eighths
    a, b, c = spacing
    faces = (b * c, a * c, a * b)
    corner = hypot(*faces) / 8
    # how many of the piece's neighbouring pairs lie along each axis
    steps = [
        sum(_apart(p, q) == 1 and p[axis] != q[axis] for p, q in combinations(piece, 2))
        for axis in range(3)
    ]
    if len(piece) == 1:
        return corner
    if len(piece) == 2:  # a roof along the one axis
        return _roof(faces, steps.index(1))
    if len(piece) == 3:  # a flat floor in the plane of the two axes, and two slanted triangles
        return faces[steps.index(0)] / 2 + 3 * corner
    if sum(steps) == 4:  # four in a plane: the floor alone
        return faces[steps.index(0)]
    middle = [voxel for voxel in piece if sum(_apart(voxel, other) == 1 for other in piece) == 3]
    if middle:  # one with its three neighbours: a hexagon of slanted triangles
        return 6 * corner
    # a path that takes each axis once: half a roof at either end, along that end's step, and two slanted triangles
    inner = [voxel for voxel in piece if sum(_apart(voxel, other) == 1 for other in piece) == 2]
    axis = next(axis for axis in range(3) if inner[0][axis] != inner[1][axis])
    return sum(_roof(faces, end) for end in range(3) if end != axis) / 2 + 4 * corner


def _roof(faces: tuple[float, float, float], axis: int) -> float:
    return hypot(*(face for other, face in enumerate(faces) if other != axis)) / 2


def _cut_length(piece: list[Voxel], spacing: Sequence[float]) -> float:
    if len(piece) == 1:
        return hypot(*spacing) / 2
    along = next(axis for axis in range(2) if piece[0][axis] != piece[1][axis])
    return float(spacing[along])
