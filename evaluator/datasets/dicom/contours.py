"""RTSTRUCT: contours in millimetres of the patient, and their masks on the grid of an image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets.dicom.headers import keyed_hash
from evaluator.datasets.dicom.reading import number_of, text_of, value_of
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, to_index
from evaluator.imaging.grid_masks import GridMask, crop_mask
from evaluator.imaging.polygons import combine_polygons
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: a contour may lie so far from the middle of its slice, in slices
OFF_SLICE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """A structure of an RTSTRUCT."""

    name: str
    #: RAS, millimetres, each (n, 3)
    contours: tuple[NDArray[np.float64], ...] = ()
    #: contours of other kinds, which enclose nothing
    open_contours: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSet:
    """The structures of an RTSTRUCT, and keyed hashes of the images they were drawn on."""

    structures: tuple[Structure, ...]
    series: frozenset[str] = field(default_factory=frozenset)
    instances: frozenset[str] = field(default_factory=frozenset)


def read_structures(dataset: Any, key: bytes, *, points: bool = True) -> StructureSet:
    """The structures of an RTSTRUCT.

    Args:
        dataset: the object.
        key: of the hashes.
        points: read the contours; without, the structures have none, which takes less time.

    Raises:
        VolumeError: it holds no structure, or coordinates that are no points.
    """
    names = {
        int(number_of(item, "ROINumber") or 0): text_of(item, "ROIName")
        for item in value_of(dataset, "StructureSetROISequence") or ()
    }
    series, instances = _referenced_series(dataset, key), set()
    structures = []
    for item in value_of(dataset, "ROIContourSequence") or ():
        number = int(number_of(item, "ReferencedROINumber") or 0)
        contours, others = [], 0
        for contour in value_of(item, "ContourSequence") or ():
            for image in value_of(contour, "ContourImageSequence") or ():
                instances.add(keyed_hash(key, text_of(image, "ReferencedSOPInstanceUID")))
            if text_of(contour, "ContourGeometricType").upper() in CLOSED:
                contours += [_points(contour)] if points else []
            else:
                others += 1
        name = names.get(number) or f"roi-{number}"
        structures.append(Structure(name=name, contours=tuple(contours), open_contours=others))
    if not structures:
        raise VolumeError("it holds no contours")
    return StructureSet(
        structures=tuple(structures), series=frozenset(series), instances=frozenset(instances)
    )


def _referenced_series(dataset: Any, key: bytes) -> set[str]:
    contained = set()
    for frame in value_of(dataset, "ReferencedFrameOfReferenceSequence") or ():
        for study in value_of(frame, "RTReferencedStudySequence") or ():
            for series in value_of(study, "RTReferencedSeriesSequence") or ():
                contained.add(keyed_hash(key, text_of(series, "SeriesInstanceUID")))
    return contained - {""}


def _points(contour: Any) -> NDArray[np.float64]:
    try:
        # the library's own reading of decimal strings takes most of the time of an import
        raw = contour.get_item("ContourData").value
        values = raw.split(b"\\") if isinstance(raw, bytes) else value_of(contour, "ContourData")
        numbers = np.array(values or (), dtype=np.float64)
    except (AttributeError, TypeError, ValueError):
        raise VolumeError("a contour holds text in place of numbers") from None
    if len(numbers) % 3 or not np.isfinite(numbers).all():
        raise VolumeError("a contour's numbers are no points of three coordinates")
    return numbers.reshape(-1, 3) * (-1, -1, 1)


def structure_mask(structure: Structure, grid: Grid) -> tuple[GridMask, tuple[str, ...]]:
    """The voxels of a structure: those whose centre lies inside its contours, in each slice.

    Args:
        structure: with contours in the planes of the grid's third axis.
        grid: of the image.

    Returns:
        the mask, and what a user should know.

    Raises:
        VolumeError: the structure has no closed contour, or contours that lie in no slice of the
            grid.
    """
    planes = _by_slice(structure, grid)
    corners = np.concatenate([points for group in planes.values() for points in group])
    size = np.array(grid.shape[:2])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, low, size)
    first, last = min(planes), max(planes)
    box = (int(high[0] - low[0]), int(high[1] - low[1]))
    array = np.zeros((*box, last - first + 1), dtype=np.bool_)
    crossings = 0
    for k, group in planes.items():
        plane, crossing = combine_polygons([points - low for points in group], box)
        array[:, :, k - first] = plane
        crossings += crossing
    notes = []
    if crossings:
        notes.append(f"contours cross in {counted(crossings, 'slice')}, where they are united")
    if gaps := last - first + 1 - len(planes):
        words = counted(gaps, "slice", "slices")
        notes.append(f"no contour in {words} between the first and the last")
    if structure.open_contours:
        words = counted(structure.open_contours, "point or open line", "points or open lines")
        notes.append(f"left out: {words}")
    mask = crop_mask(array, grid, (int(low[0]), int(low[1]), first))
    if mask.empty:
        raise VolumeError("its contours enclose no voxel's centre")
    return mask, tuple(notes)


def _by_slice(structure: Structure, grid: Grid) -> dict[int, list[NDArray[np.float64]]]:
    """Slice -> corners (n, 2) of its contours, as indices."""
    planes: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    affine = affine_of(grid)
    for points in structure.contours:
        if len(points) < 3:
            continue
        index = to_index(affine, points)
        middle = float(index[:, 2].mean())
        k = round(middle)
        if np.abs(index[:, 2] - middle).max() > OFF_SLICE:
            raise VolumeError("a contour does not lie in a slice of its image")
        if abs(middle - k) > OFF_SLICE:
            raise VolumeError("a contour lies between two slices of its image")
        if not 0 <= k < grid.shape[2]:
            raise VolumeError("a contour lies outside of its image's slices")
        planes[k].append(index[:, :2])
    if not planes:
        raise VolumeError("it has no closed contour")
    return planes
