"""Validation of masks that a container wrote: a confined process checks each file first.

The evaluator opens the file without following links and reads at most the limit; the bytes go to a
worker process (``evaluator.volumes.validation_worker``) that has no files open, can open none, and
gets no references. The worker reads the header before any voxel, decompresses no more than the grid
has, and returns the box that holds the mask.

A worker that ends or stops is replaced and gets the file again. If it ends again, a mask that is
known to be good decides: the file is to blame if that mask is read, else the machine.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import stat
import struct
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import numpy as np

from evaluator.errors import HostError
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.types import Failure, Status
from zoo_sdk import nifti

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.imaging.grid_masks import GridMask
    from zoo_sdk.wire import Grid

logger = logging.getLogger(__name__)

LENGTH = struct.Struct("<Q")
#: a valid mask of one voxel, as a file
SMALLEST_MASK = nifti.header((1, 1, 1), np.eye(4).tolist(), "B") + b"\x01"
#: status of a reply: the worker had too little memory
NO_MEMORY = "no-memory"
#: times that a file is sent to a new worker
ATTEMPTS = 2
#: a reply takes at most so long, and longer for large grids
WAIT_SECONDS = 60.0
VOXELS_PER_SECOND = 2e6
#: how long a worker may take to end by itself
END_SECONDS = 5.0


class _WorkerEndedError(Exception):
    """The worker ended, or did not reply in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLabel:
    """One label of a label map: an array (k, j, i) in an npz file, or an MHA file."""

    format: Literal["npz", "mha"]
    label: int
    #: name of the array in an npz file
    array: str = ""


class MaskValidator:
    """Validates untrusted masks; may be used from several threads.

    with MaskValidator() as validator:
        mask = validator.check(path, grid, limit)
    """

    def __init__(self) -> None:
        self._worker: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the worker before the first mask arrives."""
        self._worker = _start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker at once: it keeps nothing."""
        if self._worker is not None:
            self._worker.kill()
        self._end()

    def check(
        self, path: Path, grid: Grid, limit_bytes: int, *, map_label: MapLabel | None = None
    ) -> GridMask | Failure:
        """Read and validate a mask.

        Args:
            path: the file, in a folder that a container made inside a folder of the evaluator.
            grid: the grid that the mask must lie on.
            limit_bytes: the largest size of the file.
            map_label: format and label of a label map; None: the file is a NIfTI mask.

        Returns:
            The mask on ``grid``, or a Failure that says why the file is not accepted.

        Raises:
            HostError: the worker does not work on this machine.
        """
        body = read_untrusted(path, limit_bytes)
        if isinstance(body, Failure):
            return body
        with self._lock:
            return self._validate(body, grid, map_label)

    def _validate(self, body: bytes, grid: Grid, map_label: MapLabel | None) -> GridMask | Failure:
        ended = ""
        for _ in range(ATTEMPTS):
            try:
                return self._ask(body, grid, map_label)
            except _WorkerEndedError as error:
                ended = str(error)
                logger.warning("the process that checks masks ended (%s); started again", ended)
        self._require_worker(ended)
        return Failure(
            status=Status.UNSAFE_FILE,
            detail=f"the process that read the file ended abnormally, {ATTEMPTS} times ({ended})",
        )

    def _require_worker(self, ended: str) -> None:
        """Raise HostError if the worker cannot even read a mask that is known to be good."""
        try:
            mask = self._ask(SMALLEST_MASK, make_grid((1, 1, 1), np.eye(4)))
        except _WorkerEndedError as error:
            ended, mask = str(error), Failure(status=Status.UNSAFE_FILE)
        if isinstance(mask, Failure):
            raise HostError(
                f"the process that checks masks does not work on this machine ({ended}); "
                f"{_memory_advice()}run again. No mask was judged"
            )

    def _ask(
        self, body: bytes, grid: Grid, map_label: MapLabel | None = None
    ) -> GridMask | Failure:
        """What the worker replies; raises _WorkerEndedError without a reply in time."""
        worker = self._worker = self._worker or _start()
        assert worker.stdin and worker.stdout
        expected = {
            "shape": grid.shape,
            "affine": grid.affine,
            "map_label": map_label and asdict(map_label),
        }
        request = json.dumps(expected).encode()
        seconds = WAIT_SECONDS + np.prod(grid.shape, dtype=float) / VOXELS_PER_SECOND
        limit = threading.Timer(seconds, worker.kill)
        limit.daemon = True
        limit.start()
        try:
            for part in (request, body):
                worker.stdin.write(LENGTH.pack(len(part)))
                worker.stdin.write(part)
            worker.stdin.flush()
            reply = json.loads(_receive(worker.stdout))
            if reply["status"] == NO_MEMORY:
                raise HostError(
                    f"a mask of {grid.shape} voxels cannot be checked within this machine's "
                    f"memory; {_memory_advice()}run again"
                )
            if reply["status"] != "ok":
                return Failure(status=Status(reply["status"]), detail=reply["detail"])
            (i, j, k), shape = reply["low"], np.subtract(reply["high"], reply["low"])
            voxels = np.empty(np.minimum(shape, grid.shape), dtype=np.uint8)
            _fill(worker.stdout, memoryview(voxels.reshape(-1).data))
        except (OSError, EOFError, ValueError):
            late = not limit.is_alive()
            code = self._end()
            reason = f"no reply in {seconds:.0f} s" if late else f"exit code {code}"
            raise _WorkerEndedError(reason) from None
        finally:
            limit.cancel()
        return crop_mask(voxels, grid, (i, j, k))

    def _end(self) -> int | None:
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        assert worker.stdin and worker.stdout
        try:
            worker.stdin.close()
        except OSError:
            worker.kill()
        worker.stdout.close()
        try:
            return worker.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            return worker.wait()


def read_untrusted(path: Path, limit_bytes: int) -> bytes | Failure:
    """Read a regular file with one name, without following links.

    Returns:
        Its bytes, or a Failure if it is missing, not such a file, or larger than the limit.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Failure(status=Status.MISSING, detail="the model wrote no answer")
    except OSError as error:
        return _unsafe(path.parent, _why_not_opened(path.parent, error))
    try:
        file = os.open(
            path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except FileNotFoundError:
        return Failure(status=Status.MISSING, detail=f"the model wrote no {path.name}")
    except OSError as error:
        return _unsafe(path, _why_not_opened(path, error))
    finally:
        os.close(folder)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        return _unsafe(path, "not a regular file")
    with os.fdopen(file, "rb", buffering=0) as stream:
        if status.st_nlink != 1:
            return _unsafe(path, "the file has a second name (hard link)")
        if status.st_size > limit_bytes:
            return _too_large(path, limit_bytes)
        body = b""
        while len(body) <= limit_bytes and (chunk := stream.read(limit_bytes + 1 - len(body))):
            body += chunk
    return _too_large(path, limit_bytes) if len(body) > limit_bytes else body


def _memory_advice() -> str:
    """What to do if this process's address space is limited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return ""
    return f"the address space is limited to {soft // 2**20} MiB (ulimit -v): raise it and "


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "evaluator.volumes.validation_worker"]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
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


def _fill(stream: Any, buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])
        if not count:
            raise EOFError
        filled += count


def _why_not_opened(path: Path, error: OSError) -> str:
    """Why a file or folder was not opened; the system's words for a link are misleading."""
    if path.is_symlink():
        return "a symbolic link; links are not followed, so write the file itself in its place"
    return error.strerror or "cannot be opened"


def _unsafe(path: Path, why: str) -> Failure:
    return Failure(status=Status.UNSAFE_FILE, detail=f"{path.name}: {why}")


def _too_large(path: Path, limit: int) -> Failure:
    return Failure(status=Status.TOO_LARGE, detail=f"{path.name} is larger than {limit} bytes")
