"""A PostgreSQL server that the tests start, and databases of both kinds."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.challenges.database import Database
from tests.conftest import skip_outside_ci


class PostgresServer:
    """Debian's PostgreSQL on a socket of its own, without a port."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self._programs = folder, programs
        self._account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self._call("initdb", "-D", str(folder / "data"), "-U", "umd", "-A", "trust", "-N")
        self.start()

    def start(self) -> None:
        settings = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._call(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", log, "-o", settings, "start"
        )

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def create(self, name: str) -> str:
        self._call("createdb", "-h", str(self.folder), "-U", "umd", name)
        return f"postgresql://umd@/{name}?host={self.folder}"

    def _call(self, program: str, *words: str) -> None:
        account = self._account
        identity = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        )
        subprocess.run(
            [str(self._programs / program), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **identity,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; required in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        skip_outside_ci("no PostgreSQL; apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="umd-pg-"))
    server = PostgresServer(folder, found[-1].parent)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


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
