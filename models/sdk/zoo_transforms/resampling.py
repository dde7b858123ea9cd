"""Grids on the way into a network and back: turned to RAS+, resampled, cropped about a place; each knows where it lies.

A ``Space`` is a grid in the world. From an image's own one derives that of a network (``canonical``, ``respaced``,
``window``), takes the image's values there (``sample``), finds a click in it (``voxel_of``), and puts what the network
says back on the image (``put_back``). Nothing is remembered between the steps, so nothing can be undone in the wrong order.

Derived spaces keep the image's axes, perhaps in another order or direction: an oblique image stays oblique, as it does
in the pipelines that models were trained with. Resampling is then separable, exact, and quick. Needs numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, List, NamedTuple, Sequence, Tuple

import numpy as np

from zoo_sdk.volume import spacing as spacing_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

Shape = Tuple[int, int, int]

#: affines come from 32-bit headers: what differs by less is equal (voxels)
SAME_VOXEL = 1e-4
#: what MONAI takes for nothing where it looks for a grid's first corner (voxels)
MONAI_SAME = 1e-8


@dataclass(frozen=True)
class Space:
    """A grid: ``shape`` in voxels, ``affine`` (4, 4) from index to RAS+ mm. May reach beyond the image it was derived from."""

    shape: Shape
    affine: Any

    @property
    def spacing(self) -> Tuple[float, float, float]:
        """Distance between neighbouring voxels along each index axis, mm."""
        return spacing_of(self.affine)


def space_of(grid: Grid) -> Space:
    """The space of a request's grid."""
    return Space(shape=grid.shape, affine=np.asarray(grid.affine, dtype=np.float64))


def canonical(space: Space) -> Space:
    """The same voxels with axes ordered and directed to be closest to Right, Anterior, Superior; nothing is resampled."""
    cosines = np.asarray(space.affine)[:3, :3] / np.array(space.spacing)
    order = max(
        permutations(range(3)), key=lambda axes: sum(abs(cosines[world, axis]) for world, axis in enumerate(axes))
    )
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(order):
        forward = cosines[new, old] >= 0
        turn[old, new] = 1.0 if forward else -1.0
        turn[old, 3] = 0.0 if forward else space.shape[old] - 1
    a, b, c = (space.shape[old] for old in order)
    return Space(shape=(a, b, c), affine=np.asarray(space.affine) @ turn)


def oriented(space: Space, codes: str) -> Space:
    """The same voxels with axes ordered and directed as ``codes`` says, such as "SPL" (nibabel's letters); nothing is resampled."""
    own = canonical(space)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    order = [next(n for n, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in codes]
    for new, (old, code) in enumerate(zip(order, codes)):
        forward = code in "RAS"
        turn[old, new] = 1.0 if forward else -1.0
        turn[old, 3] = 0.0 if forward else own.shape[old] - 1
    a, b, c = (own.shape[old] for old in order)
    return Space(shape=(a, b, c), affine=own.affine @ turn)


def reversed_axes(space: Space) -> Space:
    """The same voxels with the last axis first, as SimpleITK and nnU-Net hold the array of a file."""
    a, b, c = space.shape
    return Space(shape=(c, b, a), affine=np.asarray(space.affine)[:, [2, 1, 0, 3]])


def respaced(space: Space, millimetres: Sequence[float]) -> Space:
    """A grid of another spacing with the same axes and centre: as many voxels as fit in the extent, at least one.

    One voxel thick stays one voxel thick. It is the rule of torchio's and SimpleITK-based pipelines that avoid extrapolation.
    """
    # a file's header tells voxel sizes in 32 bits: an affine's rounding must not cost a voxel
    old, new = np.array(space.spacing, dtype=np.float32).astype(np.float64), np.array(millimetres, dtype=np.float64)
    size = np.maximum(np.floor(np.array(space.shape) * old / new * (1 + 1e-12)), 1).astype(int)
    size[np.array(space.shape) == 1] = 1
    step = np.diag([*(new / old), 1.0])
    step[:3, 3] = (np.array(space.shape) - 1) / 2 - (size - 1) / 2 * (new / old)
    a, b, c = (int(count) for count in size)
    return Space(shape=(a, b, c), affine=np.asarray(space.affine) @ step)


def respaced_from_first(space: Space, millimetres: Sequence[float]) -> Space:
    """A grid of another spacing with the same axes and first voxel, whose last is the nearest to the image's last.

    It is MONAI's rule (``Spacing`` with its defaults, 1.1 to 1.6): the last voxel may lie up to half a new voxel beyond the
    image's. The first voxel decides where the others fall, so it matters whether this comes before ``canonical`` or after.
    Where rounding in the header leaves axes less than perpendicular, as in most oblique images, MONAI finds no first corner
    and lets the grids agree at index shape / 2 instead; so does this.
    """
    linear = np.asarray(space.affine, dtype=np.float64)[:3, :3]
    ratio, last = np.array(millimetres, dtype=np.float64) / np.array(space.spacing), np.array(space.shape) - 1
    # an affine of 32 bits must not decide which way a half goes
    size = np.round(np.round(last / ratio, 6) + 1).astype(int)
    step = np.diag([*ratio, 1.0])
    slant = np.triu(np.linalg.cholesky(linear.T @ linear).T, 1) / np.array(millimetres)[:, None]
    if (np.minimum(slant, 0) @ last).min() < -MONAI_SAME:
        step[:3, 3] = np.array(space.shape) / 2 - size / 2 * ratio
    a, b, c = (int(count) for count in size)
    return Space(shape=(a, b, c), affine=np.asarray(space.affine) @ step)


def window(space: Space, start: Sequence[int], shape: Shape) -> Space:
    """A box of the grid's own lattice from index ``start``, which may reach beyond the grid on every side."""
    shift = np.eye(4)
    shift[:3, 3] = start
    return Space(shape=shape, affine=np.asarray(space.affine) @ shift)


def place_in(space: Space, ras_mm: Sequence[float]) -> Tuple[float, float, float]:
    """A place of the world as an index between voxels; one that is a voxel's middle but for rounding is that."""
    index = (np.linalg.inv(space.affine) @ np.array([*ras_mm, 1.0]))[:3]
    a, b, c = (float(n) for n in np.where(abs(index - np.round(index)) < SAME_VOXEL, np.round(index), index))
    return (a, b, c)


def voxel_of(space: Space, ras_mm: Sequence[float]) -> Shape:
    """The voxel that holds a place of the world (half-way: the higher one); may lie outside the grid."""
    index = np.linalg.inv(space.affine) @ np.array([*ras_mm, 1.0])
    a, b, c = (int(np.floor(value + 0.5 + SAME_VOXEL / 10)) for value in index[:3])
    return (a, b, c)


def sample(
    array: Any, affine: Any, space: Space, *, nearest: bool = False, outside: float | None = 0.0
) -> NDArray[Any]:
    """The values of an image in a space derived from it: (a, b, c) of ``space.shape``; linear (float64), or nearest (same type).

    Up to half a voxel beyond the image's outermost voxel centres their value goes on; farther out stands ``outside``,
    or still the outermost value where that is None. Raises ValueError for a space whose axes are not the image's (use
    ``zoo_transforms.prompt_geometry.on_grid``).
    """
    lines = _lines(affine, array.shape, space, everywhere=outside is None)
    made = np.full(space.shape, outside or 0, dtype=array.dtype if nearest else np.float64)
    if any(line.stop <= line.start for line in lines):
        return made
    # only what the places touch; then the axis that loses most voxels first: for speed
    values = array[tuple(slice(line.first, line.last + 1) for line in lines)]
    if not nearest and values.dtype.kind != "f":
        # differences of whole numbers without a sign would wrap
        values = values.astype(np.float64)
    for axis in sorted(range(3), key=lambda n: len(lines[n].places) / values.shape[n]):
        values = _take(values, axis, lines[axis], nearest)
    inside: List[slice] = [slice(0)] * 3
    for line in lines:
        inside[line.axis] = slice(line.start, line.stop)
    made[tuple(inside)] = values.transpose([[line.axis for line in lines].index(n) for n in range(3)])
    return made


def sample_box(
    array: Any, affine: Any, lattice: Space, start: Sequence[int], shape: Shape, *, outside: float = 0.0
) -> NDArray[np.float64]:
    """As ``sample`` of a window, but what lies beyond the lattice is ``outside``, also where the image reaches there.

    That is cropping and padding a volume that was resampled as a whole.
    """
    here, part = overlap(start, shape, lattice.shape)
    made = np.full(shape, outside, dtype=np.float64)
    size = tuple(own.stop - own.start for own in here)
    if min(size) > 0:
        inner = window(lattice, [own.start for own in here], (size[0], size[1], size[2]))
        made[part] = sample(array, affine, inner, outside=outside)
    return made


def overlap(start: Sequence[int], shape: Shape, whole: Shape) -> Tuple[Any, Any]:
    """Where a box lies on a grid of shape ``whole``, and which part of the box that is, as slices; perhaps empty ones."""
    here = tuple(slice(min(max(n, 0), size), max(min(n + own, size), 0)) for n, own, size in zip(start, shape, whole))
    return here, tuple(slice(own.start - n, own.stop - n) for own, n in zip(here, start))


def put_back(mask: Any, space: Space, grid: Grid, *, outside: bool | None = False) -> NDArray[np.bool_]:
    """A mask that lies in a derived space, on the grid of the answer, by nearest voxel; ``outside`` the space as in ``sample``."""
    back: NDArray[np.bool_] = sample(
        np.asarray(mask, dtype=bool), space.affine, space_of(grid), nearest=True, outside=outside
    )
    return back


class _Line(NamedTuple):
    """One axis of the image, from voxel ``first`` to ``last``: the places after ``first`` that an axis of the space falls on."""

    axis: int
    #: of the space's axis: the part that lies in the image
    start: int
    stop: int
    first: int
    last: int
    places: Any


def _lines(affine: Any, shape: Shape, space: Space, *, everywhere: bool) -> List[_Line]:
    across = np.linalg.inv(np.asarray(affine, dtype=np.float64)) @ np.asarray(space.affine)
    linear, offset = across[:3, :3], across[:3, 3]
    axes = [int(np.argmax(abs(linear[n]))) for n in range(3)]
    stray = linear.copy()
    stray[range(3), axes] = 0
    if sorted(axes) != [0, 1, 2] or (abs(stray) * np.array(space.shape)).max() > 100 * SAME_VOXEL:
        raise ValueError("the space was not derived from this image: its axes are others")
    lines = []
    for n, axis in enumerate(axes):
        places = linear[n, axis] * np.arange(space.shape[axis]) + offset[n]
        whole = np.round(places)
        places = np.where(abs(places - whole) < SAME_VOXEL, whole, places)
        if everywhere:
            places = np.clip(places, 0, shape[n] - 1)
        inside = np.flatnonzero((places >= -0.5 - SAME_VOXEL) & (places < shape[n] - 0.5 + SAME_VOXEL))
        start, stop = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        places = places[start:stop]
        first, last = (
            (np.clip((np.floor(places.min()), np.floor(places.max()) + 1), 0, shape[n] - 1)) if len(places) else (0, 0)
        )
        lines.append(_Line(axis, start, stop, int(first), int(last), places - first))
    return lines


def _take(values: Any, axis: int, line: _Line, nearest: bool) -> Any:
    last = values.shape[axis] - 1
    if nearest:
        return values.take(np.clip(np.floor(line.places + 0.5), 0, last).astype(int), axis=axis)
    low = np.clip(np.floor(line.places), 0, last).astype(int)
    part = np.clip(line.places - low, 0, 1).reshape([-1 if n == axis else 1 for n in range(3)])
    first = values.take(low, axis=axis)
    if not part.any():
        return first
    # this form keeps a constant image constant to the last bit
    return first + (values.take(np.minimum(low + 1, last), axis=axis) - first) * part
