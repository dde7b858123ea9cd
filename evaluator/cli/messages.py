"""Log messages: on standard error, above a progress bar, and in a log file."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from evaluator.errors import UserError, write_fault
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

#: files that are logs by their name, such as a batch system's
LOG_SUFFIXES = (".log", ".out")


@cache
def shared_console() -> Console:
    """The console of messages and progress bars, so that a message appears above the bar.

    Rich is imported with the first message, since many commands have none.
    """
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """Prints messages on standard error; warnings and errors are labelled."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        label = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        console = shared_console()
        console.file = sys.stderr
        console.print(label + clean_text(record.getMessage(), None), markup=False)


class LogFile(logging.FileHandler):
    """A log file; if it cannot be written any more, one warning says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=False, errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.path = path
        self._lost = False

    def begin(self, text: str) -> None:
        """Write the first line; raises OSError if the file takes none."""
        assert self.stream is not None
        self.stream.write(text + "\n")
        self.stream.flush()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of logging
        """Tell the first failure, and none of those that follow."""
        del record
        if not self._lost:
            self._lost = True
            reason = sys.exc_info()[1]
            shared_console().print(
                f"warning: {self.path} is not complete: it cannot be written ({reason})",
                markup=False,
            )


def configure_logging(verbosity: int, log_file: Path | None) -> None:
    """Send the package's messages to standard error and to a file.

    Args:
        verbosity: 1 shows debug messages, 0 progress and warnings, -1 warnings, -2 errors.
        log_file: receives every message, with time and module, whatever the verbosity.

    Raises:
        UserError: the file exists and is no log.
        HostError: the log file cannot be written.
    """
    logger = logging.getLogger("evaluator")
    opened = [handler for handler in logger.handlers if isinstance(handler, LogFile)]
    logger.handlers.clear()
    logger.setLevel(logging.DEBUG)
    console = ConsoleHandler()
    levels = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO}
    console.setLevel(levels.get(max(verbosity, -2), logging.DEBUG))
    logger.addHandler(console)
    same = [handler for handler in opened if handler.path == log_file]
    if same:
        logger.addHandler(same[0])
    elif log_file is not None:
        logger.addHandler(_open_log_file(log_file))


def check_log_file(path: Path) -> None:
    """Refuse to append to a file that is no log; raises UserError."""
    if path.suffix in LOG_SUFFIXES or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len("2026-01-01 "))
    except OSError as error:
        raise write_fault(path, error) from error
    if start and not re.fullmatch(rb"\d{4}-\d\d-\d\d ", start):
        raise UserError(
            f"--log-file {path}: the file exists and is no log, so nothing is appended to it; "
            "choose another file"
        )


def _open_log_file(path: Path) -> LogFile:
    check_log_file(path)
    try:
        file = LogFile(path)
        file.begin(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {shlex.join(sys.argv)}")
    except OSError as error:
        raise write_fault(path, error) from error
    return file
