"""What the index keeps of each file: geometry, and keyed hashes in place of identifiers.

Hashes of one key are equal if the identifiers are, and tell nothing else. Dates, names and free
text are not kept.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from evaluator.datasets.dicom.reading import (
    UNREADABLE,
    number_of,
    numbers_of,
    quiet,
    read_dataset,
    text_of,
    texts_of,
    value_of,
)
from evaluator.datasets.importing.archives import ARCHIVE_REASON, is_archive
from evaluator.errors import VolumeError
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Kind = Literal["image", "contours", "segmentation", "none"]

_IMAGE = "1.2.840.10008.5.1.4.1.1."
#: SOP classes that are read -> kind
SOP_CLASSES: dict[str, Kind] = {
    f"{_IMAGE}2": "image",  # CT
    f"{_IMAGE}2.1": "image",  # enhanced CT
    f"{_IMAGE}2.2": "image",  # legacy converted enhanced CT
    f"{_IMAGE}4": "image",  # MR
    f"{_IMAGE}4.1": "image",  # enhanced MR
    f"{_IMAGE}4.4": "image",  # legacy converted enhanced MR
    f"{_IMAGE}128": "image",  # PET
    f"{_IMAGE}128.1": "image",  # legacy converted enhanced PET
    f"{_IMAGE}130": "image",  # enhanced PET
    f"{_IMAGE}481.3": "contours",
    f"{_IMAGE}66.4": "segmentation",
    f"{_IMAGE}66.7": "segmentation",  # label map
}
#: values by which images at one position are told apart: content first, then time
CONTENT_KEYS = (
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "FlipAngle",
    "InversionTime",
    "AcquisitionNumber",
)
TIME_KEYS = (
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "FrameReferenceTime",
    "ImageIndex",
    "AcquisitionTime",
    "ContentTime",
)
#: MONOCHROME1 shows low values white and does not change what they mean
GREY_SCALES = ("MONOCHROME1", "MONOCHROME2", "")
TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    *CONTENT_KEYS,
    *TIME_KEYS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One file of a study tree."""

    #: relative to the tree; only the private index holds it
    path: str
    size: int
    changed: int
    kind: Kind = "none"
    #: why the file is not read; empty if it is
    problem: str = ""
    modality: str = ""
    #: keyed hashes
    subject: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    frame: str = ""
    series_number: int | None = None
    image_type: tuple[str, ...] = ()
    rows: int = 0
    columns: int = 0
    #: more than 1, or 0 for a multi-frame class: the geometry is in the frames
    frames: int = 1
    #: number of the frame within a multi-frame file; not in the index
    number: int = 0
    #: LPS, millimetres: of the first voxel's centre; directions of a row and of a column
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    #: between rows, between columns, millimetres
    spacing: tuple[float, ...] | None = None
    #: keyword -> value, or its keyed hash for times
    keys: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        body = asdict(self)
        return {
            entry.name: body[entry.name]
            for entry in fields(self)
            if entry.name in ("path", "size", "changed", "frames", "series_number")
            or body[entry.name] not in (None, "", (), {}, 0)
        }


def header_from_json(body: Mapping[str, Any]) -> Header:
    """A header of the index; raises TypeError if it is of another form."""
    lists = ("image_type", "position", "orientation", "spacing")
    values: dict[str, Any] = dict(body)
    for name in lists:
        if values.get(name):
            values[name] = tuple(values[name])
    return Header(**values)


def keyed_hash(key: bytes, text: str) -> str:
    """Sixteen hexadecimal digits of HMAC-SHA-256; empty for an empty text."""
    return hmac.digest(key, text.encode(), "sha256").hex()[:16] if text else ""


def new_key() -> bytes:
    """A random key."""
    import secrets

    return hashlib.sha256(secrets.token_bytes(32)).digest()


def read_header(root: Path, relative: str, key: bytes) -> Header:
    """Read what the index keeps of one file; never raises for what the file holds."""
    path = root / relative
    try:
        status = path.stat()
    except OSError:
        return Header(path=relative, size=-1, changed=0, problem=UNREADABLE)
    about: dict[str, Any] = {"path": relative, "size": status.st_size}
    about["changed"] = status.st_mtime_ns
    with quiet():
        return _header_of(path, about, key)


def require_unchanged(root: Path, headers: Iterable[Header]) -> None:
    """Raise VolumeError if files were changed, or are gone, since their headers were read."""
    files = {header.path: header for header in headers}
    changed = sum(not _has_state(root / path, header) for path, header in files.items())
    if changed:
        words = counted(changed, "file")
        raise VolumeError(f"{words} changed since the headers were read; import again")


def _has_state(path: Path, header: Header) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (header.size, header.changed)


def _header_of(path: Path, about: dict[str, Any], key: bytes) -> Header:
    try:
        dataset = read_dataset(path, TAGS)
    except VolumeError as error:
        reason = ARCHIVE_REASON if is_archive(path) else str(error)
        return Header(**about, problem=reason)
    sop_class = text_of(dataset, "SOPClassUID")
    if not sop_class and not text_of(dataset, "Modality"):
        return Header(**about, problem=_without_class(dataset))
    return Header(**about, **_content(dataset, sop_class, key))


def _without_class(dataset: Any) -> str:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and text_of(meta, "MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
        return "a DICOMDIR, which lists other files"
    return "it has neither SOP Class UID (0008,0016) nor Modality (0008,0060)"


def _content(dataset: Any, sop_class: str, key: bytes) -> dict[str, Any]:
    kind = SOP_CLASSES.get(sop_class, "none")
    modality = text_of(dataset, "Modality").upper()
    body: dict[str, Any] = {
        "kind": kind,
        "modality": modality,
        "subject": keyed_hash(key, _subject_text(dataset)),
        "problem": "" if kind != "none" else f"{_class_name(sop_class)} is not read",
    }
    for name, keyword in (
        ("study", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("instance", "SOPInstanceUID"),
        ("frame", "FrameOfReferenceUID"),
    ):
        body[name] = keyed_hash(key, text_of(dataset, keyword))
    number = number_of(dataset, "SeriesNumber")
    body["series_number"] = int(number) if number is not None else None
    if kind == "image":
        body |= _geometry(dataset, sop_class)
        body["keys"] = _keys(dataset, key)
        if number_of(dataset, "SamplesPerPixel") not in (None, 1.0):
            body["problem"] = "a colour image is not read"
        elif text_of(dataset, "PhotometricInterpretation") not in GREY_SCALES:
            body["problem"] = "Photometric Interpretation (0028,0004) is not MONOCHROME1 or 2"
    return body


def _geometry(dataset: Any, sop_class: str) -> dict[str, Any]:
    frames = number_of(dataset, "NumberOfFrames")
    enhanced = sop_class.endswith((".2.1", ".2.2", ".4.1", ".4.4", ".128.1", ".130"))
    return {
        "image_type": texts_of(dataset, "ImageType"),
        "rows": int(number_of(dataset, "Rows") or 0),
        "columns": int(number_of(dataset, "Columns") or 0),
        "frames": 0 if enhanced else int(frames or 1),
        "position": numbers_of(dataset, "ImagePositionPatient", 3),
        "orientation": numbers_of(dataset, "ImageOrientationPatient", 6),
        "spacing": numbers_of(dataset, "PixelSpacing", 2),
    }


def _keys(dataset: Any, key: bytes) -> dict[str, str]:
    keys = {}
    for keyword in (*CONTENT_KEYS, *TIME_KEYS):
        text = text_of(dataset, keyword)
        if text:
            keys[keyword] = keyed_hash(key, text) if keyword.endswith("Time") else text
    return keys


def _subject_text(dataset: Any) -> str:
    """What identifies a patient: the number with its issuer, else name and birth date."""
    if number := text_of(dataset, "PatientID"):
        return f"id {number} {text_of(dataset, 'IssuerOfPatientID')}"
    if name := text_of(dataset, "PatientName"):
        return f"name {name} {text_of(dataset, 'PatientBirthDate')}"
    return f"study {value_of(dataset, 'StudyInstanceUID')}"


def _class_name(sop_class: str) -> str:
    from pydicom.uid import UID

    name = UID(sop_class).name
    # a class that the library does not know is written as its number, which says nothing
    return name if name != sop_class else "an unknown kind of object"
