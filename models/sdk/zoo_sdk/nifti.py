"""Single-file NIfTI-1 with the standard library only: reads images and writes masks.

Voxels are the file's own bytes, first index fastest. The format's definition:
nifti.nimh.nih.gov/nifti-1 (nifti1.h).
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Iterable, List, Sequence, Tuple, Union

from zoo_sdk.wire import Affine

if TYPE_CHECKING:
    from pathlib import Path

#: NIfTI datatype code -> letter of ``struct`` and of numpy
LETTERS = {
    2: "B",
    4: "h",
    8: "i",
    16: "f",
    64: "d",
    256: "b",
    512: "H",
    768: "I",
    1024: "q",
    1280: "Q",
}
CODES = {letter: code for code, letter in LETTERS.items()}

HEADER_BYTES = 348
VOXEL_OFFSET = 352  # the header and four bytes that mean "no extension"
MILLIMETRES = 2
SCANNER = 1

GZIP = 31  # what zlib calls a gzip file
#: zeros of one packed piece; what is packed once need not be packed again for the next mask
MANY_ZEROS = 2**20

#: bytes as they are, or so many zeros
Piece = Union[bytes, int]


class NotNifti(ValueError):
    """Not a single-file NIfTI-1 volume of three dimensions with a plain number type."""


@dataclass(frozen=True)
class Stored:
    """A volume as stored: value = stored * slope + intercept.

    ``data`` has the byte order ``order`` ("<" or ">") and the number type ``letter``.
    """

    shape: Tuple[int, int, int]
    affine: Affine
    letter: str
    data: memoryview
    order: str = "<"
    slope: float = 1.0
    intercept: float = 0.0

    def values(self) -> List[float]:
        """All scaled values, first index fastest; for small volumes where numpy is not at hand."""
        count = math.prod(self.shape)
        stored = struct.unpack("%s%d%s" % (self.order, count, self.letter), self.data)
        return [value * self.slope + self.intercept for value in stored]


def read(path: Path) -> Stored:
    """Read a ``.nii`` or ``.nii.gz``.

    Raises:
        NotNifti: another reader is needed.
        OSError: the file is broken.
    """
    body = path.read_bytes()
    content = _unpack(body) if body[:2] == b"\x1f\x8b" else body
    header = content[:HEADER_BYTES]
    order = _byte_order(header)
    dims = struct.unpack_from(order + "8h", header, 40)
    code, _ = struct.unpack_from(order + "2h", header, 70)
    offset, slope, intercept = struct.unpack_from(order + "3f", header, 108)
    if (
        not 3 <= dims[0] <= 7
        or any(size > 1 for size in dims[4 : dims[0] + 1])
        or min(dims[1:4]) < 1
    ):
        raise NotNifti("%s: dimensions %s are not those of one volume" % (path.name, list(dims)))
    if code not in LETTERS:
        raise NotNifti("%s: number type %d" % (path.name, code))
    shape = (dims[1], dims[2], dims[3])
    first = max(int(offset), HEADER_BYTES)
    size = math.prod(shape) * struct.calcsize("=" + LETTERS[code])
    data = memoryview(content)[first : first + size]
    if len(data) != size:
        raise NotNifti("%s: %d bytes of voxels, expected %d" % (path.name, len(data), size))
    if not math.isfinite(slope) or slope == 0:
        slope, intercept = 1.0, 0.0
    return Stored(shape, _affine(header, order), LETTERS[code], data, order, slope, intercept)


def write(
    path: Path, shape: Sequence[int], affine: Sequence[Sequence[float]], letter: str, data: bytes
) -> None:
    """Write little-endian ``data`` (first index fastest) as ``.nii.gz``, reproducibly.

    The affine goes into sform, and into qform too when it has no shear (a qform can hold no shear).
    """
    write_pieces(path, [header(shape, affine, letter), data])


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Write consecutive pieces as a ``.gz`` file of several members, one for each piece.

    Zeros, most of a whole-body mask, are packed once and written from memory.
    """
    with path.open("wb") as file:
        for piece in pieces:
            if isinstance(piece, int):
                file.write(packed_zeros(MANY_ZEROS) * (piece // MANY_ZEROS))
                piece = piece % MANY_ZEROS
                file.write(packed_zeros(piece) if piece else b"")
            else:
                file.write(_pack(piece))


def _pack(data: bytes, level: int = 1) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, GZIP)
    return packer.compress(data) + packer.flush()


@lru_cache(maxsize=256)
def packed_zeros(count: int) -> bytes:
    """So many zeros as a gzip file."""
    # of zlib's levels the third makes the zeros that are unpacked fastest, by far
    return _pack(bytes(count), 3)


def _unpack(body: bytes) -> bytes:
    """The content of a gzip file, or of several joined; raises OSError for a broken one."""
    parts = []
    try:
        while body[:2] == b"\x1f\x8b":
            unpacker = zlib.decompressobj(GZIP)
            parts.append(unpacker.decompress(body))
            if not unpacker.eof:
                raise OSError("the compressed data end too soon")
            body = unpacker.unused_data
    except zlib.error as error:
        raise OSError("the compressed data are broken: %s" % error) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def header(shape: Sequence[int], affine: Sequence[Sequence[float]], letter: str) -> bytes:
    """All bytes before the voxels: the header of a little-endian volume, and "no extension"."""
    zooms, quaternion, handedness = _decompose(affine)
    sheared = quaternion is None
    content = bytearray(VOXEL_OFFSET)
    pack = struct.pack_into
    pack("<i", content, 0, HEADER_BYTES)
    pack("<8h", content, 40, 3, *shape, 1, 1, 1, 1)
    pack("<2h", content, 70, CODES[letter], 8 * struct.calcsize("=" + letter))
    pack("<8f", content, 76, handedness, *zooms, 1.0, 1.0, 1.0, 1.0)
    pack("<3f", content, 108, VOXEL_OFFSET, 1.0, 0.0)
    pack("<b", content, 123, MILLIMETRES)
    pack("<2h", content, 252, 0 if sheared else SCANNER, SCANNER)
    pack("<3f", content, 256, *(quaternion or (0.0, 0.0, 0.0)))
    pack("<3f", content, 268, *(row[3] for row in affine[:3]))
    for n in range(3):
        pack("<4f", content, 280 + 16 * n, *affine[n])
    pack("<4s", content, 344, b"n+1\0")
    return bytes(content)


def _decompose(
    affine: Sequence[Sequence[float]],
) -> Tuple[List[float], Tuple[float, float, float] | None, float]:
    """Voxel sizes (mm), the quaternion's b, c, d (None for a sheared affine), and qfac.

    qfac is -1 for a mirrored grid, else 1.
    """
    columns = [(affine[0][c], affine[1][c], affine[2][c]) for c in range(3)]
    zooms = [_norm(column) for column in columns]
    R = [_divide(row, zooms) for row in affine[:3]]
    axes = list(zip(*R))
    cosines = [_dot(axes[a], axes[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    if min(zooms) == 0 or max(map(abs, cosines)) > 1e-5:
        return zooms, None, 1.0
    qfac = 1.0 if _determinant(R) > 0 else -1.0
    for row in R:
        row[2] *= qfac
    return zooms, _quaternion(R), qfac


def _norm(column: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value**2 for value in column))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b))


def _divide(row: Sequence[float], zooms: Sequence[float]) -> List[float]:
    """The first three numbers of an affine's row by the voxel sizes."""
    return [value / (zoom or 1.0) for value, zoom in zip(row, zooms)]


def _quaternion(R: List[List[float]]) -> Tuple[float, float, float]:
    """b, c, d of a rotation matrix's unit quaternion with a >= 0.

    It is computed from the largest component (Shepperd 1978).
    """
    trace = R[0][0] + R[1][1] + R[2][2]
    squares = [1 + trace] + [1 + 2 * R[n][n] - trace for n in range(3)]
    largest = squares.index(max(squares))
    big = math.sqrt(max(squares)) / 2
    f = 1 / (4 * big)
    skew = [(R[2][1] - R[1][2]) * f, (R[0][2] - R[2][0]) * f, (R[1][0] - R[0][1]) * f]
    if largest == 0:
        return (skew[0], skew[1], skew[2])
    n = largest - 1
    vector = [big if m == n else (R[m][n] + R[n][m]) * f for m in range(3)]
    sign = -1.0 if skew[n] < 0 else 1.0
    return (sign * vector[0], sign * vector[1], sign * vector[2])


def _affine(header: bytes, order: str) -> Affine:
    """Index -> mm: the sform, else the qform, else voxel sizes about the centre, as in nibabel."""
    qform, sform = struct.unpack_from(order + "2h", header, 252)
    if sform > 0:
        rows = [struct.unpack_from(order + "4f", header, 280 + 16 * n) for n in range(3)]
    else:
        qfac, *zooms = struct.unpack_from(order + "4f", header, 76)
        if qform > 0:
            b, c, d = struct.unpack_from(order + "3f", header, 256)
            shift = struct.unpack_from(order + "3f", header, 268)
            R = _rotation(b, c, d)
            zooms[2] *= -1.0 if qfac < 0 else 1.0
        else:
            dims = struct.unpack_from(order + "3h", header, 42)
            R = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
            shift = tuple(-R[n][n] * zooms[n] * (dims[n] - 1) / 2 for n in range(3))
        rows = [
            (R[n][0] * zooms[0], R[n][1] * zooms[1], R[n][2] * zooms[2], shift[n]) for n in range(3)
        ]
    first, second, third = ((row[0], row[1], row[2], row[3]) for row in rows)
    return (first, second, third, (0.0, 0.0, 0.0, 1.0))


def _rotation(b: float, c: float, d: float) -> Tuple[Tuple[float, float, float], ...]:
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    return (
        (a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b),
    )


def _determinant(R: List[List[float]]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = R
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _byte_order(header: bytes) -> str:
    if len(header) == HEADER_BYTES and header[344:347] == b"n+1":
        for order in "<>":
            if struct.unpack_from(order + "i", header)[0] == HEADER_BYTES:
                return order
    raise NotNifti("no NIfTI-1 header")
