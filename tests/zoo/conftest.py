from __future__ import annotations

import pytest

_LOSSES: list[str] = []


@pytest.fixture
def losses() -> list[str]:
    """What is lost by a model's published way alone; told at the end."""
    return _LOSSES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _LOSSES:
        terminalreporter.write_line(line)
