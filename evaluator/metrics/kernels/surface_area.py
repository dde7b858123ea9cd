"""How much surface lies in a 2x2x2 neighbourhood of voxels, by the shape of its inside voxels.

A surface corner ("surfel") is a corner of the voxel grid whose eight neighbours (2-D: four) are not
all inside or all outside. Its area is that of the triangles which marching cubes puts through the
neighbourhood, with the vertices half way between neighbours (Lorensen and Cline 1987), as
DeepMind's surface-distance counts it (Nikolov et al., arXiv 1809.04430). Marching cubes cuts off
each component of inside voxels by itself. Components are joined over faces, and where more than
half of the voxels are inside, the components are those of the outside. So six shapes of components
make up all 256 codes.
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
    """Surface in a neighbourhood of each code.

    A code has one bit for each voxel of the neighbourhood, in C order of its axes; the first is the
    highest bit.

    Args:
        spacing: two or three, millimetres.

    Returns:
        (256,) mm^2 for three spacings; (16,) mm of contour for two.
    """
    return _surfel_areas(tuple(float(step) for step in spacing))


@lru_cache(maxsize=256)
def _surfel_areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Cached: the scans of a dataset, and the targets and rounds of a scan, need the same areas."""
    areas = np.array(
        [_total_area(components, spacing) for components in components_of_codes(len(spacing))]
    )
    areas.flags.writeable = False
    return areas


def _total_area(components: list[list[Voxel]], spacing: Sequence[float]) -> float:
    return sum(_cut_area(component, spacing) for component in components)


@cache
def components_of_codes(axes: int) -> list[list[list[Voxel]]]:
    """The components that marching cubes cuts off in a neighbourhood of each code.

    They are the components of the inside voxels, or else of the outside voxels.
    """
    voxels = tuple(product((0, 1), repeat=axes))
    full = 2 ** len(voxels) - 1
    of_codes: list[list[list[Voxel]]] = [[] for _ in range(full + 1)]
    for code in range(1, full):
        inside = {voxel for bit, voxel in enumerate(reversed(voxels)) if code >> bit & 1}
        smaller = inside if 2 * len(inside) <= len(voxels) else set(voxels) - inside
        of_codes[code] = _components(smaller)
    return of_codes


def _components(inside: set[Voxel]) -> list[list[Voxel]]:
    """The components of the voxels, joined over faces."""
    left, components = set(inside), []
    while left:
        component = [left.pop()]
        for voxel in component:
            joined = [neighbour for neighbour in left if _steps(voxel, neighbour) == 1]
            component += joined
            left -= set(joined)
        components.append(component)
    return components


def _steps(a: Voxel, b: Voxel) -> int:
    """The number of axes in which two voxels differ."""
    return sum(i != j for i, j in zip(a, b, strict=True))


def _cut_area(component: list[Voxel], spacing: Sequence[float]) -> float:
    if len(spacing) == 2:
        return _cut_length(component, spacing)
    # the areas of the voxel's three faces, and of the triangle that spans all three axes, in units
    # of eighths
    a, b, c = spacing
    faces = (b * c, a * c, a * b)
    corner = hypot(*faces) / 8
    # how many of the component's neighbouring pairs lie along each axis
    steps = [_pairs_along(axis, component) for axis in range(3)]
    if len(component) == 1:
        return corner
    if len(component) == 2:  # a roof along the one axis
        return _roof(faces, steps.index(1))
    # a flat floor in the plane of two axes, and two slanted triangles
    if len(component) == 3:
        return faces[steps.index(0)] / 2 + 3 * corner
    neighbours = [_neighbour_count(voxel, component) for voxel in component]
    if sum(steps) == 4:  # four in a plane: the floor alone
        return faces[steps.index(0)]
    if 3 in neighbours:  # one with its three neighbours: a hexagon of slanted triangles
        return 6 * corner
    # a path that takes each axis once: half a roof at either end, along the step of that end, and
    # two slanted triangles
    inner = [voxel for voxel, count in zip(component, neighbours, strict=True) if count == 2]
    axis = next(axis for axis in range(3) if inner[0][axis] != inner[1][axis])
    return sum(_roof(faces, end) for end in range(3) if end != axis) / 2 + 4 * corner


def _neighbour_count(voxel: Voxel, component: list[Voxel]) -> int:
    return sum(_steps(voxel, neighbour) == 1 for neighbour in component)


def _pairs_along(axis: int, component: list[Voxel]) -> int:
    pairs = combinations(component, 2)
    return sum(_steps(p, q) == 1 and p[axis] != q[axis] for p, q in pairs)


def _roof(faces: tuple[float, float, float], axis: int) -> float:
    return hypot(*(face for normal, face in enumerate(faces) if normal != axis)) / 2


def _cut_length(component: list[Voxel], spacing: Sequence[float]) -> float:
    if len(component) == 1:
        return hypot(*spacing) / 2
    along = next(axis for axis in range(2) if component[0][axis] != component[1][axis])
    return float(spacing[along])
