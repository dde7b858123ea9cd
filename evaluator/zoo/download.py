"""Download one file: interrupted downloads resume, and only a file of the right hash is kept.

An unfinished file is ``<name>.part``, with the server's version tag beside it
(``.part.version``), so two versions are never joined. An existing file is replaced only when the
new one is complete.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING

from evaluator.errors import HostError, ModelFilesError
from evaluator.files import file_sha256
from evaluator.zoo.connection_faults import describe_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import requests

    #: called with (file name, bytes received, total bytes or None)
    Progress = Callable[[str, int, int | None], None]
    HeaderCallback = Callable[[Mapping[str, str]], None]

logger = logging.getLogger(__name__)

#: pauses between connections, as long as each of them received something
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
    on_headers: HeaderCallback = lambda _: None,
) -> str:
    """Download ``address`` to the file ``to``.

    Args:
        address: the URL.
        to: the file; its folder is created.
        sha256: the expected hash; None if nobody has published one.
        size: the expected size in bytes, if known; checked against the free space.
        headers: headers of the request, for example credentials.
        progress: called with file name, bytes received and total bytes.
        on_headers: called with the response headers of the server at ``address``, not with those
            of a store to which it redirects.

    Returns:
        the file's sha256.

    Raises:
        ModelFilesError: wrong hash (the file is discarded), the server refused, or the connection
            broke off (the received part is kept and the next call resumes).
        HostError: the disk is full (the received part is kept likewise).
    """
    part = to.with_name(f"{to.name}.part")
    to.parent.mkdir(parents=True, exist_ok=True)
    _check_space(part, size)
    try:
        _receive_with_retries(address, part, headers, progress, on_headers)
        received = file_sha256(part)
        if sha256 not in (None, received):
            _discard(part)
            raise ModelFilesError(
                f"{to.name} from {address} has sha256 {received}; expected was {sha256}, as in "
                "sources.toml or in the record of the first fetch. It was discarded. Either a "
                "proxy on the way changes files, or the address now gives a different file: do "
                "not use it unless you know the reason"
            )
        part.replace(to)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HostError(
                f"{to.parent}: {error.strerror} while {to.name} was downloaded. The received part "
                "is kept; free some space and run again, the download resumes"
            ) from error
        raise
    _version_file(part).unlink(missing_ok=True)
    return received


def _receive_with_retries(
    address: str,
    part: Path,
    headers: dict[str, str],
    progress: Progress,
    on_headers: HeaderCallback,
) -> None:
    import requests

    for wait in (*WAIT_SECONDS, None):
        size_before = _size(part)
        try:
            _receive(address, part, headers, progress, on_headers)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            size = _size(part)
            if size == 0:
                raise ModelFilesError(
                    f"{address} cannot be reached: {describe_fault(error, address)}. On a machine "
                    "that reaches it, umd models fetch NAME --into BUNDLE makes a bundle for umd "
                    "models build NAME --bundle BUNDLE; with --list it names every file with its "
                    "size, hash and place. --weights random needs no weights and gives no result"
                ) from error
            if wait is not None and size != size_before:
                logger.debug(f"{address} broke off after {size} bytes; next attempt in {wait} s")
                time.sleep(wait)
                continue
            raise ModelFilesError(
                f"{address} broke off after {size} bytes: {describe_fault(error, address)}. The "
                "received part is kept; run again, the download resumes"
            ) from error
        except requests.RequestException as error:
            # the error's text may contain a header, and with it the user's token
            raise ModelFilesError(
                f"the request to {address} is invalid ({type(error).__name__}); check HF_ENDPOINT, "
                "HF_TOKEN and the proxy settings"
            ) from error
        return


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(
    address: str,
    part: Path,
    headers: dict[str, str],
    progress: Progress,
    on_headers: HeaderCallback,
) -> None:
    """One connection: receive the complete file, or the rest of it."""
    import requests

    received = _size(part)
    version_file = _version_file(part)
    version = version_file.read_text(encoding="utf-8") if version_file.exists() else ""
    request_headers = {"Accept-Encoding": "identity"} | headers
    if received and version:
        request_headers |= {"Range": f"bytes={received}-", "If-Range": version}
    with requests.get(
        address, headers=request_headers, stream=True, timeout=TIMEOUT_SECONDS
    ) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and received:
            if response.headers.get("Content-Range") != f"bytes */{received}":
                # not a beginning of this file; a request without a range cannot end here again
                _discard(part)
                _receive(address, part, headers, progress, on_headers)
            return  # the file is complete: its hash decides
        _raise_if_refused(address, response)
        on_headers((response.history or [response])[0].headers)
        resumes = response.status_code == requests.codes.partial_content
        if not resumes:
            received = 0
            version_file.write_text(_version(response), encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = received + int(length) if length else None
        if not resumes:
            # another version, or the server cannot resume: the space of the old part becomes free
            part.write_bytes(b"")
        _check_space(part, total)
        _write_body(response, part, received, total, progress)


def _write_body(
    response: requests.Response, part: Path, received: int, total: int | None, progress: Progress
) -> None:
    name = part.name.removesuffix(".part")
    with part.open("ab") as file:
        progress(name, received, total)
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            received += len(chunk)
            progress(name, received, total)
        file.flush()
        os.fsync(file.fileno())


def _raise_if_refused(address: str, response: requests.Response) -> None:
    code = response.status_code
    if code in (401, 403):
        raise ModelFilesError(
            f"{address}: refused ({code}). The file may be gated: agree to its terms on the "
            "model's page, and set HF_TOKEN"
        )
    if code == 429:
        raise ModelFilesError(
            f"{address}: the server demands a pause (429, too many requests). Run again later; "
            "the download resumes"
        )
    if code >= 500:
        import requests

        raise requests.ConnectionError(f"the server answered {code}")
    if code >= 400:
        raise ModelFilesError(
            f"{address}: the server answered {code}; the file may have moved. See the model's "
            "README"
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise ModelFilesError(
            f"{address}: the server sent a web page instead of the file, probably the login page "
            "of a proxy. Open the address in a browser on this machine; a file saved by the "
            "browser may be put into the bundle by hand (docs/zoo.md)"
        )


def _version(response: requests.Response) -> str:
    """A strong identifier of the file's version, for ``If-Range``; empty if there is none."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified", "")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _discard(part: Path) -> None:
    part.unlink()
    _version_file(part).unlink(missing_ok=True)


def _check_space(part: Path, size: int | None) -> None:
    """Refuse a download that cannot fit before it takes hours.

    Args:
        part: the unfinished file; its bytes need no further space.
        size: total bytes, first from sources.toml, then from the server; None if unknown.
    """
    if size is None:
        return
    missing = size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        name = part.name.removesuffix(".part")
        raise HostError(
            f"{name} needs {missing / 1e6:.0f} MB more and {part.parent} has {free / 1e6:.0f} MB "
            "free; free some space, or choose another folder, and run again"
        )
