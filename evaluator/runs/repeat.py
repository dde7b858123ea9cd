"""The command that makes a run again, from what its ``run.json`` records."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.runs.run_info import DRAWN, DRAWN_UNREGISTERED

if TYPE_CHECKING:
    from evaluator.runs.run_info import RunInfo

#: options whose values are files or folders, and what stands for a folder in a report
_FOLDERS = ("--data-root", "--weights")
_FILES = ("-m", "-d", "-p")


def repeat_command(info: RunInfo, *, private: bool) -> str:
    """The command that makes a run again.

    Args:
        info: The content of ``run.json``.
        private: Replace folders of this machine, cases and other runs by words in capitals.
    """
    if info.engine.name == "none":  # predictions of files: the model was not run
        return (
            f"umd import-predictions FOLDER -m {info.identity.model} -d DATA"
            if private
            else info.command
        )
    words = list(info.arguments) or _arguments_of_format_1(info)
    if private:
        pairs = zip(["", *words], words, strict=False)
        words = [_without_place(option, word) for option, word in pairs]
    return shlex.join(["umd", "run", *words])


def _without_place(option: str, word: str) -> str:
    if option == "--case":
        return "CASES"
    if option in ("--prompts", "--name"):
        return "RUN" if option == "--prompts" else "NAME"
    if option in _FOLDERS and "/" in word:
        return "FOLDER"
    if option in _FILES and "/" in word:
        return f"FOLDER/{Path(word).name}"
    return word


def _arguments_of_format_1(info: RunInfo) -> list[str]:
    """What is known of a run that did not record its arguments."""
    identity = info.identity
    words = ["-m", identity.model, "-d", info.dataset_source, "-p", info.protocol_source]
    if info.data_root:
        words += ["--data-root", info.data_root]
    for name, value in info.options.items():
        words += ["--option", f"{name}={value}"]
    kind, _, size = info.weights.name.partition(":")
    if kind in ("random", "mounted"):
        words += ["--weights", "FOLDER" if kind == "mounted" else f"random:{size}"]
    if info.unregistered:
        words.append("--unregistered")
    if identity.prompts not in (DRAWN, DRAWN_UNREGISTERED):
        words += ["--prompts", info.replayed_run or "RUN"]
    return [*words, *(["--engine", "local"] if info.engine.name == "local" else [])]
