"""Files: atomic writes, hashes, safe names, and what a damaged archive raises."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import secrets
import tarfile
import zlib
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evaluator.errors import UserError, write_fault
from evaluator.plain_text import readable_name, without_formula

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pandas import DataFrame

Json = dict[str, Any]
FileState = tuple[int, int, int, int]

#: path -> the state of a file, and the sha256 that it had in this state
_TRUSTED: dict[str, tuple[FileState, str]] = {}

#: bytes that files of one kind have in common: the first columns of a CSV, the first key of JSON
COMMON_BEGINNING = 14
#: errors of a damaged tar file, compressed or not; gzip and bz2 also raise OSError without a number
DAMAGED_TAR = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError)


def safe_name(text: str) -> str:
    """The text as a file name, neither hidden nor longer than 120 characters.

    Letters, digits and ``._-`` stay, everything else is percent-encoded. A long name is cut and
    ends with a hash of the text.
    """
    name = quote(text, safe="")
    name = re.sub(r"^\.", "%2E", name)
    if len(name) <= 120:
        return name
    return name[:100] + "-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(body: Any) -> str:
    """sha256 of plain JSON values in hex, independent of the order of keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def require_utf8(texts: Mapping[str, str], consequence: str) -> None:
    """Refuse names and paths of files whose bytes are no UTF-8; no text file can hold them.

    Args:
        texts: the option or its like -> its text.
        consequence: what is impossible with such a text, as the end of a sentence.

    Raises:
        UserError: a text has a lone surrogate, which stands for such a byte.
    """
    for option, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{option} {readable_name(text)}: character {error.start + 1} is no UTF-8, and "
                f"{consequence}; rename the file or folder"
            ) from None


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write a JSON file atomically: readers see all of it or none.

    Raises:
        ValueError: the body contains NaN or an infinity.
        HostError: the file cannot be written, for example because the disk is full.
    """
    write_bytes(path, (json.dumps(body, indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see all of it or none; folders are created.

    Several threads, processes and machines may write the same file: the last one stays.

    Raises:
        HostError: the file cannot be written, for example because the disk is full.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise write_fault(path, error) from error


def check_replaceable(path: Path, *beginnings: bytes) -> None:
    """Refuse to write over a file that this project did not write.

    Args:
        path: the file to write. What is no regular file, such as a pipe, is accepted.
        beginnings: how the project's files of this kind begin.

    Raises:
        UserError: the file has another content, or is a folder.
        HostError: the file cannot be read.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file")
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, beginnings)))
    except OSError as error:
        raise write_fault(path, error) from error
    if start and not start.startswith(beginnings):
        raise UserError(f"{path} exists and holds something else; choose another file")


def write_output(path: Path, content: bytes) -> None:
    """Write a file that the user named; a pipe or device, such as /dev/null, is not replaced.

    Only for such files: a model may put a pipe, at which this waits, into its folders.

    Raises:
        HostError: the file cannot be written.
    """
    if not (path.is_fifo() or path.is_char_device()):
        write_bytes(path, content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise write_fault(path, error) from error


def write_results(contents: Mapping[Path, bytes]) -> None:
    """Write files that may replace those of an earlier command, and nothing else.

    Raises:
        UserError: a file is there and begins with other bytes. No file is written then.
        HostError: a file cannot be written.
    """
    for path, content in contents.items():
        check_replaceable(path, content[:COMMON_BEGINNING])
    for path, content in contents.items():
        write_output(path, content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write beside ``path``, which takes its place once it is complete.

    Folders are created; after an error nothing is left.

    Raises:
        HostError: the file cannot be written, for example because the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise write_fault(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def csv_bytes(frame: DataFrame) -> bytes:
    """A table as CSV without its index; a text that would be a formula begins with a quote."""
    texts = frame.select_dtypes(exclude=["number", "bool"]).columns
    safe = {name: frame[name].map(_safe_cell).astype(object) for name in texts}
    content: str = frame.assign(**safe).to_csv(index=False)
    return content.encode()


def _safe_cell(value: object) -> object:
    return without_formula(value) if isinstance(value, str) else value


def read_json(path: Path) -> Json:
    """Read a JSON object that this module wrote.

    Raises:
        UserError: the file is missing or damaged; the message names it.
    """
    try:
        content = path.read_bytes()
        body = json.loads(content)
        if b"\\ud" in content.lower():
            # a lone surrogate, which earlier versions took from models, cannot be written anywhere
            text = json.dumps(body, ensure_ascii=False)
            body = json.loads(text.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: {error}; restore it from a copy, or, if it is a run's, remove it "
            "and run again"
        ) from error
    if not isinstance(body, dict):
        raise UserError(
            f"{path} is not a JSON object; restore it from a copy, or, if it is a run's, remove it "
            "and run again"
        )
    return body


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_sha256(path: Path) -> str:
    """As ``file_sha256``; a file is read again only if its state on the disk has changed.

    The state is inode, size, and the times of the last change of content and of attributes, so a
    file that was replaced by another of equal size and time is seen.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    state = file_state(path)
    trusted = _TRUSTED.get(str(path))
    if trusted and trusted[0] == state:
        return trusted[1]
    return _sha256_of(path, state)


def file_state(path: Path) -> FileState:
    """Inode, size, and the times of the last change of content and of attributes, nanoseconds.

    Raises:
        OSError: the file is missing.
    """
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def trust_sha256(path: str, state: FileState, sha256: str) -> None:
    """Let ``current_sha256`` return this hash in this process while the file has this state."""
    _TRUSTED[path] = (state, sha256)


@lru_cache(maxsize=16384)
def _sha256_of(path: Path, _state: FileState) -> str:
    return file_sha256(path)
