"""The folders that containers see."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.engines.guard import start_of
from evaluator.containers.engines.spec import Caller, Workspace
from evaluator.containers.safe_removal import discard
from evaluator.errors import HostError
from evaluator.files import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

#: file of a workspace that names its evaluator; containers do not see it
OWNER = "evaluator.json"
UNMOUNT_SECONDS = 60


@contextmanager
def workspace_of(what: str) -> Iterator[Workspace]:
    """The workspace of a run, by its folder, or of a part of one; gone afterwards."""
    folder = paths.cache() / "work" / fingerprint(what)[:12]
    try:
        yield fresh_workspace(folder)
    finally:
        remove_workspace(folder)


def fresh_workspace(folder: Path) -> Workspace:
    """An empty folder for what goes into containers and comes out of them.

    Leftovers of a killed run are removed.

    Raises HostError where they cannot be, as something still writes there.
    """
    remove_workspace(folder)
    if folder.exists():
        raise HostError(
            f"{folder} cannot be emptied; end whatever still writes there, remove it, and run again"
        )
    workspace = Workspace(input=folder / "input", output=folder / "output")
    for path in (
        workspace.input / "requests",
        workspace.input / "images",
        workspace.input / "masks",
        workspace.output,
    ):
        path.mkdir(parents=True)
    claim_workspace(folder)
    # others on this machine cannot reach what a model writes, such as a program with set-user-id
    folder.chmod(0o700)
    for path in (workspace.input, *workspace.input.iterdir()):
        path.chmod(0o755)  # the container's user is another one
    return workspace


def claim_workspace(folder: Path) -> None:
    """Write whose workspace a folder is: this process's."""
    caller = Caller.this_process()
    owner = {"pid": caller.pid, "started": caller.started, "host": caller.host}
    (folder / OWNER).write_text(json.dumps(owner))


def remove_workspace(folder: Path) -> None:
    """Remove a workspace and the file systems that are mounted in it, as far as possible."""
    for mounted in mounts_below(folder):
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["umount", "-l", str(mounted)],
                capture_output=True,
                check=False,
                timeout=UNMOUNT_SECONDS,
            )
    discard(folder)


def abandoned_workspaces() -> list[Path]:
    """Workspaces of the cache whose evaluator, on this machine, is gone."""
    files = sorted((paths.cache() / "work").glob(f"*/{OWNER}"))
    return [file.parent for file in files if _is_abandoned(file.parent)]


def remove_abandoned() -> list[Path]:
    """Remove these workspaces; returns their folders."""
    removed = []
    for folder in abandoned_workspaces():
        # its run may have been resumed while the others were removed
        if _is_abandoned(folder):
            remove_workspace(folder)
            removed.append(folder)
    return removed


def _is_abandoned(folder: Path) -> bool:
    try:
        owner = json.loads((folder / OWNER).read_bytes())
        pid, started = int(owner["pid"]), str(owner["started"])
        is_here = owner["host"] == Caller.this_process().host
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # a later process may have got the number of one that is gone
    return is_here and start_of(pid) != started


def mounts_below(folder: Path) -> list[Path]:
    """The file systems of this machine that are mounted in a folder, the deepest first."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    points = [Path(_plain(line.split()[4])) for line in lines.splitlines()]
    inside = [point for point in points if folder in point.parents]
    return sorted(inside, key=lambda point: len(point.parts), reverse=True)


def _plain(text: str) -> str:
    r"""A path of the mount table, where a space is written as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
