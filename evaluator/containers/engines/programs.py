"""Container programs of this machine: where they are, and what a call of one gives."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import EngineUnavailableError, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: seconds for a call that does not wait for a model
CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended."""

    code: int
    output: str
    #: what it printed to standard error
    message: str

    @property
    def reason(self) -> str:
        """The end of its messages, on one line."""
        lines = [line.strip() for line in (self.message or self.output).splitlines()]
        return " ".join(line for line in lines if line)[-500:] or f"exit code {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program, the arguments that every call has, and its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its file name."""
        return Path(self.command[0]).name

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """The complete command line."""
        return [*self.command, *arguments]

    def call(self, arguments: Sequence[str], *, timeout: float = CALL_SECONDS) -> Ended:
        """Run it and wait.

        Raises:
            HostError: it cannot be started, or does not end in time.
        """
        argv = self.argv(arguments)
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=dict(self.environment),
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise HostError(f"{self.name} cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise HostError(
                f"{shlex.join(argv[:3])} ... did not end within {timeout:g} s; see: umd doctor"
            ) from error
        return Ended(
            code=done.returncode,
            output=done.stdout.decode(errors="replace"),
            message=done.stderr.decode(errors="replace"),
        )

    def answer(self, arguments: Sequence[str], *, timeout: float = CALL_SECONDS) -> str:
        """What it prints.

        Raises:
            HostError: it fails; with its reason.
        """
        ended = self.call(arguments, timeout=timeout)
        if ended.code != 0:
            raise HostError(f"{self.name} {arguments[0]} failed: {ended.reason}; see: umd doctor")
        return ended.output


def find_program(names: Sequence[str], variable: str) -> tuple[str, ...]:
    """The first of these programs on the search path, or the command in an environment variable.

    Raises:
        EngineUnavailableError: there is none.
    """
    if chosen := os.environ.get(variable):
        command = tuple(shlex.split(chosen))
        path = shutil.which(command[0]) if command else None
        if path:
            # programs are started in several working folders
            return (str(Path(path).absolute()), *command[1:])
        raise EngineUnavailableError(f"{variable} names {chosen!r}, which is not a program here")
    for name in names:
        if path := shutil.which(name):
            return (path,)
    raise EngineUnavailableError(f"there is no program {' or '.join(names)} on this machine")


def runtime_folder(variables: Mapping[str, str], uid: int) -> Path | None:
    """A folder to use as XDG_RUNTIME_DIR if the variable is unset or names an unusable folder.

    In jobs of Slurm and cron no session of the user exists. The variable is then missing, or it
    names a folder of another machine.

    Args:
        variables: the environment.
        uid: of this user; root needs no such folder.

    Returns:
        None if nothing must be set; else a folder with access for this user alone, which may not
        exist yet.
    """
    if uid == 0:
        return None
    runtime_dir = variables.get("XDG_RUNTIME_DIR")
    usual = Path(runtime_dir) if runtime_dir else Path(f"/run/user/{uid}")
    if _is_private(usual, uid):
        return None if runtime_dir else usual
    return Path(tempfile.gettempdir()) / f"umd-runtime-{uid}"


def make_private_folder(folder: Path, uid: int, *, variable: str) -> None:
    """Create a folder below one that all users share, unless this user has it already.

    Args:
        folder: such as that of ``runtime_folder``.
        uid: of this user.
        variable: of the environment, which chooses another place; for the message.

    Raises:
        HostError: it belongs to somebody else, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HostError(f"{folder} cannot be made: {error.strerror}") from error
    if not _is_private(folder, uid):
        raise HostError(
            f"{folder} belongs to another user or is open to others; set {variable} to a folder "
            "of your own with mode 700"
        )


def _is_private(folder: Path, uid: int) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    is_own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == uid
    return is_own and not facts.st_mode & 0o077 and os.access(folder, os.W_OK)
