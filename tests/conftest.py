"""Fixtures for all tests: an untouched world, and the real scans where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluator import places

CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the project; in CI it must be there."""
    folder = places.shared_data()
    if not folder.is_dir():
        missing = f"no real scans at {folder}; set UMD_SHARED_DATA to where they are"
        if CI:
            pytest.fail(missing)
        pytest.skip(missing)
    return folder


@pytest.fixture(autouse=True)
def _own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the user's runs."""
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "runs"))
