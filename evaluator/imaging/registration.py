"""Do the references of one target lie at the same place on two images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, to_index, to_world, voxel_ml
from evaluator.imaging.grid_masks import interior_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from zoo_sdk.wire import Grid

#: of a larger mask only every n-th voxel is looked at, at least half of this many
MOST_VOXELS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskAgreement:
    """Place and volume of one structure on two images of one world frame."""

    #: between the centres of mass, mm; of a cut structure within the field that both images show
    distance_mm: float
    #: standard deviation of that distance by rounding of the masks to voxels, mm
    rounding_mm: float
    #: part of the smaller mask that lies in the other, 0 to 1; 0: the masks are disjoint
    overlap: float
    #: volumes of the complete masks
    first_ml: float
    second_ml: float

    @property
    def volume_ratio(self) -> float:
        """The second volume, relative to the first."""
        return self.second_ml / self.first_ml


def mask_agreement(first: GridMask, second: GridMask) -> MaskAgreement:
    """Compare two masks, neither of them empty, in world millimetres.

    An organ may be cut where one image ends. Of the other mask, only the part within that image's
    field is then compared, unless there is none.
    """
    if _are_equal(first, second):
        return _full_agreement(first)
    places = [_positions(mask) for mask in (first, second)]
    common, shares = [], []
    for place, other in zip(places, (second, first), strict=True):
        index = np.floor(to_index(affine_of(other.grid), place) + 0.5).astype(np.int64)
        seen = place[_in_box(index, other.grid.shape)]
        common.append(seen if len(seen) and _is_cut(other) else place)
        shares.append(float(_contains(other, index).mean()))
    centres = [place.mean(axis=0) for place in common]
    return MaskAgreement(
        distance_mm=float(np.linalg.norm(centres[0] - centres[1])),
        rounding_mm=float(
            np.hypot(_rounding_mm(first, common[0]), _rounding_mm(second, common[1]))
        ),
        overlap=max(shares),
        first_ml=volume_ml(first),
        second_ml=volume_ml(second),
    )


def _are_equal(first: GridMask, second: GridMask) -> bool:
    """Whether two masks are one, as those of images that share a reference."""
    same_place = first.grid == second.grid and tuple(first.offset) == tuple(second.offset)
    return same_place and np.array_equal(first.array, second.array)


def _full_agreement(mask: GridMask) -> MaskAgreement:
    """The comparison of a mask with itself."""
    rounding = _rounding_mm(mask, _positions(mask))
    size = volume_ml(mask)
    return MaskAgreement(
        distance_mm=0.0,
        rounding_mm=float(np.hypot(rounding, rounding)),
        overlap=1.0,
        first_ml=size,
        second_ml=size,
    )


def _rounding_mm(mask: GridMask, places: NDArray[np.float64]) -> float:
    """How far rounding of a structure to voxels moves its centre: one standard deviation, mm.

    Each voxel at the surface is in the mask or not as if by chance. For a long, thin structure on a
    coarse grid that moves the centre by centimetres.
    """
    surface = mask.voxel_count - int(np.count_nonzero(interior_of(mask.array)))
    spread = float(np.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return float(spread * np.sqrt(surface) / 2 / mask.voxel_count)


def volume_ml(mask: GridMask) -> float:
    """The mask's volume, ml."""
    return mask.voxel_count * voxel_ml(affine_of(mask.grid))


def box_displacement_mm(anchor: GridMask, mask: GridMask) -> float:
    """How far the tight box of a mask lies from that of the same structure on the anchor.

    Returns:
        The distance between the boxes' centres, mm; 0 where rounding to voxels explains it, which
        is up to half a voxel's diagonal of each grid.
    """
    centres = [to_world(affine_of(m.grid), _box_centre(m)) for m in (anchor, mask)]
    distance = float(np.linalg.norm(centres[0] - centres[1]))
    rounding = sum(_diagonal_mm(m.grid) for m in (anchor, mask)) / 2
    return distance if distance > rounding else 0.0


def _positions(mask: GridMask) -> NDArray[np.float64]:
    """World positions of the mask's voxels, (n, 3); of many voxels an even part."""
    index = np.argwhere(mask.array)
    step = max(len(index) // MOST_VOXELS, 1)
    return to_world(affine_of(mask.grid), index[::step] + np.array(mask.offset))


def _in_box(index: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = (index >= 0) & (index < np.array(shape))
    return np.asarray(inside.all(axis=1), dtype=np.bool_)


def _contains(mask: GridMask, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which indices of the mask's grid are in the mask."""
    in_crop = index - np.array(mask.offset)
    inside = _in_box(in_crop, mask.array.shape)
    found = np.zeros(len(index), dtype=np.bool_)
    found[inside] = mask.array[tuple(in_crop[inside].T)]
    return found


def _is_cut(mask: GridMask) -> bool:
    """The mask reaches the end of its image, so the structure may go on beyond."""
    return min(mask.offset) == 0 or any(
        end == size for end, size in zip(mask.end, mask.grid.shape, strict=True)
    )


def _box_centre(mask: GridMask) -> NDArray[np.float64]:
    return np.array(mask.offset) + (np.array(mask.array.shape) - 1) / 2


def _diagonal_mm(grid: Grid) -> float:
    return float(np.linalg.norm(affine_of(grid)[:3, :3].sum(axis=1)))
