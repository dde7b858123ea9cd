"""One file from an address to the disk: goes on where it broke off, and is there whole and of the right hash, or not at all.

While it comes it is ``<name>.part``, with the server's word for its version beside it (``.part.version``), so that two
versions are never joined. Nothing that was there before is touched until the new file is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING

from evaluator.errors import HostError, ModelPartsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import requests

    #: told of (file, bytes that are there, bytes in all or None)
    Progress = Callable[[str, int, int | None], None]
    Heard = Callable[[Mapping[str, str]], None]

#: between connections that each brought something
WAIT_SECONDS = (1, 5, 20)
TIMEOUT_SECONDS = 60
CHUNK = 2**20


def download(
    address: str,
    to: Path,
    *,
    sha256: str | None,
    size: int | None,
    headers: dict[str, str],
    progress: Progress,
    heard: Heard = lambda _: None,
) -> str:
    """Fetch ``address`` to the file ``to`` and return its sha256; ``sha256`` None: nobody has stated one.

    ``heard`` is given the headers of the server that was asked, not those of the store that it may send to.
    Raises ModelPartsError for a wrong hash (the file is discarded), for a refusal, and for a connection that breaks off
    (what came is kept and gone on from); HostError for a full disk (likewise).
    """
    part = to.with_name(f"{to.name}.part")
    to.parent.mkdir(parents=True, exist_ok=True)
    _check_space(part, size)
    try:
        _receive_in_tries(address, part, headers, progress, heard)
        found = file_sha256(part)
        if sha256 not in (None, found):
            _forget(part)
            raise ModelPartsError(
                f"{to.name} from {address} has sha256 {found}; expected was {sha256}, as sources.toml says or the first fetch recorded. It was discarded. Either "
                "something on the way changes files, or the address now gives another file: do not use it unless you know why"
            )
        part.replace(to)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HostError(
                f"{to.parent}: {error.strerror} while {to.name} was fetched. What came is kept; free some space and run "
                "again, it goes on from there"
            ) from error
        raise
    _version_file(part).unlink(missing_ok=True)
    return found


def file_sha256(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive_in_tries(
    address: str, part: Path, headers: dict[str, str], progress: Progress, heard: Heard
) -> None:
    import requests

    for wait in (*WAIT_SECONDS, None):
        before = _size(part)
        try:
            _receive(address, part, headers, progress, heard)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            there = _size(part)
            if there == 0:
                raise ModelPartsError(
                    f"{address} cannot be reached ({str(error)[:200]}). On a machine that reaches it, umd models fetch makes a "
                    "bundle for umd models build --bundle; --weights random needs no weights and gives no result"
                ) from error
            if wait is not None and there != before:
                time.sleep(wait)
                continue
            raise ModelPartsError(
                f"{address} broke off after {there} bytes ({str(error)[:200]}). What came is kept; run again, it goes on "
                "from there"
            ) from error
        except requests.RequestException as error:
            # its words may hold a header, and that the user's token
            raise ModelPartsError(
                f"{address} cannot be asked ({type(error).__name__}); see HF_ENDPOINT, HF_TOKEN and the proxy's settings"
            ) from error
        return


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(
    address: str, part: Path, headers: dict[str, str], progress: Progress, heard: Heard
) -> None:
    """One connection: all of the file, or its rest."""
    import requests

    there = _size(part)
    version = (
        _version_file(part).read_text(encoding="utf-8") if _version_file(part).exists() else ""
    )
    asked = {"Accept-Encoding": "identity"} | headers
    if there and version:
        asked |= {"Range": f"bytes={there}-", "If-Range": version}
    with requests.get(address, headers=asked, stream=True, timeout=TIMEOUT_SECONDS) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable and there:
            if answer.headers.get("Content-Range") != f"bytes */{there}":
                _forget(part)  # not its beginning; a request without a range is not answered so
                _receive(address, part, headers, progress, heard)
            return  # all of it is there: its hash decides
        _refuse(address, answer)
        heard((answer.history or [answer])[0].headers)
        goes_on = answer.status_code == requests.codes.partial_content
        if not goes_on:
            there = 0
            _version_file(part).write_text(_version(answer), encoding="utf-8")
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else None
        if not goes_on:
            part.write_bytes(
                b""
            )  # of another version, or not to be gone on from: its room counts as free
        _check_space(part, total)
        with part.open("ab") as file:
            progress(part.name.removesuffix(".part"), there, total)
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                there += len(chunk)
                progress(part.name.removesuffix(".part"), there, total)
            file.flush()
            os.fsync(file.fileno())


def _refuse(address: str, answer: requests.Response) -> None:
    code = answer.status_code
    if code in (401, 403):
        raise ModelPartsError(
            f"{address}: refused ({code}). The file may be gated: agree to its terms on the model's page, and set HF_TOKEN"
        )
    if code == 429:
        raise ModelPartsError(
            f"{address}: the server asks to wait (429, too many requests). Run again later, it goes on from there"
        )
    if code >= 500:
        import requests

        raise requests.ConnectionError(f"the server answered {code}")
    if code >= 400:
        raise ModelPartsError(
            f"{address}: the server answered {code}; the file may have moved. See the model's README"
        )
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise ModelPartsError(
            f"{address}: a web page came instead of the file, as from a proxy that wants a login. Open the address in a browser "
            "on this machine; a file saved there may be put into the bundle by hand (docs/zoo.md)"
        )


def _version(answer: requests.Response) -> str:
    """A strong word for the file's version, with which a server can be asked to go on only if it still is that one."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _forget(part: Path) -> None:
    part.unlink()
    _version_file(part).unlink(missing_ok=True)


def _check_space(part: Path, size: int | None) -> None:
    """Before hours of a download that cannot fit; ``size``: as sources.toml states it, then as the server does."""
    if size is None:
        return
    wanted = size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise HostError(
            f"{part.name.removesuffix('.part')} needs {wanted / 1e6:.0f} MB more and {part.parent} has {free / 1e6:.0f} MB free; "
            "free some space, or name another folder, and run again"
        )
