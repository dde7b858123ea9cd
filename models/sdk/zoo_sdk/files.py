"""Images and masks of a request as arrays, always in nibabel's index order, and masks back as contract files.

numpy is imported when an array is asked for; nibabel or SimpleITK only for files that are not plain NIfTI-1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from struct import calcsize
from typing import TYPE_CHECKING, Any, Tuple

from zoo_sdk import nifti
from zoo_sdk.geometry import same_grid, spacing
from zoo_sdk.recent import Recent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid, Request


#: the images of the last requests
_READ = Recent(2)


class BadMask(ValueError):
    """A mask that may not leave the model; ``kind`` is the contract's word for what is wrong with it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Volume:
    """An image: ``array`` float32 (i, j, k) in ``unit``, ``affine`` (4, 4) from index to RAS+ mm."""

    array: Any
    affine: Any
    unit: str = "a.u."
    #: does the file store whole numbers, without a scale
    whole: bool = False

    @property
    def spacing(self) -> Tuple[float, float, float]:
        """Distance between neighbouring voxels along each index axis, mm."""
        return spacing(self.affine)


def input_folder() -> Path:
    """Where requests and images are: ``/input``, or ``UMD_INPUT`` outside a container."""
    return Path(os.environ.get("UMD_INPUT") or "/input")


def output_folder() -> Path:
    """Where answers go: ``/output``, or ``UMD_OUTPUT`` outside a container."""
    return Path(os.environ.get("UMD_OUTPUT") or "/output")


def read_image(request: Request, modality: str | None = None) -> Volume:
    """One of the request's images; without a modality its only one. Raises KeyError for one that is not there."""
    if modality is None:
        if len(request.images) != 1:
            raise KeyError("the request has %s: say which" % ", ".join(request.images))
        (modality,) = request.images
    image = request.images[modality]
    path = input_folder() / image.path
    about = path.stat()
    # the targets and rounds of a case share an image: it is read once
    key = (str(path), about.st_ino, about.st_size, about.st_mtime_ns)
    array, affine, whole = _READ.get(key, lambda: _read(path))
    array.flags.writeable = False
    return Volume(array, affine, image.unit, whole)


def read_mask(path: str, grid: Grid) -> NDArray[np.bool_]:
    """A scribble or previous mask of a request (path relative to the input folder); raises BadMask off the grid."""
    array, affine = read_volume(input_folder() / path)
    if not same_grid(Volume(array, affine), grid):
        raise BadMask("wrong-shape", "%s does not lie on the request's grid" % path)
    mask: NDArray[np.bool_] = array > 0
    return mask


def read_volume(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scaled values as float32 (i, j, k) and the affine of any file that the image's libraries can read."""
    array, affine, _ = _read(path)
    return array, affine


def _read(path: Path) -> Tuple[NDArray[np.float32], NDArray[np.float64], bool]:
    import numpy as np

    try:
        stored = nifti.read(path)
    except nifti.NotNifti:
        return (*_read_with_a_library(path), False)
    flat = np.frombuffer(stored.data, dtype=np.dtype(stored.order + _numpy_letter(stored.letter)))
    array = flat.reshape(stored.shape, order="F").astype(np.float32, order="F")
    if (stored.slope, stored.intercept) != (1.0, 0.0):
        array = array * np.float32(stored.slope) + np.float32(stored.intercept)
    whole = stored.letter not in "fd" and (stored.slope, stored.intercept) == (1.0, 0.0)
    return array, np.array(stored.affine, dtype=np.float64), whole


def write_mask(path: Path, array: Any, grid: Grid) -> None:
    """Write a mask as the contract wants it: uint8 0 and 1 on the grid, under a temporary name until it is whole.

    Takes bool or any numbers that are only 0 and 1; raises BadMask for another shape or other values.
    """
    import numpy as np

    mask = np.asarray(array)
    if mask.shape != tuple(grid.shape):
        raise BadMask("wrong-shape", "the mask has shape %s, the grid %s" % (mask.shape, tuple(grid.shape)))
    bits = mask.astype(np.uint8)
    if mask.dtype != np.bool_ and not np.array_equal(bits, mask):
        raise BadMask("wrong-values", "a mask holds values other than 0 and 1")
    if bits.size and bits.max() > 1:
        raise BadMask("wrong-values", "a mask holds values other than 0 and 1 (up to %d)" % bits.max())
    temporary = path.with_name(".writing-" + path.name)
    try:
        nifti.write(temporary, grid.shape, grid.affine, "B", bits.tobytes(order="F"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
