"""Open DICOM files quietly: no warning, log line or error of the library quotes a header."""

from __future__ import annotations

import struct
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evaluator.datasets.dicom.packed_files import (
    HEAD_BYTES,
    check_deflated,
    first_bytes,
    open_content,
)
from evaluator.errors import HostError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: bytes in front of the marker DICM
PREAMBLE = 128
NOT_DICOM = "not a DICOM file"
UNREADABLE = "the file cannot be read"


def require_libraries() -> None:
    """Raise HostError, with the command to install them, if pydicom or highdicom is missing."""
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError as error:
        raise HostError(
            f"DICOM needs the Python package {error.name}, which is not installed; in the project: "
            "make .venv/run.done, or: pip install pydicom highdicom python-gdcm"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep values of headers out of warnings and logs within a ``with`` block.

    A block within another costs nothing.
    """
    from pydicom import config

    if config.logger.disabled:
        yield
        return
    mode = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    disabled = config.logger.disabled
    config.logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = mode
        config.logger.disabled = disabled


def has_marker(path: Path) -> bool:
    """Whether the file has the marker of DICOM; old files have none. Raises OSError."""
    return _is_marked(first_bytes(path, HEAD_BYTES))


def _is_marked(head: bytes) -> bool:
    return head[PREAMBLE : PREAMBLE + 4] == b"DICM"


def _is_bare(head: bytes) -> bool:
    """Whether bytes begin with an element of the first groups, in either byte order."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack(f"{order}HH", head[:4])
        if group in (2, 8) and element <= 0x30:
            return True
    return False


def read_dataset(path: Path, tags: Sequence[str] | None = None, *, pixels: bool = False) -> Any:
    """Read a DICOM file.

    Args:
        path: the file.
        tags: keywords of the elements to read; None for all.
        pixels: read the voxels, too.

    Raises:
        VolumeError: the file cannot be read, is not DICOM, or is damaged. The message holds no
            value of the header and no path, which may be a patient's name.
    """
    import pydicom

    with quiet():
        try:
            head = first_bytes(path, HEAD_BYTES)
            if not (_is_marked(head) or _is_bare(head)):
                raise VolumeError(NOT_DICOM)
            with open_content(path, pixels=pixels) as file:
                check_deflated(file, head)
                return pydicom.dcmread(
                    file,
                    stop_before_pixels=not pixels,
                    force=True,
                    specific_tags=list(tags or ()) or None,
                )
        except VolumeError:
            raise
        except OSError:
            raise VolumeError(UNREADABLE) from None
        except Exception as error:  # a damaged file can raise anything
            raise VolumeError(f"the file is damaged ({type(error).__name__})") from None


def value_of(dataset: Any, keyword: str) -> Any:
    """The value of an element; None if it is absent, empty or cannot be read."""
    with quiet():
        try:
            value = dataset.get(keyword)
        except Exception:  # a damaged element can raise anything
            return None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


def items_of(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; empty if it is absent or no sequence."""
    value = value_of(dataset, keyword)
    try:
        return [item for item in value or () if hasattr(item, "get")]
    except TypeError:
        return []


def number_of(dataset: Any, keyword: str) -> float | None:
    """The value of an element as a finite number; None if it has none."""
    value = value_of(dataset, keyword)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def numbers_of(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """The values of an element as finite numbers; None if there are not ``count``."""
    value = value_of(dataset, keyword)
    try:
        numbers = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    finite = all(abs(number) < float("inf") for number in numbers)
    return numbers if finite and len(numbers) == count else None


def text_of(dataset: Any, keyword: str) -> str:
    """The value of an element as text; empty if it has none."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()


def texts_of(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values of an element as texts in capitals."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    parts = [value] if isinstance(value, str) else value
    try:
        return tuple(str(part).strip().upper() for part in parts)
    except TypeError:
        return (str(value).strip().upper(),)


def name_of(keyword: str) -> str:
    """An element for messages: ``Patient's Weight (0010,1030)``."""
    from pydicom.datadict import dictionary_description, tag_for_keyword

    tag = tag_for_keyword(keyword)
    assert tag is not None
    return f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
