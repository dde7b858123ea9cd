"""A PostgreSQL server that the tests start."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def postgres_programs() -> Path | None:
    """The folder of the newest server's programs; None if none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


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

    @classmethod
    def in_new_folder(cls) -> PostgresServer:
        """A running server, whose files ``close`` removes."""
        programs = postgres_programs()
        assert programs, "no PostgreSQL; apt-get install postgresql"
        return cls(Path(tempfile.mkdtemp(prefix="umd-pg-", dir="/tmp")), programs)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
