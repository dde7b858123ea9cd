"""What a check of this machine found."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

State = Literal["ok", "note", "missing"]
GIB = 2**30
MIN_FREE_BYTES = 10 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; "missing" prevents models from running."""

    state: State
    what: str
    detail: str
    advice: str = ""


def free_space(what: str, folder: Path) -> Finding:
    """Free space of the file system of a folder."""
    free = shutil.disk_usage(folder).free
    return Finding(
        state="ok" if free > MIN_FREE_BYTES else "note",
        what=what,
        detail=f"{free / GIB:.0f} GiB free at {folder}",
        advice="" if free > MIN_FREE_BYTES else "images and masks of a large run need more",
    )


def left_behind(what: str, names: Sequence[str], *, is_removed: bool) -> Finding:
    """What evaluators that were killed have left on this machine."""
    if not names:
        return Finding(state="ok", what=what, detail="none of a run that was killed")
    if is_removed:
        return Finding(state="ok", what=what, detail=f"removed {', '.join(names)}")
    return Finding(
        state="note",
        what=what,
        detail=", ".join(names),
        advice="remove them with: umd doctor --sweep",
    )
