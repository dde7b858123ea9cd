"""Voxel grids on the way into a network and back: reoriented to RAS+, resampled, cropped.

A ``VoxelGrid`` knows where it lies in the world. The grid of a network is derived from the grid of
the image (``canonical``, ``respaced``, ``window``). ``sample`` takes the image's values there,
``voxel_of`` finds a click in it, and ``put_back`` brings the network's mask back to the image.
The steps keep no state, so they cannot be undone in the wrong order.

A derived grid keeps the image's axes, perhaps in another order or direction: an oblique image stays
oblique, as it does in the pipelines that models were trained with. Resampling is therefore
separable, exact, and fast. Needs numpy only.
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

#: affines come from 32-bit headers: a smaller difference counts as none (voxels)
SAME_VOXEL = 1e-4
#: what MONAI counts as zero where it looks for a grid's first corner (voxels)
MONAI_SAME = 1e-8


@dataclass(frozen=True)
class VoxelGrid:
    """A grid: ``shape`` in voxels, ``affine`` (4, 4) from index to RAS+ mm.

    It may reach beyond the image from which it was derived.
    """

    shape: Shape
    affine: Any

    @property
    def spacing(self) -> Tuple[float, float, float]:
        """Distance between neighbouring voxels along each index axis, mm."""
        return spacing_of(self.affine)


def voxel_grid_of(grid: Grid) -> VoxelGrid:
    """The voxel grid of a request's grid."""
    return VoxelGrid(shape=grid.shape, affine=np.asarray(grid.affine, dtype=np.float64))


def canonical(grid: VoxelGrid) -> VoxelGrid:
    """The same voxels with axes closest to Right, Anterior, Superior; nothing is resampled."""
    cosines = np.asarray(grid.affine)[:3, :3] / np.array(grid.spacing)

    def alignment(axes: Tuple[int, ...]) -> float:
        return float(sum(abs(cosines[world, axis]) for world, axis in enumerate(axes)))

    order = max(permutations(range(3)), key=alignment)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(order):
        forward = cosines[new, old] >= 0
        turn[old, new] = 1.0 if forward else -1.0
        turn[old, 3] = 0.0 if forward else grid.shape[old] - 1
    a, b, c = (grid.shape[old] for old in order)
    return VoxelGrid(shape=(a, b, c), affine=np.asarray(grid.affine) @ turn)


def oriented(grid: VoxelGrid, codes: str) -> VoxelGrid:
    """The same voxels with axes as ``codes`` names them, such as "SPL" (nibabel's letters).

    Nothing is resampled.
    """
    ras = canonical(grid)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    order = [_world_axis(code) for code in codes]
    for new, (old, code) in enumerate(zip(order, codes)):
        forward = code in "RAS"
        turn[old, new] = 1.0 if forward else -1.0
        turn[old, 3] = 0.0 if forward else ras.shape[old] - 1
    a, b, c = (ras.shape[old] for old in order)
    return VoxelGrid(shape=(a, b, c), affine=ras.affine @ turn)


def _world_axis(code: str) -> int:
    return next(n for n, letters in enumerate(("RL", "AP", "SI")) if code in letters)


def reversed_axes(grid: VoxelGrid) -> VoxelGrid:
    """The same voxels with the last axis first, as SimpleITK and nnU-Net hold a file's array."""
    a, b, c = grid.shape
    return VoxelGrid(shape=(c, b, a), affine=np.asarray(grid.affine)[:, [2, 1, 0, 3]])


def respaced(grid: VoxelGrid, millimetres: Sequence[float]) -> VoxelGrid:
    """A grid of another spacing with the same axes and centre.

    It has as many voxels as fit in the extent, at least one. An axis of one voxel keeps one voxel.
    This is the rule of torchio and of SimpleITK-based pipelines that avoid extrapolation.
    """
    # a file's header stores voxel sizes in 32 bits: an affine's rounding must not cost a voxel
    old = np.array(grid.spacing, dtype=np.float32).astype(np.float64)
    new = np.array(millimetres, dtype=np.float64)
    size = np.maximum(np.floor(np.array(grid.shape) * old / new * (1 + 1e-12)), 1).astype(int)
    size[np.array(grid.shape) == 1] = 1
    step = np.diag([*(new / old), 1.0])
    step[:3, 3] = (np.array(grid.shape) - 1) / 2 - (size - 1) / 2 * (new / old)
    a, b, c = (int(count) for count in size)
    return VoxelGrid(shape=(a, b, c), affine=np.asarray(grid.affine) @ step)


def respaced_from_first(grid: VoxelGrid, millimetres: Sequence[float]) -> VoxelGrid:
    """A grid of another spacing with the same axes and first voxel; MONAI's rule.

    Its last voxel is the nearest to the image's last voxel and may lie up to half a new voxel
    beyond it (``Spacing`` with its defaults, MONAI 1.1 to 1.6). The first voxel determines where
    the others fall, so it matters whether this comes before ``canonical`` or after.

    Where rounding in the header leaves the axes less than perpendicular, as in most oblique images,
    MONAI finds no first corner and aligns the grids at index shape / 2 instead. So does this.
    """
    linear = np.asarray(grid.affine, dtype=np.float64)[:3, :3]
    ratio = np.array(millimetres, dtype=np.float64) / np.array(grid.spacing)
    last = np.array(grid.shape) - 1
    # an affine of 32 bits must not decide which way a half is rounded
    size = np.round(np.round(last / ratio, 6) + 1).astype(int)
    step = np.diag([*ratio, 1.0])
    slant = np.triu(np.linalg.cholesky(linear.T @ linear).T, 1) / np.array(millimetres)[:, None]
    if (np.minimum(slant, 0) @ last).min() < -MONAI_SAME:
        step[:3, 3] = np.array(grid.shape) / 2 - size / 2 * ratio
    a, b, c = (int(count) for count in size)
    return VoxelGrid(shape=(a, b, c), affine=np.asarray(grid.affine) @ step)


def window(grid: VoxelGrid, start: Sequence[int], shape: Shape) -> VoxelGrid:
    """A box of the grid's voxels from index ``start``; it may reach beyond the grid anywhere."""
    shift = np.eye(4)
    shift[:3, 3] = start
    return VoxelGrid(shape=shape, affine=np.asarray(grid.affine) @ shift)


def place_in(grid: VoxelGrid, ras_mm: Sequence[float]) -> Tuple[float, float, float]:
    """A world position as an index with fractions; a voxel's centre but for rounding is exact."""
    index = (np.linalg.inv(grid.affine) @ np.array([*ras_mm, 1.0]))[:3]
    rounded = np.round(index)
    a, b, c = (float(n) for n in np.where(abs(index - rounded) < SAME_VOXEL, rounded, index))
    return (a, b, c)


def voxel_of(grid: VoxelGrid, ras_mm: Sequence[float]) -> Shape:
    """The voxel that holds a world position (half-way: the higher one); may lie off the grid."""
    index = np.linalg.inv(grid.affine) @ np.array([*ras_mm, 1.0])
    a, b, c = (int(np.floor(value + 0.5 + SAME_VOXEL / 10)) for value in index[:3])
    return (a, b, c)


def sample(
    array: Any,
    affine: Any,
    grid: VoxelGrid,
    *,
    nearest: bool = False,
    outside: float | None = 0.0,
) -> NDArray[Any]:
    """The values of an image on a grid derived from it.

    Up to half a voxel beyond the image's outermost voxel centres their value continues.

    Args:
        array: the image, three axes.
        affine: its affine, (4, 4), from index to RAS+ mm.
        grid: where values are wanted.
        nearest: take the nearest voxel and keep the type; else interpolate linearly, float64.
        outside: the value farther out; None continues the outermost value there, too.

    Returns:
        An array of the grid's shape.

    Raises:
        ValueError: the grid's axes are not the image's (``prompt_geometry.on_grid`` can do that).
    """
    lines = _lines(affine, array.shape, grid, everywhere=outside is None)
    result = np.full(grid.shape, outside or 0, dtype=array.dtype if nearest else np.float64)
    if any(line.stop <= line.start for line in lines):
        return result
    # only the voxels that are needed; then the axis that loses most voxels first, for speed
    values = array[tuple(slice(line.first, line.last + 1) for line in lines)]
    if not nearest and values.dtype.kind != "f":
        # differences of unsigned integers would wrap
        values = values.astype(np.float64)
    for axis in sorted(range(3), key=lambda n: len(lines[n].positions) / values.shape[n]):
        values = _take(values, axis, lines[axis], nearest)
    inside: List[slice] = [slice(0)] * 3
    for line in lines:
        inside[line.axis] = slice(line.start, line.stop)
    axes = [line.axis for line in lines]
    result[tuple(inside)] = values.transpose([axes.index(n) for n in range(3)])
    return result


def sample_box(
    array: Any,
    affine: Any,
    grid: VoxelGrid,
    start: Sequence[int],
    shape: Shape,
    *,
    outside: float = 0.0,
) -> NDArray[np.float64]:
    """As ``sample`` of a window, but ``outside`` stands everywhere beyond the grid.

    It does so where the image reaches there, too. This equals cropping and padding a volume that
    was resampled as a whole.
    """
    in_grid, in_box = overlap(start, shape, grid.shape)
    result = np.full(shape, outside, dtype=np.float64)
    size = tuple(part.stop - part.start for part in in_grid)
    if min(size) > 0:
        inner = window(grid, [part.start for part in in_grid], (size[0], size[1], size[2]))
        result[in_box] = sample(array, affine, inner, outside=outside)
    return result


def overlap(start: Sequence[int], shape: Shape, grid_shape: Shape) -> Tuple[Any, Any]:
    """The part of a grid that a box covers, and the same part of the box, as slices.

    The slices may be empty.
    """
    in_grid = tuple(
        slice(min(max(n, 0), size), max(min(n + length, size), 0))
        for n, length, size in zip(start, shape, grid_shape)
    )
    in_box = tuple(slice(part.start - n, part.stop - n) for part, n in zip(in_grid, start))
    return in_grid, in_box


def put_back(
    mask: Any, mask_grid: VoxelGrid, grid: Grid, *, outside: bool | None = False
) -> NDArray[np.bool_]:
    """A mask of a derived grid on the grid of the answer, by nearest voxel.

    ``outside``: as in ``sample``.
    """
    result: NDArray[np.bool_] = sample(
        np.asarray(mask, dtype=bool),
        mask_grid.affine,
        voxel_grid_of(grid),
        nearest=True,
        outside=outside,
    )
    return result


class _Line(NamedTuple):
    """One axis of the image, from voxel ``first`` to ``last``, and which axis of the grid it is."""

    axis: int
    #: the part of the grid's axis that lies in the image
    start: int
    stop: int
    first: int
    last: int
    #: where the voxels of the grid's axis lie, in voxels after ``first``
    positions: Any


def _lines(affine: Any, shape: Shape, grid: VoxelGrid, *, everywhere: bool) -> List[_Line]:
    across = np.linalg.inv(np.asarray(affine, dtype=np.float64)) @ np.asarray(grid.affine)
    linear, offset = across[:3, :3], across[:3, 3]
    axes = [int(np.argmax(abs(linear[n]))) for n in range(3)]
    stray = linear.copy()
    stray[range(3), axes] = 0
    drift = (abs(stray) * np.array(grid.shape)).max()
    if sorted(axes) != [0, 1, 2] or drift > 100 * SAME_VOXEL:
        raise ValueError("the grid was not derived from this image: its axes differ")
    lines = []
    for n, axis in enumerate(axes):
        positions = linear[n, axis] * np.arange(grid.shape[axis]) + offset[n]
        rounded = np.round(positions)
        positions = np.where(abs(positions - rounded) < SAME_VOXEL, rounded, positions)
        if everywhere:
            positions = np.clip(positions, 0, shape[n] - 1)
        lines.append(_line_inside(axis, positions, shape[n]))
    return lines


def _line_inside(axis: int, positions: Any, size: int) -> _Line:
    """The part of a line that lies within ``size`` voxels, half a voxel at both ends included."""
    low, high = -0.5 - SAME_VOXEL, size - 0.5 + SAME_VOXEL
    inside = np.flatnonzero((positions >= low) & (positions < high))
    if not len(inside):
        return _Line(axis, 0, 0, 0, 0, positions[:0])
    start, stop = int(inside[0]), int(inside[-1]) + 1
    positions = positions[start:stop]
    first = int(np.clip(np.floor(positions.min()), 0, size - 1))
    last = int(np.clip(np.floor(positions.max()) + 1, 0, size - 1))
    return _Line(axis, start, stop, first, last, positions - first)


def _take(values: Any, axis: int, line: _Line, nearest: bool) -> Any:
    last = values.shape[axis] - 1
    if nearest:
        index = np.clip(np.floor(line.positions + 0.5), 0, last).astype(int)
        return values.take(index, axis=axis)
    low = np.clip(np.floor(line.positions), 0, last).astype(int)
    fraction = np.clip(line.positions - low, 0, 1)
    fraction = fraction.reshape([-1 if n == axis else 1 for n in range(3)])
    first = values.take(low, axis=axis)
    if not fraction.any():
        return first
    # this form keeps a constant image constant to the last bit
    return first + (values.take(np.minimum(low + 1, last), axis=axis) - first) * fraction
