"""Whether other processes use a database: a server that has served a request keeps connections open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

OTHER_SESSIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


class InUseError(Exception):
    """Another process uses the database; the text says which and what to do."""


def find_users(engine: Engine) -> str | None:
    """Who else uses the database, in words; None if nobody does. This process closes its own connections first."""
    engine.dispose()
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            count = connection.scalar(OTHER_SESSIONS)
        return f"{count} other sessions are connected to it" if count else None
    try:
        with hold_alone(Path(str(engine.url.database))):
            return None
    except InUseError as error:
        return str(error)


@contextmanager
def hold_alone(file: Path) -> Iterator[sqlite3.Connection]:
    """Let no other process open an SQLite file meanwhile. Its write-ahead log is merged into it first.

    Returns:
        The one connection that is left.

    Raises:
        InUseError: If another process has it open.
        OSError: If it is not an SQLite database, or is damaged.
    """
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            # A connection in WAL mode holds a shared lock for as long as it is open.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise OSError(f"{file}: {error}") from error
            raise InUseError(f"another process has {file} open") from error
        except sqlite3.DatabaseError as error:
            raise OSError(f"{file}: {error}") from error
        yield connection


@contextmanager
def hold_without_log(file: Path) -> Iterator[None]:
    """The same, and no write-ahead log is left: its name would be that of the log of a file that takes its place."""
    with hold_alone(file) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA locking_mode = NORMAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # leaves the exclusive mode
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise InUseError(f"another process has {file} open") from error
        yield
