"""Fixtures for all tests: separate run folders, log messages, real scans, engines, projects."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from evaluator import paths

# time limits of single examples fail on a busy machine
settings.register_profile("umd", deadline=None)
settings.load_profile("umd")

CI = os.environ.get("CI") == "true"
#: marks of the tests that take longest
SLOW_MARKS = ("docker", "podman", "browser", "slow")
#: run the tests that are marked extended, too
EXTENDED = bool(os.environ.get("UMD_TEST_EXTENDED"))
#: builds the models' images; make test-zoo and make test-upstream run it
collect_ignore = [] if os.environ.get("UMD_TEST_ZOO") else ["zoo_images"]


def skip_outside_ci(reason: str) -> NoReturn:
    """Skip a test that this machine cannot run; in CI it fails."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans; required in CI."""
    folder = paths.shared_data()
    if not folder.is_dir():
        skip_outside_ci(f"no real scans at {folder}; set UMD_SHARED_DATA to where they are")
    return folder


@pytest.fixture(autouse=True)
def _own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from writing into the user's runs."""
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The log messages of the evaluator, oldest first, from level INFO on."""
    received: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            received.append(record.getMessage())

    collector, logger = Collector(), logging.getLogger("evaluator")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logging.getLogger().addHandler(collector)
    logger.setLevel(logging.INFO)
    yield received
    logging.getLogger().removeHandler(collector)


@pytest.fixture(scope="session")
def docker_engine():
    """A running Docker engine; required in CI."""
    from evaluator.containers.engines.docker import DockerEngine
    from evaluator.errors import EngineUnavailableError

    try:
        return DockerEngine.connect()
    except EngineUnavailableError as error:
        skip_outside_ci(str(error).splitlines()[0])


@pytest.fixture(params=["docker", "local"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Both engines: docker and local."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Create a project and use it for all paths: ``project({"painter": PAINTER})``."""
    from tests.tiny import make_project

    def use(models: dict[str, str], **labels: str) -> Path:
        folder = make_project(tmp_path / "project", models, **labels)
        monkeypatch.setenv("UMD_CACHE", str(paths.cache()))
        monkeypatch.setenv("UMD_PROJECT", str(folder))
        return folder

    return use


def order(model: str, dataset: Path | str, protocol: str = "point-1", **more: object):
    """Run a model without progress, and with ``recheck=0`` unless set; returns the run."""
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig

    return run_model(
        RunConfig(model=model, dataset=str(dataset), protocol=protocol, **({"recheck": 0} | more)),
        progress=lambda *_: None,
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave extended tests out, and run the files with slow tests first.

    So no process ends with a long file alone.
    """
    if not EXTENDED:
        left_out = [item for item in items if item.get_closest_marker("extended")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("extended")]
    slow = {item.path for item in items if any(map(item.get_closest_marker, SLOW_MARKS))}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were not run, so nobody believes that they passed."""
    if not EXTENDED:
        terminalreporter.write_line(
            "NOT RUN: extended tests, further variants of tests that were run (make test-extended)"
        )
    if "zoo_images" in collect_ignore:
        terminalreporter.write_line(
            "NOT RUN: tests/zoo_images, which build the models' images "
            "(make test-zoo, make test-upstream)"
        )
