"""A file system of limited size for what a model writes, where this machine can have one.

An ordinary folder can only be measured now and then: a fast writer fills the disk between two
looks. The evaluator therefore formats a sparse file as ext4 and mounts it, if it is root. The
mounted folder holds as many bytes and files as a model may write. It grants no set-user-id and no
devices.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.containers.output_monitor import FILES_AT_ONCE
from evaluator.containers.safe_removal import discard
from evaluator.containers.workspace import workspace_of
from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.containers.answers import StartHistory
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Workspace

logger = logging.getLogger(__name__)

#: value of ``LimitsInfo.output_limit`` for a file system of limited size
ENFORCED = "enforced"
#: what the tables of the file system take, beside what a model may write
TABLE_BYTES = 64 * 2**20
#: files of the file system itself
TABLE_FILES = 1000
FORMAT = (
    "mkfs.ext4", "-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0",
    "-N", str(FILES_AT_ONCE + TABLE_FILES), "-E", "lazy_itable_init=1,nodiscard",
)  # fmt: skip
#: space of removed files goes back to the disk (discard)
MOUNT = ("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime,discard")
CALL_SECONDS = 60
#: waits for the end of its input, and unmounts its argument
GUARD = 'cat > /dev/null; exec umount -l "$0"'


class NoLimitedFolderError(Exception):
    """There is no file system of limited size for the evaluator here; the text says why."""


@contextmanager
def limited_output(
    workspace: Workspace,
    limit_bytes: int,
    *,
    enforced: bool,
    watched: Callable[[str], None] = lambda _: None,
) -> Iterator[Workspace]:
    """The workspace with an output folder that holds no more than the limit.

    Args:
        workspace: the folders of a run.
        limit_bytes: what a model may write.
        enforced: False: the workspace as it is, whose output folder is watched only.
        watched: is told "watched: " and why, where the folder should be limited and is not.
    """
    if not enforced:
        yield workspace
        return
    folder = workspace.input.parent / f"limited-{secrets.token_hex(6)}"
    try:
        guard = _mount(folder, limit_bytes)
    except NoLimitedFolderError as error:
        logger.warning("the output folder is watched and not limited in size: %s", error)
        watched(f"watched: {error}")
        yield workspace
        return
    try:
        yield replace(workspace, output=folder)
    finally:
        discard(folder)  # what is left need not be written to the disk
        _unmount(guard, folder)


def describe_output_limit(
    engine: Engine, image: str | None, run_id: str, history: StartHistory
) -> str:
    """How the output folder of a run's containers will be limited: by trying it.

    Args:
        engine: runs the containers.
        image: the model's image.
        run_id: by which the container of the trial is found again.
        history: receives that the folders were checked.

    Returns:
        "enforced", or "watched: " and why.
    """
    if not engine.isolates:
        return "watched: the engine isolates nothing"
    if os.geteuid() != 0:
        return "watched: only root can mount a file system of limited size"
    try:
        # the run is not locked yet: another process may try the same run
        with workspace_of(f"{run_id} trial {os.getpid()}") as workspace:
            folder = workspace.input.parent / "limited"
            guard = _mount(folder, 2**20)
            try:
                trial = replace(workspace, output=folder)
                seen = engine.check_folders(image, trial, run_id=run_id, gpu=None)
            finally:
                _unmount(guard, folder)
    except (NoLimitedFolderError, HostError) as error:
        return f"watched: {error}"
    if not seen:
        return "watched: it is not known whether containers see a mounted file system"
    history.checked_gpus.add(None)
    return ENFORCED


def _mount(folder: Path, limit_bytes: int) -> subprocess.Popen[bytes]:
    """Mount a file system that holds ``limit_bytes`` on a new folder.

    Returns:
        The process that unmounts it when its input ends, which it also does if this process is
        killed.

    Raises:
        NoLimitedFolderError: a program is missing, or the system refuses.
    """
    image = folder.with_suffix(".image")
    try:
        folder.mkdir(mode=0o755)
        with image.open("wb") as file:
            file.truncate(limit_bytes + limit_bytes // 32 + TABLE_BYTES)
        _call(*FORMAT, str(image))
        guard = subprocess.Popen(
            ("sh", "-c", GUARD, str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        try:
            _call(*MOUNT, str(image), str(folder))
        except BaseException:  # also a missing program, or an interrupt
            _end(guard)
            raise
    except (OSError, NoLimitedFolderError) as error:
        with suppress(OSError):
            folder.rmdir()
        if isinstance(error, NoLimitedFolderError):
            raise
        raise NoLimitedFolderError(f"{error.filename or image}: {error.strerror}") from error
    finally:
        # the mount holds the file; so it is gone whenever the mount is
        image.unlink(missing_ok=True)
    return guard


def _call(*command: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CALL_SECONDS,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise NoLimitedFolderError(f"{command[0]} took longer than {CALL_SECONDS} s") from error
    if done.returncode:
        reason = done.stderr.strip().replace("\n", " ")[:200]
        raise NoLimitedFolderError(f"{command[0]}: {reason or done.returncode}")


def _environment() -> dict[str, str]:
    """Variables with the folders of the system's programs, which not every user has."""
    # an empty path would mean the present folder
    usual = os.environ.get("PATH") or os.defpath
    return os.environ | {"PATH": f"{usual}:/usr/sbin:/sbin"}


def _unmount(guard: subprocess.Popen[bytes], folder: Path) -> None:
    """Unmount a file system and remove its folder; a warning says where that fails."""
    if _end(guard) != 0:
        logger.warning("%s is still mounted: umount failed", folder)
    discard(folder)


def _end(guard: subprocess.Popen[bytes]) -> int | None:
    """End the input of the process that unmounts; returns its exit code, None if it hangs."""
    try:
        guard.communicate(timeout=CALL_SECONDS)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.communicate()
        return None
    return guard.returncode
