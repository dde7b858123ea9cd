"""DICOM-SEG: the masks of its segments on the grid of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets.dicom.headers import keyed_hash
from evaluator.datasets.dicom.reading import items_of, number_of, quiet, text_of, value_of
from evaluator.datasets.dicom.slices import LPS_TO_RAS
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import TOLERANCE_MM, affine_of
from evaluator.imaging.grid_masks import GridMask, crop_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: an index of a segmentation may differ so much from a whole number on the image's grid
OFF_GRID = 0.05
#: number and code of the background in a label map
BACKGROUND = 0
BACKGROUND_CODE = ("125040", "DCM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The segments of a DICOM-SEG, and keyed hashes of the series they belong to."""

    #: segment number -> name
    names: dict[int, str]
    series: frozenset[str]
    instances: frozenset[str]


def read_segments(dataset: Any, key: bytes) -> Segments:
    """What a DICOM-SEG says of itself; the background of a label map is no segment.

    Raises:
        VolumeError: it has no segment.
    """
    names = {}
    for item in value_of(dataset, "SegmentSequence") or ():
        number = int(number_of(item, "SegmentNumber") or BACKGROUND)
        if number != BACKGROUND and not _is_background(item):
            names[number] = text_of(item, "SegmentLabel") or f"segment-{number}"
    if not names:
        raise VolumeError("it holds no segment, or the background only")
    series, instances = set(), set()
    for item in value_of(dataset, "ReferencedSeriesSequence") or ():
        series.add(keyed_hash(key, text_of(item, "SeriesInstanceUID")))
        for instance in value_of(item, "ReferencedInstanceSequence") or ():
            instances.add(keyed_hash(key, text_of(instance, "ReferencedSOPInstanceUID")))
    return Segments(
        names=names, series=frozenset(series - {""}), instances=frozenset(instances - {""})
    )


def _is_background(segment: Any) -> bool:
    """Whether the coded type of a segment is the background."""
    for code in items_of(segment, "SegmentedPropertyTypeCodeSequence"):
        value, scheme = text_of(code, "CodeValue"), text_of(code, "CodingSchemeDesignator")
        if (value, scheme) == BACKGROUND_CODE:
            return True
    return False


def segment_masks(dataset: Any, numbers: list[int], grid: Grid) -> dict[int, GridMask]:
    """The masks of segments.

    Args:
        dataset: a DICOM-SEG with its voxels.
        numbers: of the segments.
        grid: of the image; every voxel of the segmentation must be one of its voxels.

    Raises:
        VolumeError: the object cannot be read, is a map of probabilities, or has another grid.
    """
    from highdicom.seg import Segmentation

    with quiet():
        try:
            segmentation = Segmentation.from_dataset(dataset, copy=False)
            volume = segmentation.get_volume(
                segment_numbers=numbers, combine_segments=False, rescale_fractional=True
            )
        except Exception as error:  # a damaged object can raise anything
            raise VolumeError(f"it cannot be read as a volume ({type(error).__name__})") from None
    array = np.asarray(volume.array)
    if not np.isin(array, (0, 1)).all():
        raise VolumeError("it holds probabilities, not masks")
    places = _places(LPS_TO_RAS @ np.asarray(volume.affine), array.shape[:3], grid)
    masks = {}
    for channel, number in enumerate(numbers):
        full = np.zeros(grid.shape, dtype=np.bool_)
        inside = np.argwhere(array[..., channel] > 0)
        full[tuple(_moved(inside, places).T)] = True
        masks[number] = crop_mask(full, grid)
    return masks


def _places(affine: NDArray[np.float64], shape: tuple[int, ...], grid: Grid) -> NDArray[np.float64]:
    """The (3, 4) map from indices of one grid to those of the other, in whole numbers."""
    moving = np.linalg.inv(affine_of(grid)) @ affine
    rounded = np.round(moving)
    corners = np.array([shape[0] - 1, shape[1] - 1, shape[2] - 1])
    error = np.abs(moving[:3, :3] - rounded[:3, :3]) @ corners + np.abs(moving - rounded)[:3, 3]
    if error.max() > OFF_GRID + TOLERANCE_MM:
        raise VolumeError("it has another grid than its image")
    ends = _moved(np.array([[0, 0, 0], corners]), rounded[:3])
    if ends.min() < 0 or (ends >= grid.shape).any():
        raise VolumeError("it reaches beyond its image")
    return np.asarray(rounded[:3])


def _moved(index: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.int64]:
    return (index @ places[:, :3].T + places[:, 3]).astype(np.int64)
