"""MHA files of Grand Challenge with the standard library only: images become NIfTI, masks MHA.

MetaImage counts world coordinates towards Left, Posterior, Superior; NIfTI towards Right, Anterior,
Superior. Format: itk.org/Wiki/MetaIO/Documentation.
"""

from __future__ import annotations

import zlib
from array import array
from math import prod
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from zoo_sdk import nifti
from zoo_sdk.wire import Affine, Grid

#: element type -> letter of ``struct`` and ``array``
LETTERS = {
    "MET_CHAR": "b",
    "MET_UCHAR": "B",
    "MET_SHORT": "h",
    "MET_USHORT": "H",
    "MET_INT": "i",
    "MET_UINT": "I",
    "MET_LONG_LONG": "q",
    "MET_ULONG_LONG": "Q",
    "MET_FLOAT": "f",
    "MET_DOUBLE": "d",
}
#: a header ends before this byte
MOST_HEADER_BYTES = 65536


class NotMetaImage(ValueError):
    """Not an MHA file of one three-dimensional volume whose voxels are in the file."""


def to_nifti(source: Path, target: Path) -> Grid:
    """Convert an MHA image to ``.nii.gz``.

    Returns:
        its grid.

    Raises:
        NotMetaImage: the file cannot be read.
    """
    body = source.read_bytes()
    fields, start = _header(body)
    sizes = [int(text) for text in fields["dimsize"].split()]
    letter = LETTERS.get(fields["elementtype"].upper())
    if len(sizes) != 3 or letter is None or fields.get("elementnumberofchannels", "1") != "1":
        raise NotMetaImage("%s: not a volume of one number a voxel" % source.name)
    if fields["elementdatafile"].upper() != "LOCAL":
        raise NotMetaImage("%s: the voxels are not in the file" % source.name)
    voxels = memoryview(body)[start:]
    if _yes(fields, "compresseddata"):
        voxels = memoryview(zlib.decompress(voxels))
    size = prod(sizes) * array(letter).itemsize
    if len(voxels) < size:
        raise NotMetaImage("%s: voxels are missing" % source.name)
    data = bytes(voxels[:size])
    if _yes(fields, "elementbyteordermsb") or _yes(fields, "binarydatabyteordermsb"):
        swapped = array(letter, data)
        swapped.byteswap()
        data = swapped.tobytes()
    affine = _affine(fields)
    nifti.write(target, sizes, affine, letter, data)
    return Grid(shape=(sizes[0], sizes[1], sizes[2]), affine=affine)


def write_labels(path: Path, labels: bytes, grid: Grid) -> None:
    """Write a label map as compressed MHA.

    Args:
        path: the new file.
        labels: uint8, first index fastest.
        grid: of the labels.
    """
    columns = [[row[c] for row in grid.affine[:3]] for c in range(3)]
    steps = [sum(value**2 for value in column) ** 0.5 for column in columns]
    axes: List[float] = []
    for column, step in zip(columns, steps):
        axes += [-column[0] / step, -column[1] / step, column[2] / step]
    x, y, z = (row[3] for row in grid.affine[:3])
    packed = zlib.compress(labels, 1)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        "CompressedDataSize = %d" % len(packed),
        "TransformMatrix = " + _words(axes),
        "Offset = " + _words((-x, -y, z)),
        "CenterOfRotation = 0 0 0",
        "ElementSpacing = " + _words(steps),
        "DimSize = " + " ".join(map(str, grid.shape)),
        "ElementType = MET_UCHAR",
        "ElementDataFile = LOCAL",
    ]
    path.write_bytes("".join(line + "\n" for line in lines).encode() + packed)


def _words(numbers: Sequence[float]) -> str:
    return " ".join("%.17g" % number for number in numbers)


def _header(body: bytes) -> Tuple[Dict[str, str], int]:
    """The fields by their names in small letters, and where the voxels begin."""
    fields: Dict[str, str] = {}
    start = 0
    while "elementdatafile" not in fields:
        end = body.find(b"\n", start, MOST_HEADER_BYTES)
        if end < 0:
            raise NotMetaImage("the header does not end")
        key, _, value = body[start:end].decode(errors="replace").partition("=")
        fields[key.strip().lower()] = value.strip()
        start = end + 1
    missing = [name for name in ("dimsize", "elementtype") if name not in fields]
    if missing:
        raise NotMetaImage("the header lacks %s" % ", ".join(missing))
    return fields, start


def _affine(fields: Dict[str, str]) -> Affine:
    """Voxel index -> RAS+ mm."""
    steps = _numbers(fields, ("elementspacing", "elementsize"), (1, 1, 1))
    axes = _numbers(
        fields, ("transformmatrix", "orientation", "rotation"), (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    origin = _numbers(fields, ("offset", "position", "origin"), (0, 0, 0))
    rows = []
    for r, sign in enumerate((-1.0, -1.0, 1.0)):
        x, y, z = (sign * axes[3 * c + r] * steps[c] for c in range(3))
        rows.append((x, y, z, sign * origin[r]))
    return (rows[0], rows[1], rows[2], (0.0, 0.0, 0.0, 1.0))


def _numbers(
    fields: Dict[str, str], names: Sequence[str], default: Sequence[float]
) -> Sequence[float]:
    for name in names:
        if name in fields:
            return [float(word) for word in fields[name].split()]
    return default


def _yes(fields: Dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1", "t", "yes")
