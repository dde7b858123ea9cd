"""Headers of MetaImage, .mha and .mhd (itk.org/Wiki/ITK/MetaIO/Documentation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from evaluator.volumes.headers import (
    Header,
    affine_from_lps,
    numbers,
    shape_and_grid,
    text_lines,
    trimmed,
)
from evaluator.volumes.length_units import length_mm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.volumes.headers import Encoding

#: MetaIO's longs have four bytes on every machine
ELEMENT_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def metaimage_header(body: bytes) -> Header:
    """The header of a MetaImage file.

    A file without spacing has voxels of 1 mm, as in MetaIO.

    Raises:
        VolumeError: the header is not valid.
    """
    fields: dict[str, str] = {}
    at = 0
    for line, after in text_lines(body):
        key, _, value = line.partition("=")
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            at = after
            break
    try:
        return _header(fields, at)
    except KeyError as error:
        raise VolumeError(f"the header lacks the field {error}") from None
    except ValueError as error:
        raise VolumeError(f"the header cannot be read: {error}") from None


def _header(fields: Mapping[str, str], at: int) -> Header:
    element_type = fields["elementtype"].upper()
    if element_type not in ELEMENT_TYPES:
        raise VolumeError(
            f"its element type is {element_type}; read are {', '.join(ELEMENT_TYPES)}"
        )
    if (channels := fields.get("elementnumberofchannels", "1")) != "1":
        raise VolumeError(f"each voxel holds {channels} numbers, one is expected")
    big_endian = _yes(fields, "elementbyteordermsb") or _yes(fields, "binarydatabyteordermsb")
    sizes = numbers(fields["dimsize"], int)
    shape = trimmed(sizes)
    return Header(
        **shape_and_grid(shape, _affine(fields, len(sizes), len(shape))),
        dtype=np.dtype("<>"[big_endian] + ELEMENT_TYPES[element_type]),
        encoding=_encoding(fields),
        **_place(fields, at),
    )


def _affine(fields: Mapping[str, str], count: int, kept: int) -> Any:
    """The affine of the first ``kept`` of ``count`` axes."""
    steps = numbers(_first(fields, "elementspacing", "elementsize"), float) or [1.0] * count
    rotation = numbers(_first(fields, "transformmatrix", "orientation", "rotation"), float)
    axes = np.reshape(rotation or np.eye(count).ravel(), (count, count))[:kept, :kept]
    origin = numbers(_first(fields, "offset", "position", "origin"), float) or [0.0] * count
    scale = length_mm(fields.get("distanceunits", ""))
    return affine_from_lps(
        axes * np.reshape(steps, (-1, 1))[:kept] * scale, np.array(origin[:kept]) * scale
    )


def _encoding(fields: Mapping[str, str]) -> Encoding:
    if fields.get("binarydata", "true").lower() in ("false", "0", "f", "no"):
        return "text"
    return "zlib" if _yes(fields, "compresseddata") else "raw"


def _place(fields: Mapping[str, str], at: int) -> dict[str, Any]:
    """Where the voxels lie: ``start`` and ``data_file`` of a header."""
    name, before = fields["elementdatafile"], int(fields.get("headersize", "0"))
    if name.upper() != "LOCAL":
        return {"data_file": name, "start": None if before == -1 else before}
    if before > 0:
        raise VolumeError(
            f"its voxels do not lie right behind the header (HeaderSize {before}); write it again"
        )
    return {"start": at}


def _first(fields: Mapping[str, str], *names: str) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _yes(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1", "t", "yes")
