"""Headers of label maps from bytes: NIfTI-1 and -2, MHA and NRRD.

Volumes have two or three axes, and their voxels lie in the same file. Nothing here opens a file,
follows a name that a header gives, or allocates memory for a size that a header claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import make_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zoo_sdk.wire import Grid

MOST_TEXT = 2**16
"""The most bytes of a header in text."""

MOST_BEFORE_VOXELS = 2**20

NIFTI_SIZES: dict[bytes, tuple[Literal["<", ">"], int]] = {
    (348).to_bytes(4, "little"): ("<", 348),
    (348).to_bytes(4, "big"): (">", 348),
    (540).to_bytes(4, "little"): ("<", 540),
    (540).to_bytes(4, "big"): (">", 540),
}
"""The first four bytes of a NIfTI-1 or -2 header: byte order and size of the header."""

MHA_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
#: signs that convert an axis of the space to NRRD's left-posterior-superior
NRRD_SPACES = {
    "left-posterior-superior": (1, 1), "lps": (1, 1), "": (1, 1),
    "right-anterior-superior": (-1, -1), "ras": (-1, -1),
    "left-anterior-superior": (1, -1), "las": (1, -1),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file declares about its voxels."""

    #: two or three axes, as stored; the grid of a two-axis image has one voxel along the third axis
    shape: tuple[int, ...]
    grid: Grid
    dtype: np.dtype[Any]
    slope: float = 1.0
    intercept: float = 0.0
    #: compression of the voxels (a NIfTI file is compressed as a whole, header included)
    packed: Literal["no", "gzip", "zlib"] = "no"

    @property
    def bytes(self) -> int:
        """The number of bytes of the voxels."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


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
        shape, letter = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
        affine = header.get_best_affine()
        before = int(header["vox_offset"]) - length
        slope, intercept = header.get_slope_inter()
    except (HeaderDataError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise VolumeError(f"the header cannot be read: {error}") from None
    if not 0 <= before <= MOST_BEFORE_VOXELS or len(read(before)) < before:
        raise VolumeError(f"the header places the voxels at byte {before + length}")
    return Header(
        **_shape_and_grid(_trimmed(shape), affine),
        dtype=_number(letter),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )


def mha_header(body: bytes) -> tuple[Header, int]:
    """The header of an MHA file and the offset of its voxels; raises VolumeError."""
    fields: dict[str, str] = {}
    at = 0
    for line, after in _lines(body):
        key, _, value = line.partition("=")
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            at = after
            break
    try:
        if fields["elementdatafile"] != "LOCAL" or fields.get("headersize", "0") not in ("0", "-1"):
            raise VolumeError(
                "its voxels lie in another file, or not right behind the header; write one file"
            )
        if fields.get("elementnumberofchannels", "1") != "1":
            raise VolumeError(
                f"each voxel holds {fields['elementnumberofchannels']} numbers, one is expected"
            )
        shape = _numbers(fields["dimsize"], int)
        steps = _numbers(fields.get("elementspacing") or fields["elementsize"], float)
        rotation = _first_field(fields, "transformmatrix", "orientation", "rotation")
        axes = np.reshape(
            _numbers(rotation, float) or np.eye(len(shape)).ravel(), (len(shape), len(shape))
        )
        position = _first_field(fields, "offset", "position", "origin")
        origin = _numbers(position, float) or [0.0] * len(shape)
        big_endian = _yes(fields, "elementbyteordermsb") or _yes(fields, "binarydatabyteordermsb")
        letter = MHA_TYPES[fields["elementtype"]]
        packed: Literal["no", "zlib"] = "zlib" if _yes(fields, "compresseddata") else "no"
        affine = _from_lps(axes * np.reshape(steps, (-1, 1)), origin)
    except (KeyError, ValueError) as error:
        raise VolumeError(f"the header cannot be read: {error}") from None
    return Header(
        **_shape_and_grid(tuple(shape), affine),
        dtype=np.dtype("<>"[big_endian] + letter),
        packed=packed,
    ), at


def nrrd_header(body: bytes) -> tuple[Header, int]:
    """The header of an NRRD file and the offset of its voxels; raises VolumeError."""
    fields: dict[str, str] = {}
    at = 0
    for line, after in _lines(body):
        if not line.strip():
            at = after
            break
        if not line.startswith("#") and ":=" not in line:
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    if not body.startswith(b"NRRD000") or not at:
        raise VolumeError("not NRRD")
    if {"datafile", "lineskip", "byteskip"} & fields.keys():
        raise VolumeError(
            "its voxels lie in another file, or not right behind the header; write one file"
        )
    try:
        shape = _numbers(fields["sizes"], int)
        letter = next(name for name, words in NRRD_TYPES.items() if fields["type"].lower() in words)
        vectors = [
            _vector(part) for part in fields.get("spacedirections", "").replace(", ", ",").split()
        ]
        if any(vector is None for vector in vectors):
            raise VolumeError("each voxel holds several numbers, one is expected")
        steps = _numbers(fields.get("spacings", ""), float) or [1.0] * len(shape)
        axes = np.array(vectors) if vectors else np.diag(steps)
        origin = np.array(
            _vector(fields["spaceorigin"]) if "spaceorigin" in fields else [0.0] * len(axes)
        )
        signs = np.array([*NRRD_SPACES[fields.get("space", "").lower()], 1.0])[: axes.shape[1]]
        affine = _from_lps(axes * signs, origin * signs)
        packed: Literal["no", "gzip"] = (
            "gzip" if fields["encoding"].lower() in ("gzip", "gz") else "no"
        )
        if packed == "no" and fields["encoding"].lower() != "raw":
            raise VolumeError(f"its encoding is {fields['encoding']}; raw and gzip are read")
    except (KeyError, ValueError, StopIteration, IndexError) as error:
        raise VolumeError(f"the header cannot be read: {error or 'unknown number type'}") from None
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    return Header(
        **_shape_and_grid(tuple(shape), affine), dtype=np.dtype(order + letter), packed=packed
    ), at


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Remove axes of one voxel after the third."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _shape_and_grid(shape: tuple[int, ...], affine: Any) -> dict[str, Any]:
    if len(shape) not in (2, 3):
        raise VolumeError(f"a volume has three dimensions, an image two; this one has {shape}")
    return {"shape": shape, "grid": make_grid((*shape, 1)[:3], affine)}


def _number(letter: np.dtype[Any]) -> np.dtype[Any]:
    if letter.kind not in "biuf" or letter.itemsize > 8:
        raise VolumeError(f"voxels of type {letter} are not labels")
    return letter


def _lines(body: bytes) -> Any:
    """The header's lines and their ends; raises VolumeError for a line without an end."""
    at = 0
    while at < MOST_TEXT:
        end = body.find(b"\n", at, MOST_TEXT)
        if end < 0:
            raise VolumeError("the header has no end")
        yield body[at:end].decode("latin-1").rstrip("\r"), end + 1
        at = end + 1
    raise VolumeError("the header has no end")


def _numbers(text: str, kind: type) -> list[Any]:
    return [kind(part) for part in text.split()]


def _vector(text: str) -> list[float] | None:
    return None if text.strip() == "none" else [float(part) for part in text.strip("()").split(",")]


def _first_field(fields: Mapping[str, str], *names: str) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _yes(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1", "t", "yes")


def _from_lps(axes: Any, origin: Sequence[float]) -> Any:
    """The RAS affine, (4, 4).

    Args:
        axes: (n, n), n two or three, a row for each index axis in LPS millimetres.
        origin: position of voxel 0, (n,).
    """
    n = len(axes)
    affine = np.eye(4)
    affine[:n, :n] = np.asarray(axes, dtype=np.float64).T
    affine[:n, 3] = origin
    affine[:2] *= -1
    return affine
