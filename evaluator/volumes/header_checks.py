"""What a header says of an image's place, and where it contradicts itself.

NIfTI states the place up to three times: sform, qform, and voxel sizes without a place. Programs
choose differently between them, so a contradiction puts one image at two places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import corners_mm, displacement_mm, make_grid, spacing
from evaluator.imaging.orthogonal_grids import ORTHOGONAL, ROUNDING, orthonormal, skew
from evaluator.volumes.quick_nibabel import HeaderDataError, ImageFileError, nibabel
from evaluator.volumes.reading import read_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.findings import Severity
    from zoo_sdk.wire import Grid

NIFTI = (".nii", ".nii.gz")
#: places that differ by less than this part of a voxel agree
SAME_PLACE_VOXELS = 0.1
#: voxel sizes that differ by less than this part agree
SAME_SIZE = 1e-3
#: NIfTI's codes of units of length
LENGTHS = {1: "metres", 3: "micrometres"}
MILLIMETRES = {1: 1000.0, 3: 0.001}


def check_header(path: Path) -> Iterator[tuple[Severity, str]]:
    """Findings about the geometry of one image; a file that cannot be read has none here.

    Args:
        path: a volume of any supported format.

    Yields:
        severity and message.
    """
    try:
        grid = read_grid(path)
        header = nibabel.load(path).header if path.name.lower().endswith(NIFTI) else None
    except (VolumeError, ImageFileError, HeaderDataError, OSError, ValueError):
        return
    if header is not None:
        yield from _check_places(header, grid)
        yield from _check_units(header)
    yield from _check_axes(grid)


def _check_places(header: Any, grid: Grid) -> Iterator[tuple[Severity, str]]:
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        message = (
            "the header gives no orientation and no position (codes of sform and qform are 0), so "
            "a shared frame with other images is a guess"
        )
        yield "warning", message
        return
    if not sform:
        return
    millimetres = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    first = _placed(grid, header.get_sform, millimetres)
    second = _placed(grid, header.get_qform, millimetres) if qform else None
    if first and second:
        distance = displacement_mm(first, second)
        if distance > SAME_PLACE_VOXELS * min(_sizes(first)) + _qform_rounding(first):
            message = (
                f"sform and qform contradict each other: voxels lie up to {distance:.4g} mm apart; "
                "umd uses sform, other programs may use qform"
            )
            yield "warning", message
    if first:
        stated = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * millimetres
        sizes = np.array(_sizes(first))
        if stated.min() > 0 and np.abs(stated / sizes - 1).max() > SAME_SIZE:
            message = f"pixdim says voxels of {_by(stated)} mm and sform {_by(sizes)} mm"
            yield "warning", f"{message}; umd uses sform"


def _placed(grid: Grid, affine: Callable[[], Any], millimetres: float) -> Grid | None:
    """A grid of this shape by one of the header's affines; None if that describes no grid."""
    try:
        matrix = np.array(affine(), dtype=np.float64)
        matrix[:3] *= millimetres
        return make_grid(grid.shape, matrix)
    except (HeaderDataError, ValueError, VolumeError):
        return None


def _qform_rounding(grid: Grid) -> float:
    """What storing a rotation as a quaternion in 32 bits, or a skew that it cannot hold, moves."""
    extent = float(np.linalg.norm(np.ptp(corners_mm(grid), axis=0)))
    return (1e-5 + skew(grid)) * extent


def _check_units(header: Any) -> Iterator[tuple[Severity, str]]:
    code = int(header["xyzt_units"]) & 7
    if code not in (0, 2):
        name = LENGTHS.get(code, f"an unknown unit (code {code})")
        yield "warning", f"the header states lengths in {name}; millimetres are usual"


def _check_axes(grid: Grid) -> Iterator[tuple[Severity, str]]:
    largest = skew(grid)
    if largest <= ORTHOGONAL:
        return
    degrees = float(np.degrees(np.arcsin(min(largest, 1.0))))
    if largest <= ROUNDING:
        moved = displacement_mm(grid, orthonormal(grid))
        message = (
            f"the directions of the axes are not quite orthogonal ({degrees:.2g} degrees, rounding "
            f"of the header); models get the nearest orthogonal grid, up to {moved:.2g} mm away"
        )
        yield "note", message
    else:
        message = (
            f"the directions of the axes have a shear of {degrees:.3g} degrees (a tilted gantry?); "
            "models that read images with ITK refuse the image; resample it to orthogonal axes"
        )
        yield "warning", message


def _sizes(grid: Grid) -> tuple[float, float, float]:
    return spacing(np.array(grid.affine))


def _by(sizes: Any) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
