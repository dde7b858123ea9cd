"""The challenge's database: SQLite or PostgreSQL, with one code.

A transaction that writes begins with the database's write lock on SQLite (BEGIN IMMEDIATE), so
that a statement never fails because another process wrote in between. Times are the database's, so
that workers on several machines need no equal clocks.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Float, create_engine, event, literal_column
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.orm import Session

from evaluator.errors import HostError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement, Connection, Engine

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: how long a transaction waits for others on SQLite, seconds
BUSY_SECONDS = 60.0
#: how long work is tried again while the database does not answer, seconds
PATIENCE_SECONDS = 120.0
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """A connection to the database, safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Connect.

        Args:
            url: SQLAlchemy's URL, such as ``sqlite:///challenge.db`` or
                ``postgresql+psycopg://user@host/name``.

        Raises:
            UserError: the URL is invalid, or its database is of another kind.
        """
        self.url = _with_driver(url)
        if not self.url.startswith(("sqlite:", "postgresql+psycopg:")):
            raise UserError(
                f"database {hide_password(url)}: write sqlite:///FILE or "
                "postgresql://USER@HOST/NAME"
            )
        try:
            self.engine = _create(self.url)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise UserError(
                f"database {hide_password(url)}: {error}; write sqlite:///FILE or "
                "postgresql://USER@HOST/NAME"
            ) from None
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @property
    def now(self) -> ColumnElement[float]:
        """The database's present time in a statement, seconds since 1970."""
        if self.is_sqlite:
            return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
        text = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
        return literal_column(text, Float)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end, or rolled back after an error."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads."""
        engine = self.engine.execution_options(umd_reads=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self) -> None:
        """Create the tables, or bring those of an earlier version up to date.

        Raises:
            UserError: a newer version of umd made the tables.
            HostError: the database does not answer.
        """
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        scripts = ScriptDirectory.from_config(config)
        try:
            with self.engine.connect() as connection:
                present = _revision(connection)
            if present == scripts.get_current_head():
                return
            with self.engine.begin() as connection:
                _lock_tables(connection)
                present = _revision(connection)
                if present is not None and present not in _revisions(scripts):
                    raise UserError(
                        f"the database has version {present}, which this umd does not know: use a "
                        "newer umd"
                    )
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise unreachable(self.url, error) from None
        except DatabaseError as error:
            raise UserError(
                f"the database {hide_password(self.url)} cannot be used: {error.orig}"
            ) from None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def insist(
        self, work: Callable[[], T], *, seconds: float = PATIENCE_SECONDS, first_wait: float = 0.2
    ) -> T:
        """Do work with the database, again and again while the database does not answer.

        Args:
            work: one or several transactions that may be repeated.
            seconds: how long it is tried.
            first_wait: pause after the first failure, seconds; later ones are longer.

        Raises:
            HostError: the database did not answer in this time.
        """
        deadline, pause = time.monotonic() + seconds, first_wait
        while True:
            try:
                return work()
            except DBAPIError as error:
                if not _is_passing(error):
                    raise
                if time.monotonic() > deadline:
                    raise unreachable(self.url, error) from None
                logger.warning("the database does not answer; trying again")
                time.sleep(pause)
                pause = min(pause * 2, 5.0)


def unreachable(url: str, error: DBAPIError) -> HostError:
    """The error to raise when the database does not answer."""
    reason = str(error.orig).strip().splitlines()[0] if error.orig else "no reason given"
    return HostError(f"the database {hide_password(url)} does not answer: {reason}")


def hide_password(url: str) -> str:
    """A URL for messages."""
    head, at, tail = url.rpartition("@")
    if not at or ":" not in head.removeprefix(head.partition("://")[0] + "://"):
        return url
    return f"{head.rpartition(':')[0]}:***@{tail}"


def _is_passing(error: DBAPIError) -> bool:
    """Whether an error may be gone after a while: no connection, or a lock held too long."""
    return isinstance(error, OperationalError) or error.connection_invalidated


def _with_driver(url: str) -> str:
    for name in ("postgresql://", "postgres://"):
        if url.startswith(name):
            return f"postgresql+psycopg://{url.removeprefix(name)}"
    return url


def _create(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("umd_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _revisions(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}


def _lock_tables(connection: Connection) -> None:
    """Wait for another process that upgrades the tables; SQLite's transactions do by themselves."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7262012)")
