"""Command lines of umd for other machines: absolute paths, and the variables that umd reads."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths

if TYPE_CHECKING:
    from evaluator.evaluation.run_config import RunConfig

#: variables of umd that other machines need, with the folders of this machine
FOLDERS = {"UMD_PROJECT": paths.project, "UMD_RUNS": paths.runs, "UMD_CACHE": paths.cache}
VARIABLES = ("UMD_DATA", "UMD_MODELS", "UMD_SHARED_DATA", "UMD_PODMAN")


def absolute(name: str) -> str:
    """A file's absolute path; names stay."""
    return str(Path(name).absolute()) if name.endswith(".toml") else name


def program() -> str:
    """The program umd of this environment."""
    beside = Path(sys.executable).with_name("umd")
    return str(beside) if beside.exists() else shutil.which("umd") or "umd"


def umd_environment() -> dict[str, str]:
    """The variables of umd, with the folders that this process uses."""
    folders = {name: str(folder()) for name, folder in FOLDERS.items()}
    return folders | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def run_arguments(config: RunConfig) -> list[str]:
    """Arguments of ``umd run`` that are the same for all runs of a suite."""
    words: list[str] = []
    if config.force:
        words.append("--force")
    if config.unregistered:
        words.append("--unregistered")
    return words
