"""The folders that containers see."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.safe_removal import discard
from evaluator.errors import HostError
from evaluator.files import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def workspace_of(what: str) -> Iterator[Workspace]:
    """The workspace of a run, by its folder, or of a part of one; gone afterwards."""
    folder = paths.cache() / "work" / fingerprint(what)[:12]
    try:
        yield fresh_workspace(folder)
    finally:
        discard(folder)


def fresh_workspace(folder: Path) -> Workspace:
    """An empty folder for what goes into containers and comes out of them.

    Leftovers of a killed run are removed.

    Raises HostError where they cannot be, as something still writes there.
    """
    discard(folder)
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
    # others on this machine cannot reach what a model writes, such as a program with set-user-id
    folder.chmod(0o700)
    for path in (workspace.input, *workspace.input.iterdir()):
        path.chmod(0o755)  # the container's user is another one
    return workspace
