"""Opens the database: engines for SQLite and Postgres, the lock on a SQLite file, the migrations."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from bot.errors import BackspaceError, StoreUnavailable

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 30_000
_POOL_TIMEOUT_SECONDS = 30
_MIGRATION_LOCK = 0x6261636B
_VERSION_TABLE = "backspace_schema"
"""Named by migrations/env.py, too."""


class DatabaseInUse(BackspaceError):
    """The SQLite database is already in use by another Backspace process."""


def _unixepoch(*arguments: str) -> float | int:
    if arguments in {("subsec",), ("subsecond",)}:
        return round(time.time(), 3)
    if not arguments:
        return int(time.time())
    raise ValueError(f"unixepoch{arguments!r} is not provided here")


def _prepare(connection: sqlite3.Connection, *, synchronous: str) -> None:
    """Pragmas for each connection, and `unixepoch('subsec')` where SQLite is older than 3.42.

    The durable engine's schema uses that function: https://sqlite.org/lang_datefunc.html
    """
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    if connection.execute("select unixepoch('subsec')").fetchone()[0] is None:
        connection.create_function("unixepoch", -1, _unixepoch)


def is_sqlite(url: str) -> bool:
    return sa.make_url(url).get_backend_name() == "sqlite"


def file_of(url: str) -> Path:
    """The file of a SQLite URL."""
    return Path(sa.make_url(url).database or "")


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Hold the one lock on a SQLite file for as long as the block runs; nothing to do on Postgres.

    Raises DatabaseInUse. A second process with the same executor id would run again what the first is running.
    """
    if not is_sqlite(url):
        yield
        return
    path = file_of(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DatabaseInUse(
            f"{path} is already in use by another Backspace process; stop that one, or set DATABASE_URL"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def open_engine(
    url: str, *, pool_size: int, isolation: str | None = "IMMEDIATE", synchronous: str = "FULL"
) -> sa.Engine:
    """An engine with our pragmas. `isolation` is sqlite3's: None leaves every BEGIN to the caller's engine events.

    `synchronous`: `NORMAL` commits without waiting for the disk. A power cut then takes the database back to an
    earlier moment, a dead process does not. Postgres takes the psycopg driver.
    """
    if not is_sqlite(url):
        parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
        return sa.create_engine(parsed, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)
    engine = sa.create_engine(url, pool_size=pool_size, max_overflow=0, pool_timeout=_POOL_TIMEOUT_SECONDS)

    @sa.event.listens_for(engine, "connect")
    def connected(raw: DBAPIConnection, _record: object) -> None:
        connection: Any = raw
        connection.isolation_level = isolation
        _prepare(connection, synchronous=synchronous)

    if isolation is None:

        @sa.event.listens_for(engine, "begin")
        def begun(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@dataclass(frozen=True)
class Standing:
    """How far our tables are. `known`: whether this program knows how to go on from there."""

    present: str | None
    newest: str | None
    known: bool


def standing(engine: sa.Engine) -> Standing:
    """Changes nothing. Raises StoreUnavailable."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    try:
        with engine.begin() as connection:
            tables = sa.inspect(connection).get_table_names()
            query = sa.text(f"select version_num from {_VERSION_TABLE}")  # noqa: S608 -- our own constant
            present = connection.execute(query).scalar() if _VERSION_TABLE in tables else None
    except DBAPIError as error:
        raise StoreUnavailable(f"the database cannot be opened: {error.orig}") from error
    return Standing(present, script.get_current_head(), present is None or present in known)


def migrate(engine: sa.Engine) -> None:
    """Bring our tables up to date; safe for several starters at once. Raises StoreUnavailable."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise StoreUnavailable(f"the database cannot be opened or brought up to date: {error.orig}") from error
