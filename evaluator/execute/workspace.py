"""The folders that containers see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.engines.removal import discard
from evaluator.engines.spec import Workspace

if TYPE_CHECKING:
    from pathlib import Path


def fresh_workspace(folder: Path) -> Workspace:
    """An empty folder for what goes into containers and comes out of them; leftovers of a killed run are removed."""
    discard(folder)
    workspace = Workspace(input=folder / "input", output=folder / "output")
    for path in (workspace.input / "requests", workspace.input / "images", workspace.input / "masks", workspace.output):
        path.mkdir(parents=True)
    for path in (workspace.input, *workspace.input.iterdir()):
        path.chmod(0o755)  # the container's user is another one
    return workspace
