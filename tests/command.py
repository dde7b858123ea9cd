"""The command ``umd`` within the process of the test, which is faster than a new one."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import click
from click.testing import CliRunner

from evaluator.cli.main import umd as command
from evaluator.errors import UserError


@dataclass(frozen=True)
class Ended:
    """Output and exit status of a command."""

    returncode: int
    stdout: str
    stderr: str


def umd(*arguments) -> Ended:
    """Run a command; errors become messages and exit codes as in ``evaluator.cli.main``."""
    words = [str(word) for word in arguments]
    result = CliRunner().invoke(command, words, standalone_mode=False)
    error, code, message = result.exception, result.exit_code, ""
    if isinstance(error, UserError):
        code, message = error.exit_code, str(error)
    elif isinstance(error, click.ClickException):
        code, message = error.exit_code, error.format_message()
    elif error is not None and not isinstance(error, SystemExit):
        raise AssertionError("".join(traceback.format_exception(error)))
    return Ended(returncode=code, stdout=result.stdout, stderr=result.stderr + message)
