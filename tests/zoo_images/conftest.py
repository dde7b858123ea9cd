from __future__ import annotations

import pytest

_FIGURES: list[str] = []
_NOT_RUN: list[str] = []


@pytest.fixture
def figures() -> list[str]:
    """What was measured by the way; told at the end."""
    return _FIGURES


@pytest.fixture
def not_run() -> list[str]:
    """Images that could not be built here; told at the end."""
    return _NOT_RUN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in [*_FIGURES, *dict.fromkeys(_NOT_RUN)]:
        terminalreporter.write_line(line)
