"""A PostgreSQL server that the tests start, and databases of both kinds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.challenges.database import Database
from tests.challenges.postgres import PostgresServer, postgres_programs
from tests.conftest import skip_outside_ci


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; required in CI."""
    if postgres_programs() is None:
        skip_outside_ci("no PostgreSQL; apt-get install postgresql")
    server = PostgresServer.in_new_folder()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'challenge.db'}"
    return str(request.getfixturevalue("postgres").create(f"t{uuid.uuid4().hex}"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database with its tables."""
    opened = Database(url)
    opened.upgrade()
    yield opened
    opened.close()
