"""MHA files of Grand Challenge: written for a container, and read from one inside the worker."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import HostError, VolumeError, write_fault
from evaluator.imaging.geometry import TOLERANCE_MM, difference
from evaluator.imaging.grid_masks import crop_mask
from evaluator.volumes.metaimage_header import metaimage_header
from evaluator.volumes.refused_file import RefusedFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: RAS to LPS and back
FLIP = np.diag([-1.0, -1.0, 1.0])


def write_mha(path: Path, voxels: NDArray[Any], grid: Grid) -> None:
    """Write an image as compressed MHA.

    Args:
        path: the new file.
        voxels: (i, j, k), numbers of any type that MHA has.
        grid: their grid; MHA holds its axes as they are, with any angles.

    Raises:
        HostError: the file cannot be written.
    """
    import SimpleITK

    image = _to_itk(voxels, grid)
    try:
        SimpleITK.WriteImage(image, str(path), True)
        path.chmod(0o644)
    except OSError as error:
        raise write_fault(path, error) from error
    except RuntimeError as error:
        # SimpleITK's error does not say why; a full disk is the usual reason
        raise HostError(f"could not write {path}; free some space and run again") from error


def _to_itk(voxels: NDArray[Any], grid: Grid) -> Any:
    import SimpleITK

    affine = np.array(grid.affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(sizes.tolist())
    image.SetOrigin((FLIP @ affine[:3, 3]).tolist())
    image.SetDirection((FLIP @ affine[:3, :3] / sizes).reshape(-1).tolist())
    return image


def inspect_mha(body: bytes, grid: Grid, label: int) -> tuple[list[int], NDArray[np.uint8]]:
    """Read the voxels of one label from an untrusted MHA file.

    Only voxels inside the file are read: a header that names another file is refused.

    Args:
        body: the file.
        grid: the grid that the image must lie on.
        label: the value of the voxels.

    Returns:
        The first index of the box that holds the label, and the box's voxels (i, j, k), 0 or 1.

    Raises:
        RefusedFileError: the file is not a label map on this grid.
    """
    try:
        header = metaimage_header(body)
    except VolumeError as error:
        raise RefusedFileError("unsafe-file", f"not a usable MHA file: {error}") from None
    if header.data_file or header.start is None or header.encoding == "text":
        raise RefusedFileError("unsafe-file", "the voxels are not binary data inside the file")
    if header.grid.shape != grid.shape:
        raise RefusedFileError("wrong-shape", f"shape {header.grid.shape}, expected {grid.shape}")
    if mismatch := difference(grid, header.grid, TOLERANCE_MM):
        raise RefusedFileError("wrong-affine", mismatch.rsplit(": ", 1)[-1])
    if header.dtype.kind not in "iu":
        raise RefusedFileError(
            "wrong-values", f"voxels are {header.dtype}; a label map holds whole numbers"
        )
    count = int(np.prod(grid.shape, dtype=np.int64)) * header.dtype.itemsize
    raw = body[header.start :]
    if header.encoding == "zlib":
        try:
            raw = zlib.decompressobj().decompress(raw, count)
        except zlib.error as error:
            raise RefusedFileError(
                "unsafe-file", f"the compressed data are broken: {error}"
            ) from None
    if len(raw) < count:
        raise RefusedFileError("unsafe-file", f"{count - len(raw)} bytes of voxels are missing")
    labels = np.frombuffer(raw[:count], dtype=header.dtype).reshape(grid.shape, order="F")
    box = crop_mask(labels == label, grid, (0, 0, 0))
    return list(box.offset), box.array.view(np.uint8)
