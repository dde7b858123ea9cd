"""Images and masks of a request as arrays in nibabel's index order, and masks back as files.

numpy is imported when an array is needed; nibabel or SimpleITK only for files that are not plain
NIfTI-1.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import calcsize
from typing import TYPE_CHECKING, Any, Iterator, Tuple

from zoo_sdk import nifti
from zoo_sdk.recent import Recent
from zoo_sdk.volume import Crop, Volume, same_grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid, Request


#: the images of the last requests
_READ = Recent(2)


class BadMask(ValueError):
    """An invalid mask, which is not written; ``kind`` is the contract's word for the fault."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def input_folder() -> Path:
    """Where requests and images are: ``/input``, or ``UMD_INPUT`` outside a container."""
    return Path(os.environ.get("UMD_INPUT") or "/input")


def output_folder() -> Path:
    """Where answers go: ``/output``, or ``UMD_OUTPUT`` outside a container."""
    return Path(os.environ.get("UMD_OUTPUT") or "/output")


def read_image(request: Request, modality: str | None = None) -> Volume:
    """One of the request's images; without a modality its only one. Raises KeyError if absent."""
    if modality is None:
        if len(request.images) != 1:
            raise KeyError("the request has %s: name one" % ", ".join(request.images))
        (modality,) = request.images
    image = request.images[modality]
    path = input_folder() / image.path
    about = path.stat()
    # the targets and rounds of a case share an image: it is read once
    key = (str(path), about.st_ino, about.st_size, about.st_mtime_ns)
    array, affine, integers = _READ.get(key, lambda: _read_values(path))
    array.flags.writeable = False
    return Volume(array, affine, image.unit, integers)


def read_mask(path: str, grid: Grid) -> NDArray[np.bool_]:
    """A scribble or previous mask of a request, bool on the request's grid.

    ``path`` is relative to the input folder. Raises BadMask if the mask lies on another grid.
    """
    array, affine, _ = _read(input_folder() / path)
    if not same_grid(Volume(array, affine), grid):
        raise BadMask("wrong-shape", "%s does not lie on the request's grid" % path)
    mask: NDArray[np.bool_] = array > 0
    return mask


def read_volume(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scaled values as float32 (i, j, k) and the affine of any file that can be read here."""
    array, affine, _ = _read_values(path)
    return array, affine


def _read_values(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64], bool]:
    """Scaled values, affine, and whether the file stores unscaled integers."""
    import numpy as np

    array, affine, integers = _read(path)
    # an array over the file's bytes is copied, so a model may write to it
    values: NDArray[np.float32] = array.astype(
        np.float32, order="F", copy=not array.flags.writeable
    )
    return values, affine, integers


def _read(path: Path) -> Tuple[Any, NDArray[np.float64], bool]:
    """Scaled values in the file's number type where nothing scales them, else float32."""
    import numpy as np

    try:
        stored = nifti.read(path)
    except nifti.NotNifti:
        return (*_read_with_a_library(path), False)
    flat = np.frombuffer(stored.data, dtype=np.dtype(stored.order + _numpy_letter(stored.letter)))
    array: Any = flat.reshape(stored.shape, order="F")
    if (stored.slope, stored.intercept) != (1.0, 0.0):
        array = array.astype(np.float32, order="F") * np.float32(stored.slope) + np.float32(
            stored.intercept
        )
    integers = stored.letter not in "fd" and (stored.slope, stored.intercept) == (1.0, 0.0)
    return array, np.array(stored.affine, dtype=np.float64), integers


def write_mask(path: Path, array: Any, grid: Grid) -> None:
    """Write a mask as the contract requires: uint8 0 and 1 on the grid, atomically.

    Takes an array of the grid's shape or a Crop, bool or any numbers that are only 0 and 1; raises
    BadMask for another shape or other values.
    """
    import numpy as np

    mask, corner = _placed(array, grid)
    low, inside = _tight(mask)
    bits = inside.astype(np.uint8)
    if mask.dtype != np.bool_ and not np.array_equal(bits, inside):
        raise BadMask("wrong-values", "a mask holds values other than 0 and 1")
    if bits.size and bits.max() > 1:
        raise BadMask(
            "wrong-values", "a mask holds values other than 0 and 1 (up to %d)" % bits.max()
        )
    temporary = path.with_name(".writing-" + path.name)
    try:
        place = (corner[0] + low[0], corner[1] + low[1], corner[2] + low[2])
        nifti.write_pieces(temporary, mask_pieces(bits, place, grid))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mask_pieces(bits: Any, corner: Tuple[int, int, int], grid: Grid) -> Iterator[nifti.Piece]:
    """The content of a mask's NIfTI file, from the uint8 part of the grid that holds the mask.

    Only the rows that hold it, slice by slice, are bytes; all else is a number of zeros.
    """
    import numpy as np

    ni, nj, nk = grid.shape
    di, dj, dk = bits.shape
    rows = np.zeros((ni, dj, dk), dtype=np.uint8, order="F")
    rows[corner[0] : corner[0] + di] = bits
    yield nifti.header(grid.shape, grid.affine, "B")
    zeros = (corner[2] * nj + corner[1]) * ni
    for n in range(dk):
        yield zeros
        yield rows[:, :, n].tobytes(order="F")
        zeros = (nj - dj) * ni
    # behind the last row that holds the mask; of an empty mask all is behind
    yield nk * nj * ni - (((corner[2] + dk - 1) * nj + corner[1] + dj) * ni if dk else 0)


def _placed(array: Any, grid: Grid) -> Tuple[Any, Tuple[int, int, int]]:
    """A mask or a Crop as an array that lies inside the grid, and where."""
    import numpy as np

    crop = array if isinstance(array, Crop) else Crop(array, (0, 0, 0))
    mask = np.asarray(crop.array)
    if crop is not array and mask.shape != tuple(grid.shape):
        raise BadMask(
            "wrong-shape", "the mask has shape %s, the grid %s" % (mask.shape, tuple(grid.shape))
        )
    i, j, k = (int(value) for value in crop.corner)
    ends = [c + n for c, n in zip((i, j, k), mask.shape)]
    if mask.ndim != 3 or min(i, j, k) < 0 or any(end > size for end, size in zip(ends, grid.shape)):
        raise BadMask(
            "wrong-shape",
            "a crop of %s at %s leaves the grid %s" % (mask.shape, crop.corner, grid.shape),
        )
    return mask, (i, j, k)


def _tight(mask: Any) -> Tuple[Tuple[int, int, int], Any]:
    """The bounding box of all voxels that are not 0: its first index, and its voxels."""
    import numpy as np

    window, low = mask, [0, 0, 0]
    for axis in sorted(range(3), key=lambda axis: -abs(mask.strides[axis])):
        across = tuple(n for n in range(3) if n != axis)
        filled = np.flatnonzero(window.any(axis=across))
        first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)
        low[axis] = first
        window = window[(slice(None),) * axis + (slice(first, last),)]
    return (low[0], low[1], low[2]), window


def _numpy_letter(letter: str) -> str:
    # the same types by their sizes, which no platform changes
    kind = "f" if letter in "fd" else "i" if letter.islower() else "u"
    return "%s%d" % (kind, calcsize("=" + letter))


def _read_with_a_library(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64]]:
    import numpy as np

    try:
        import nibabel
    except ImportError:
        return _read_with_simpleitk(path)
    image: Any = nibabel.load(path)
    return np.asarray(image.get_fdata(dtype=np.float32)), np.asarray(image.affine, dtype=np.float64)


def _read_with_simpleitk(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64]]:
    import numpy as np
    import SimpleITK

    image: Any = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1  # LPS to RAS
    return np.transpose(SimpleITK.GetArrayFromImage(image), (2, 1, 0)), affine
