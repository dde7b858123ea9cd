"""Runs by name: complete names, unique beginnings, shell patterns, and folders."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import UnknownNameError, UserError
from evaluator.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterable

#: runs that a message lists
MAX_LISTED = 6
_WILDCARDS = frozenset("*?[")


def all_runs() -> list[RunStore]:
    """The runs in the folder of runs, by name."""
    return [RunStore(file.parent) for file in sorted(paths.runs().glob("*/run.json"))]


def newest_run() -> RunStore:
    """The run that was started last; raises UserError when there is none."""
    files = sorted(paths.runs().glob("*/run.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(
            f"there is no run in {paths.runs()} yet; make one with: umd run -m MODEL -d DATASET"
        )
    return RunStore(files[-1].parent)


def open_run(text: str) -> RunStore:
    """One run.

    Args:
        text: its folder, its name, the beginning of its name, or a shell pattern of it.

    Raises:
        UnknownNameError: no run has such a name; the message suggests similar ones.
        UserError: several runs have such a name.
    """
    stores = find_runs(text)
    if len(stores) > 1:
        raise UserError(
            f"{len(stores)} runs are named {text!r} or begin so: {_listed(stores)}; "
            "write more of the name"
        )
    return stores[0]


def find_runs(text: str) -> list[RunStore]:
    """The runs that a text stands for: as ``open_run``, but there may be several.

    Raises:
        UnknownNameError: no run has such a name; the message suggests similar ones.
    """
    for path in (Path(text), paths.runs() / text):
        if (path / "run.json").is_file():
            return [RunStore(path.resolve())]
    stores = all_runs()
    pattern = text if _WILDCARDS & set(text) else f"{text}*"
    found = [store for store in stores if fnmatchcase(store.name, pattern)]
    exact = [store for store in found if store.name.startswith(f"{text}.")]
    if len(exact) == 1:  # "m.data.box" is that run, and not "m.data.box-clicks-5"
        return exact
    if text and found:
        return found
    raise UnknownNameError("run", text, [store.name for store in stores], listed_by="umd runs")


def choose_runs(
    runs: Iterable[str | Path | RunStore], moved_to: Path | None = None
) -> list[RunStore]:
    """The runs that a command compares: a pattern stands for several, all else for one.

    Args:
        runs: texts as for ``open_run``, or stores.
        moved_to: folder to which the datasets' files were moved since; None: they were not.

    Raises:
        UnknownNameError: no run has such a name.
        UserError: a beginning is that of several runs.
    """
    stores: dict[Path, RunStore] = {}
    for run in runs:
        found = [run] if isinstance(run, RunStore) else _find_chosen(str(run))
        stores |= {store.path.resolve(): store for store in found}
    if moved_to is None:
        return list(stores.values())
    return [replace(store, moved_to=moved_to) for store in stores.values()]


def _find_chosen(text: str) -> list[RunStore]:
    found = find_runs(text)
    if len(found) > 1 and not _WILDCARDS & set(text):
        raise UserError(
            f"{len(found)} runs begin with {text!r}: {_listed(found)}; "
            f"write more of the name, or '{text}*' for all of them"
        )
    return found


def _listed(stores: list[RunStore]) -> str:
    names = [store.name for store in stores[:MAX_LISTED]]
    more = len(stores) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
