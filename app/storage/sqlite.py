"""SQLite: one file, readable by its owner only, in WAL mode."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

LOCK_SECONDS = 5
CONNECT_ARGUMENTS = {"timeout": LOCK_SECONDS}


def open_private(file: Path, flags: int = 0) -> int:
    """Open a file, and create it with mode 0600 if it does not exist, whatever the umask.

    Args:
        file: The file.
        flags: For `os.open`, beside those for reading, writing and creating.

    Returns:
        Its descriptor.

    Raises:
        OSError: If it cannot be opened.
    """
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def configure(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def make_private(_: object, __: object, arguments: list[Any], ___: object) -> None:
        # SQLite would apply the umask; its -wal and -shm files get the mode of the database.
        file = Path(arguments[0])
        if not file.exists() and file.parent.is_dir():
            os.close(open_private(file))

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: DBAPIConnection, _: object) -> None:
        # Python's sqlite3 would begin transactions by itself; `begin` below does.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # In WAL mode a transaction that reads and then writes fails at once with "database is
        # locked", whatever the time-out. So a writer takes the lock at the beginning, and waits for it.
        # A reader needs no transaction.
        if connection.get_execution_options().get("keyturn_writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
