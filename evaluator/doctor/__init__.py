"""Examine this machine: engines, GPUs, disk, base images, data, orphaned containers."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.gpus import find_gpus
from evaluator.containers.workspace import abandoned_workspaces, remove_abandoned
from evaluator.doctor.engines import engine_findings
from evaluator.doctor.findings import GIB, Finding, free_space, left_behind
from evaluator.volumes.syscall_filter import has_filter

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Finding", "examine"]


def examine(*, sweep: bool = False) -> list[Finding]:
    """Run all checks, the engines first.

    Args:
        sweep: remove containers and workspaces of evaluators that were killed.
    """
    engines = engine_findings(sweep=sweep)
    # containers may still write into their workspaces, so they go first
    return [*engines, _workspaces(sweep=sweep), *_gpus(), *_disk(), *_host()]


def _workspaces(*, sweep: bool) -> Finding:
    folders = remove_abandoned() if sweep else abandoned_workspaces()
    return left_behind("working folders", [str(folder) for folder in folders], is_removed=sweep)


def _gpus() -> Iterator[Finding]:
    gpus = find_gpus()
    for gpu in gpus:
        detail = f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, driver {gpu.driver}, {gpu.uuid}"
        yield Finding(state="ok", what=f"GPU {gpu.label}", detail=detail)
    if not gpus:
        yield Finding(
            state="note", what="GPU", detail="none; umd/torch is built in its CPU flavour"
        )


def _disk() -> Iterator[Finding]:
    for what, path in (("disk of runs", paths.runs()), ("disk of the cache", paths.cache())):
        yield free_space(what, next(parent for parent in (path, *path.parents) if parent.exists()))


def _host() -> Iterator[Finding]:
    yield Finding(
        state="ok",
        what="umd",
        detail=f"{version('umd-evaluator')} on Python {platform.python_version()}",
    )
    yield _mask_checks(is_filtered=has_filter())
    bootstrap = shutil.which("mmdebstrap")
    yield Finding(
        state="ok" if bootstrap else "note",
        what="mmdebstrap",
        detail=bootstrap or "not installed; only needed if no registry answers",
        advice="" if bootstrap else "apt-get install mmdebstrap",
    )
    shared = paths.shared_data()
    yield Finding(
        state="ok" if shared.is_dir() else "note",
        what="sample scans",
        detail=str(shared)
        if shared.is_dir()
        else "not found; ibsi-sts and totalsegmentator-sample need them",
        advice="" if shared.is_dir() else "set UMD_SHARED_DATA to their folder",
    )


def _mask_checks(*, is_filtered: bool) -> Finding:
    """How the process that reads masks of models is confined."""
    limits = "limits of memory, files and processes"
    return Finding(
        state="ok" if is_filtered else "note",
        what="checks of masks",
        detail=f"in a process with {limits}, and a filter of system calls (seccomp)"
        if is_filtered
        else f"in a process with {limits} alone: this machine has no filter of system calls "
        "(seccomp)",
    )
