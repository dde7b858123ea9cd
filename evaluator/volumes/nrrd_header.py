"""Headers of NRRD, .nrrd and .nhdr (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import re
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

    from numpy.typing import NDArray

    from evaluator.volumes.headers import Encoding

NUMBER_TYPES = {
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
ENCODINGS: dict[str, Encoding] = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "text": "text", "txt": "text", "ascii": "text",
}  # fmt: skip
#: signs that convert an axis of the space to left-posterior-superior
SPACES = {
    "left-posterior-superior": (1, 1), "lps": (1, 1), "": (1, 1),
    "right-anterior-superior": (-1, -1), "ras": (-1, -1),
    "left-anterior-superior": (1, -1), "las": (1, -1),
}  # fmt: skip


def nrrd_header(body: bytes) -> Header:
    """The header of an NRRD file.

    Axes of one sample that are no axes of space (``none``), such as the only layer of a
    segmentation, are removed.

    Raises:
        VolumeError: the header is not valid.
    """
    if not body.startswith(b"NRRD000"):
        raise VolumeError("not NRRD")
    fields, at = _fields(body)
    try:
        return _header(fields, at)
    except KeyError as error:
        raise VolumeError(f"the header lacks the field {error}") from None
    except (ValueError, IndexError) as error:
        raise VolumeError(f"the header cannot be read: {error}") from None


def _fields(body: bytes) -> tuple[dict[str, str], int]:
    """The fields of the header by name without spaces, and where the header ends."""
    fields: dict[str, str] = {}
    previous = 0
    for line, after in text_lines(body + b"\n\n" if len(body) < 2**16 else body):
        if not line.strip():
            return fields, min(after, len(body))
        if not line.startswith("#") and ":=" not in line:
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip()
        previous = after
    raise VolumeError(f"the header has no end behind byte {previous}")


def _header(fields: Mapping[str, str], at: int) -> Header:
    number_type = _number_type(fields["type"])
    encoding = fields["encoding"].lower()
    if encoding not in ENCODINGS:
        raise VolumeError(f"its encoding is {encoding}; text, bzip2, raw and gzip are read")
    shape, affine = _geometry(fields)
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    lines, bytes_before = int(fields.get("lineskip", "0")), int(fields.get("byteskip", "0"))
    data_file = fields.get("datafile", "")
    from_end = bytes_before == -1
    if lines < 0 or bytes_before < -1 or (from_end and encoding != "raw"):
        raise VolumeError(
            f"line skip {lines} and byte skip {bytes_before} have no meaning "
            f"for the encoding {encoding}"
        )
    return Header(
        **shape_and_grid(shape, affine),
        dtype=np.dtype(order + number_type),
        encoding=ENCODINGS[encoding],
        start=None if from_end else (0 if data_file else at),
        skipped_lines=lines,
        skipped_bytes=max(0, bytes_before),
        data_file=data_file,
    )


def _number_type(name: str) -> str:
    for number_type, words in NUMBER_TYPES.items():
        if name.lower() in words:
            return number_type
    raise VolumeError(f"the header cannot be read: voxels of type {name} are not numbers")


def _geometry(fields: Mapping[str, str]) -> tuple[tuple[int, ...], Any]:
    """The shape without axes that are not of space, and the affine."""
    sizes = tuple(numbers(fields["sizes"], int))
    vectors = [_vector(part) for part in _vectors(fields.get("spacedirections", ""))]
    if vectors and len(vectors) != len(sizes):
        raise VolumeError(f"{len(sizes)} axes and {len(vectors)} space directions")
    of_space = [n for n in range(len(sizes)) if not vectors or vectors[n] is not None]
    for n in set(range(len(sizes))) - set(of_space):
        if sizes[n] != 1:
            raise VolumeError(f"each voxel holds {sizes[n]} numbers, one is expected")
    shape = tuple(sizes[n] for n in of_space)
    if not vectors:
        shape = trimmed(shape)
        return shape, _unrotated_affine(fields, len(shape))
    axes = np.array([vectors[n] for n in of_space], dtype=np.float64)
    if axes.ndim != 2 or axes.shape[0] != axes.shape[1]:
        raise VolumeError(f"{axes.shape[0]} axes in a space of {axes.shape[-1]} dimensions")
    origin = _vector(fields["spaceorigin"]) if "spaceorigin" in fields else None
    scale = _space_units(fields, axes.shape[1]) * _space_signs(fields)[: axes.shape[1]]
    return shape, affine_from_lps(axes * scale, np.array(origin or [0.0] * len(axes)) * scale)


def _unrotated_affine(fields: Mapping[str, str], count: int) -> Any:
    """The affine of a file without space directions: spacings, and first positions of axes."""
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    scale = np.array([length_mm(unit) for unit in units[:count]] or [1.0] * count)
    steps = np.array((numbers(fields.get("spacings", ""), float) or [1.0] * count)[:count])
    steps = np.where(np.isfinite(steps), steps, 1.0)
    origin = np.zeros(count)
    if "spaceorigin" in fields:
        origin = np.array(_vector(fields["spaceorigin"]), dtype=np.float64)
        scale = _space_units(fields, count) * scale
    elif "axismins" in fields:
        origin = np.array(numbers(fields["axismins"], float)[:count])
        centerings = fields.get("centerings", fields.get("centers", "")).split() + ["cell"] * count
        # a minimum of a cell is its border, and that of a node its centre
        borders = np.array([name != "node" for name in centerings[:count]])
        origin = np.where(np.isfinite(origin), origin + steps / 2 * borders, 0.0)
    signs = _space_signs(fields)[:count]
    return affine_from_lps(np.diag(steps * scale) * signs, origin * scale * signs)


def _space_signs(fields: Mapping[str, str]) -> NDArray[np.float64]:
    space = fields.get("space", "").strip('"').lower()
    if space not in SPACES:
        raise VolumeError(
            f"its space is {space}; left-posterior-superior, right-anterior-superior and "
            "left-anterior-superior are read"
        )
    return np.array([*SPACES[space], 1.0])


def _space_units(fields: Mapping[str, str], count: int) -> NDArray[np.float64]:
    """Millimetres of a unit along each axis of the space."""
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))
    units = units or fields.get("spaceunits", "").split()
    return np.array([length_mm(unit) for unit in units[:count]] or [1.0] * count)


def _vectors(text: str) -> list[str]:
    """``none (1, 0, 0) (0,1,0)`` as three texts, whatever the spaces."""
    return re.findall(r"\([^)]*\)|none|nan", text.lower())


def _vector(text: str) -> list[float] | None:
    if not text.strip().startswith("("):
        return None
    values = [float(part) for part in text.strip().strip("()").split(",")]
    return None if all(np.isnan(values)) else values
