"""Grids of files, each read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import VolumeError
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from pathlib import Path

    from zoo_sdk.wire import Grid


class Grids:
    """Grids of files, each read once; files without one are remembered."""

    def __init__(self) -> None:
        self._grids: dict[Path, Grid | None] = {}
        self.problems: dict[Path, str] = {}

    def of(self, path: Path) -> Grid | None:
        """The grid; None if the header cannot be read."""
        if path not in self._grids:
            try:
                self._grids[path] = read_grid(path)
            except VolumeError as error:
                self._grids[path] = None
                self.problems[path] = str(error).removeprefix(f"{path}: ")
        return self._grids[path]
