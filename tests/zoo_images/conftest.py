from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain

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
    reports = chain.from_iterable(terminalreporter.stats.values())
    lines = list(chain.from_iterable(getattr(r, "user_properties", ()) for r in reports))
    for kind in ("figures", "not run"):
        for line in dict.fromkeys(line for line_kind, line in lines if line_kind == kind):
            terminalreporter.write_line(line)
