"""The gate for what a container wrote: nothing is believed before a confined process has looked at it.

The evaluator opens the file without following links and reads at most the limit; the bytes go to a child process
(``evaluator.volumes.validation_worker``) that has no files open, can open none, and knows nothing of references. The child reads
the header before any voxel, decompresses no more than the grid has, and hands back the box that holds the mask.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from evaluator.errors import HostError
from evaluator.imaging.grid_masks import crop_mask
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.imaging.grid_masks import GridMask
    from zoo_sdk.wire import Grid

LENGTH = struct.Struct("<Q")


class MaskValidator:
    """``with MaskValidator() as gate: gate.check(path, grid, limit)``; may be used from several threads."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the child while there is time."""
        self._child = _start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._end()

    def check(self, path: Path, grid: Grid, limit_bytes: int) -> GridMask | Failure:
        """The mask in the file, on ``grid``; or what is wrong with it.

        ``path`` lies in a folder that a container made, in one that the evaluator made.
        """
        body = read_untrusted(path, limit_bytes)
        if isinstance(body, Failure):
            return body
        with self._lock:
            return self._inspect(body, grid)

    def _inspect(self, body: bytes, grid: Grid) -> GridMask | Failure:
        child = self._child = self._child or _start()
        assert child.stdin and child.stdout
        question = json.dumps({"shape": grid.shape, "affine": grid.affine}).encode()
        try:
            for part in (question, body):
                child.stdin.write(LENGTH.pack(len(part)))
                child.stdin.write(part)
            child.stdin.flush()
            verdict = json.loads(_receive(child.stdout))
            if verdict["status"] != "ok":
                return Failure(status=Status(verdict["status"]), detail=verdict["detail"])
            (i, j, k), shape = verdict["low"], np.subtract(verdict["high"], verdict["low"])
            voxels = np.empty(np.minimum(shape, grid.shape), dtype=np.uint8)
            _fill(child.stdout, memoryview(voxels.reshape(-1).data))
        except (OSError, EOFError):
            code = self._end()
            return Failure(
                status=Status.UNSAFE_FILE,
                detail=f"the process that looked at the file died of it ({code})",
            )
        return crop_mask(voxels, grid, (i, j, k))

    def _end(self) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        assert child.stdin and child.stdout
        try:
            child.stdin.close()
        except OSError:
            child.kill()
        child.stdout.close()
        return child.wait()


def read_untrusted(path: Path, limit_bytes: int) -> bytes | Failure:
    """The bytes of a regular file with one link that is where it seems to be and no larger than the limit."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Failure(status=Status.MISSING, detail="the model wrote no answer")
    except OSError as error:
        return _unsafe(path.parent, error.strerror or "cannot be opened as a folder")
    try:
        file = os.open(
            path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except FileNotFoundError:
        return Failure(status=Status.MISSING, detail=f"the model wrote no {path.name}")
    except OSError as error:
        return _unsafe(path, error.strerror or "cannot be opened")
    finally:
        os.close(folder)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        os.close(file)
        return _unsafe(path, "not a regular file")
    with os.fdopen(file, "rb", buffering=0) as stream:
        if about.st_nlink != 1:
            return _unsafe(path, "the file has a second name")
        if about.st_size > limit_bytes:
            return _too_large(path, limit_bytes)
        body = b""
        while len(body) <= limit_bytes and (more := stream.read(limit_bytes + 1 - len(body))):
            body += more
    return _too_large(path, limit_bytes) if len(body) > limit_bytes else body


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "evaluator.volumes.validation_worker"]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env={},
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise HostError(
            f"could not start the process that checks masks: {error.strerror}; run again"
        ) from error


def _receive(stream: IO[bytes]) -> bytes:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    return stream.read(length)


def _fill(stream: Any, into: memoryview) -> None:
    done = 0
    while done < len(into):
        got = stream.readinto(into[done:])
        if not got:
            raise EOFError
        done += got


def _unsafe(path: Path, why: str) -> Failure:
    return Failure(status=Status.UNSAFE_FILE, detail=f"{path.name}: {why}")


def _too_large(path: Path, limit: int) -> Failure:
    return Failure(status=Status.TOO_LARGE, detail=f"{path.name} is larger than {limit} bytes")
