from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

Tell = Callable[[str], None]


@pytest.fixture
def figures(record_property) -> Tell:
    """Tell what was measured by the way; repeated at the end, whichever process the test ran in."""
    return partial(record_property, "figures")


@pytest.fixture
def not_run(record_property) -> Tell:
    """Tell what could not be run here; repeated at the end."""
    return partial(record_property, "not run")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        (kind, line)
        for reports in terminalreporter.stats.values()
        for report in reports
        for kind, line in getattr(report, "user_properties", ())
    ]
    for kind in ("figures", "not run"):
        for line in dict.fromkeys(line for own, line in told if own == kind):
            terminalreporter.write_line(line)
