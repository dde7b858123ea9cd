"""Log messages: on standard error, above a progress bar, and in a log file."""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import TYPE_CHECKING

from evaluator.errors import write_fault
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


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


def configure_logging(verbosity: int, log_file: Path | None) -> None:
    """Send the package's messages to standard error and to a file.

    Args:
        verbosity: 1 shows debug messages, 0 progress and warnings, -1 warnings, -2 errors.
        log_file: receives every message, with time and module, whatever the verbosity.

    Raises:
        HostError: the log file cannot be written.
    """
    logger = logging.getLogger("evaluator")
    logger.handlers.clear()
    logger.setLevel(logging.DEBUG)
    console = ConsoleHandler()
    levels = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO}
    console.setLevel(levels.get(max(verbosity, -2), logging.DEBUG))
    logger.addHandler(console)
    if log_file is not None:
        try:
            file = logging.FileHandler(log_file, delay=False)
        except OSError as error:
            raise write_fault(log_file, error) from error
        form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        file.setFormatter(logging.Formatter(form))
        logger.addHandler(file)
