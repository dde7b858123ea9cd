"""Read volumes: NIfTI by nibabel's header and isal's decompression, others by SimpleITK."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from isal import igzip
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import make_grid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

NIFTI = (".nii", ".nii.gz")
OTHERS = (".mha", ".mhd", ".nrrd", ".nhdr")


@dataclass(frozen=True, slots=True)
class Stored:
    """A volume as stored: value = number * slope + intercept."""

    array: NDArray[Any]
    grid: Grid
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def neutral(self) -> bool:
        """The stored numbers are the values."""
        return (self.slope, self.intercept) == (1.0, 0.0)


def read_grid(path: Path) -> Grid:
    """The grid of a volume, from its header alone; raises VolumeError."""
    return _nifti(path)[1] if path.name.endswith(NIFTI) else _other_grid(path)


def read_image(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read an image.

    Returns:
        The values in the file's unit, float32 (i, j, k), and the grid.

    Raises:
        VolumeError: the file cannot be read.
    """
    stored = read_stored(path)
    array = stored.array.astype(np.float32)
    if not stored.neutral:
        array = array * np.float32(stored.slope) + np.float32(stored.intercept)
    return array, stored.grid


def read_labels(path: Path) -> tuple[NDArray[np.integer[Any]], Grid]:
    """Read a mask or label map.

    Floating-point files are accepted if every voxel is an integer.

    Returns:
        The labels (i, j, k) in the file's integer type, and the grid.

    Raises:
        VolumeError: the file cannot be read, or holds other numbers than integers.
    """
    stored = read_stored(path)
    return whole_numbers(stored, path), stored.grid


def whole_numbers(stored: Stored, path: Path) -> NDArray[np.integer[Any]]:
    """A volume's values as integers; raises VolumeError if one is not an integer."""
    array = stored.array
    if not stored.neutral:
        array = array.astype(np.float64) * stored.slope + stored.intercept
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            integers = array.astype(np.int32)
        if not np.array_equal(integers, array):
            raise VolumeError(
                f"{path}: a mask must hold whole numbers of at most 32 bits; this file holds others"
            )
        array = integers
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def read_stored(path: Path) -> Stored:
    """Read a volume, converted to this machine's byte order only; raises VolumeError."""
    return _read_nifti(path) if path.name.endswith(NIFTI) else _read_other(path)


def _nifti(path: Path) -> tuple[Any, Grid]:
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        return image, make_grid(shape, image.affine)
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        VolumeError,
    ) as error:
        raise VolumeError(f"{path}: cannot be read as NIfTI: {_first_line(error)}") from None


def _read_nifti(path: Path) -> Stored:
    image, grid = _nifti(path)
    proxy = image.dataobj
    kind = np.dtype(proxy.dtype)
    if kind.kind not in "biuf":
        raise VolumeError(
            f"{path}: voxels of type {kind} are not supported; integers and floats are"
        )
    size = int(np.prod(grid.shape, dtype=np.int64)) * kind.itemsize
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = igzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise VolumeError(
            f"{path}: the file is damaged or truncated: {_first_line(error)}"
        ) from None
    if len(raw) < proxy.offset + size:
        missing = proxy.offset + size - len(raw)
        raise VolumeError(f"{path}: the file is truncated, {missing} bytes of voxels are missing")
    flat = np.frombuffer(raw, dtype=kind, count=size // kind.itemsize, offset=int(proxy.offset))
    array = flat.reshape(grid.shape, order="F")
    slope, intercept = (float(value) for value in (proxy.slope, proxy.inter))
    return Stored(array.astype(kind.newbyteorder("="), copy=False), grid, slope, intercept)


def _other_grid(path: Path) -> Grid:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    try:
        reader.SetFileName(_checked_path(path))
        reader.ReadImageInformation()
        return _grid_of(reader)
    except RuntimeError as error:
        raise VolumeError(f"{path}: cannot be read: {_last_line(error)}") from None


def _read_other(path: Path) -> Stored:
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(_checked_path(path))
    except RuntimeError as error:
        raise VolumeError(f"{path}: cannot be read: {_last_line(error)}") from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise VolumeError(f"{path}: each voxel holds {count} numbers, one is expected")
    # SimpleITK's arrays are (k, j, i)
    return Stored(SimpleITK.GetArrayFromImage(image).T, _grid_of(image))


def _grid_of(image: Any) -> Grid:
    """The grid of a SimpleITK image or reader, from LPS to RAS."""
    if image.GetDimension() != 3:
        raise VolumeError(f"a volume has three dimensions; this one has {image.GetDimension()}")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    return make_grid(image.GetSize(), affine)


def _checked_path(path: Path) -> str:
    if not path.name.lower().endswith(OTHERS):
        formats = ", ".join(NIFTI + OTHERS)
        raise VolumeError(f"{path}: not a supported volume format; supported are {formats}")
    if not path.is_file():
        raise VolumeError(f"{path}: no such file")
    return str(path)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
