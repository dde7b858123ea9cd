"""Headers of single-file NIfTI-1 and NIfTI-2 (nifti.nimh.nih.gov/nifti-1, nifti1.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.errors import VolumeError
from evaluator.volumes.headers import Header, shape_and_grid, trimmed
from evaluator.volumes.length_units import nifti_length_mm
from evaluator.volumes.quick_nibabel import HeaderDataError, nibabel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_BEFORE_VOXELS = 2**26
"""The most bytes between header and voxels (extensions): 64 MiB."""

NO_CODES = "qform_code and sform_code are 0, so the header does not say where the voxels lie"

NIFTI_SIZES: dict[bytes, tuple[Literal["<", ">"], int]] = {
    (348).to_bytes(4, "little"): ("<", 348),
    (348).to_bytes(4, "big"): (">", 348),
    (540).to_bytes(4, "little"): ("<", 540),
    (540).to_bytes(4, "big"): (">", 540),
}
"""The first four bytes of a NIfTI-1 or -2 header: byte order and size of the header."""


def nifti_header(read: Callable[[int], bytes]) -> Header:
    """Read a NIfTI header, up to the first voxel.

    Args:
        read: returns up to the given number of bytes of the file.

    Raises:
        VolumeError: the header is not valid.
    """
    block = read(348)
    if block[:4] not in NIFTI_SIZES:
        raise VolumeError("not NIfTI")
    order, length = NIFTI_SIZES[block[:4]]
    block += read(length - 348)
    kind: Any = nibabel.Nifti1Header if length == 348 else nibabel.Nifti2Header
    try:
        header = kind(block, endianness=order, check=False)
        if bytes(header["magic"])[:2] != b"n+" or not 1 <= int(header["dim"][0]) <= 7:
            raise ValueError("not a single file, or an impossible number of dimensions")
        shape, number_type = header.get_data_shape(), header.get_data_dtype()
        affine = nifti_affine(header)
        before = int(header["vox_offset"]) - length
        slope, intercept = header.get_slope_inter()
    except (HeaderDataError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise VolumeError(f"the header cannot be read: {error}") from None
    _skip_extensions(read, before, length)
    return Header(
        **shape_and_grid(trimmed(shape), affine),
        dtype=_number_type(number_type),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        start=before + length,
        no_position="" if header["qform_code"] or header["sform_code"] else NO_CODES,
    )


def nifti_affine(header: Any) -> NDArray[np.float64]:
    """The affine of a nibabel header in millimetres, (4, 4).

    The units of space of the header are applied. A handedness (qfac, ``pixdim[0]``) of 0 means 1,
    as nifti1.h says.

    Raises:
        VolumeError: the unit is unknown.
        HeaderDataError: the quaternion is not valid.
    """
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= nifti_length_mm(int(header["xyzt_units"]))
    return affine


def _skip_extensions(read: Callable[[int], bytes], count: int, length: int) -> None:
    """Read over the bytes between header and voxels; raises VolumeError."""
    if count < 0:
        raise VolumeError(f"the header places the voxels at byte {count + length}, in the header")
    if count > MOST_BEFORE_VOXELS:
        raise VolumeError(
            f"the header extension takes {count / 2**20:.1f} MiB; "
            f"at most {MOST_BEFORE_VOXELS / 2**20:g} MiB are read"
        )
    if len(read(count)) < count:
        raise VolumeError(f"the file ends before byte {count + length}, where voxels should begin")


def _number_type(number_type: np.dtype[Any]) -> np.dtype[Any]:
    if number_type.kind not in "biuf":
        raise VolumeError(
            f"voxels of type {number_type} are not labels and not an image of numbers"
        )
    return number_type
