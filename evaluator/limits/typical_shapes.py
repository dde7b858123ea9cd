"""Typical volume, shape and position of a target, from the other subjects of a dataset.

A subject's shape is the finest non-empty reference of the target in its first case. Shapes are put
on one lattice of cubes, aligned by their centres of mass, and averaged. The mean shape is the set
of the cubes that most subjects share, as many as give the median volume.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.references import load_references
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, make_grid, to_world, voxel_ml
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Case, Modality
    from zoo_sdk.wire import Grid, Millimetres

logger = logging.getLogger(__name__)

#: cubes of the lattice along the edge of a cube of the first subject's volume
_CUBES = 20
#: edge of a cube, mm
_SMALLEST_MM, _LARGEST_MM = 1.0, 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalShape:
    """What the other subjects of a dataset tell of a target."""

    #: median over the other subjects
    volume_ml: float
    #: the mean shape about the origin of its lattice, mm
    mask: GridMask
    #: mean centre of mass within the scan's bounding box, by modality, as shares of its edges
    position: Mapping[Modality, NDArray[np.float64]]
    #: the number of other subjects
    subjects: int

    def at(self, position: Millimetres, grid: Grid) -> GridMask:
        """The mean shape with its centre of mass at a position (mm), on a grid."""
        affine = affine_of(self.mask.grid)
        affine[:3, 3] += position
        lattice = make_grid(self.mask.grid.shape, affine)
        moved = crop_mask(self.mask.array, lattice, self.mask.offset)
        return resample_mask(moved, grid)

    def typical_position(self, modality: Modality, grid: Grid) -> Millimetres | None:
        """Where the target typically lies in a scan of this modality, mm; None if unknown."""
        share = self.position.get(modality)
        if share is None:
            return None
        low, high = bounding_box(grid)
        x, y, z = (float(value) for value in low + share * (high - low))
        return (x, y, z)


@dataclass(slots=True)
class _Shape:
    """One subject's target: its cubes about the centre of mass, and where it lies in its scans."""

    volume_ml: float
    #: odd edge lengths; the centre of mass is the middle of the middle cube
    cubes: NDArray[np.bool_]
    position: dict[Modality, NDArray[np.float64]]


@dataclass(slots=True)
class TypicalShapes:
    """The typical shapes of a dataset's targets; references are read at the first use."""

    cases: Sequence[Case]
    #: target -> subject -> shape
    _shapes: dict[str, dict[str, _Shape]] | None = None
    #: target -> edge of its lattice's cubes, mm
    _edges: dict[str, float] = field(default_factory=dict)

    def of(self, target: str, *, without: str) -> TypicalShape | None:
        """The typical shape of a target from all subjects but one.

        Returns:
            None if no other subject has the target.
        """
        if self._shapes is None:
            self._shapes = {}
            self._read()
        of_target = self._shapes.get(target, {})
        others = [shape for subject, shape in of_target.items() if subject != without]
        if not others:
            return None
        edge = self._edges[target]
        volume = float(np.median([shape.volume_ml for shape in others]))
        return TypicalShape(
            volume_ml=volume,
            mask=_mean_shape([shape.cubes for shape in others], edge, volume),
            position=_mean_positions(others),
            subjects=len(others),
        )

    def _read(self) -> None:
        seen: set[str] = set()
        for case in self.cases:
            if case.subject in seen:
                continue
            references: dict[Modality, Mapping[str, GridMask]] = {}
            for modality, scan in case.scans.items():
                try:
                    references[modality] = load_references(scan).masks
                except (VolumeError, OSError) as error:
                    logger.debug(f"{case.id} {modality}: no typical shape ({error})")
            if references:
                seen.add(case.subject)
                self._add(case.subject, references)

    def _add(self, subject: str, references: Mapping[Modality, Mapping[str, GridMask]]) -> None:
        assert self._shapes is not None
        targets: dict[str, None] = {}
        for masks in references.values():
            targets |= dict.fromkeys(masks)
        for target in targets:
            masks_of_target = {
                modality: masks[target]
                for modality, masks in references.items()
                if target in masks and not masks[target].empty
            }
            if not masks_of_target:
                continue
            shape = masks_of_target[finest(masks_of_target)]
            volume = volume_ml(shape)
            edge = self._edges.setdefault(target, _edge(volume))
            self._shapes.setdefault(target, {})[subject] = _Shape(
                volume_ml=volume,
                cubes=_cubes(shape, edge),
                position={name: _share(mask) for name, mask in masks_of_target.items()},
            )


def finest(masks: Mapping[Modality, GridMask]) -> Modality:
    """The modality whose voxels are the smallest; the first of equal ones in ``MODALITIES``."""
    present = [modality for modality in MODALITIES if modality in masks]
    return min(present, key=lambda modality: round(voxel_ml(affine_of(masks[modality].grid)), 9))


def volume_ml(mask: GridMask) -> float:
    """Volume of a mask."""
    return mask.voxel_count * voxel_ml(affine_of(mask.grid))


def centre_of_mass(mask: GridMask) -> NDArray[np.float64]:
    """Mean position of the voxels of a mask that is not empty, mm."""
    middle = np.argwhere(mask.array).mean(axis=0) + mask.offset
    return to_world(affine_of(mask.grid), middle)


def bounding_box(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest world coordinates of a grid's voxels, mm."""
    affine = affine_of(grid)
    linear, shape = affine[:3, :3], np.array(grid.shape)
    edges = linear * shape
    first = affine[:3, 3] - linear @ np.full(3, 0.5)
    return first + np.minimum(edges, 0).sum(axis=1), first + np.maximum(edges, 0).sum(axis=1)


def _edge(volume: float) -> float:
    return float(np.clip((volume * 1000) ** (1 / 3) / _CUBES, _SMALLEST_MM, _LARGEST_MM))


def _share(mask: GridMask) -> NDArray[np.float64]:
    low, high = bounding_box(mask.grid)
    return (centre_of_mass(mask) - low) / (high - low)


def _cubes(mask: GridMask, edge: float) -> NDArray[np.bool_]:
    """A mask on the lattice about its centre of mass."""
    centre = centre_of_mass(mask)
    affine = affine_of(mask.grid)
    corners = np.array(np.meshgrid(*zip(mask.offset, mask.end, strict=True))).reshape(3, -1).T
    reach = np.abs(to_world(affine, corners - 0.5) - centre).max(axis=0)
    half = np.ceil(reach / edge).astype(int)
    lattice = np.diag([edge, edge, edge, 1.0])
    lattice[:3, 3] = centre - half * edge
    shape = tuple((2 * half + 1).tolist())
    on_lattice = resample_mask(mask, make_grid(shape, lattice))
    return on_lattice.crop((0, 0, 0), (shape[0], shape[1], shape[2]))


def _mean_shape(shapes: Sequence[NDArray[np.bool_]], edge: float, volume: float) -> GridMask:
    """The cubes that most shapes share, as many as the volume needs; ties are all taken."""
    size = np.max([shape.shape for shape in shapes], axis=0)
    counts = np.zeros(tuple(size), dtype=np.int32)
    for shape in shapes:
        first = (size - shape.shape) // 2
        counts[tuple(slice(f, f + n) for f, n in zip(first, shape.shape, strict=True))] += shape
    wanted = max(round(volume * 1000 / edge**3), 1)
    ordered = np.sort(counts, axis=None)[::-1]
    threshold = max(int(ordered[min(wanted, ordered.size) - 1]), 1)
    lattice = np.diag([edge, edge, edge, 1.0])
    lattice[:3, 3] = -(size // 2) * edge
    return crop_mask(counts >= threshold, make_grid(tuple(size.tolist()), lattice))


def _mean_positions(shapes: Sequence[_Shape]) -> dict[Modality, NDArray[np.float64]]:
    positions: dict[Modality, NDArray[np.float64]] = {}
    for modality in MODALITIES:
        of_modality = [shape.position[modality] for shape in shapes if modality in shape.position]
        if of_modality:
            positions[modality] = np.mean(of_modality, axis=0)
    return positions
