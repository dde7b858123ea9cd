from __future__ import annotations

import pytest

_LOSSES: list[str] = []


@pytest.fixture
def losses() -> list[str]:
    """Losses of models as published; reported after the tests."""
    return _LOSSES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _LOSSES:
        terminalreporter.write_line(line)
