"""One command of a kind at a time, on all machines that share the database."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import func, select

from app.storage import sqlite
from app.storage.database import WRITES, db
from app.storage.postgresql import without_time_outs

RETRY_SECONDS = 0.2


@contextmanager
def one_at_a_time(command: str, *, number: int) -> Iterator[None]:
    """Wait until no other process runs this command on this database, and then be the one.

    Args:
        command: Its name, without `flask`. Beside a SQLite file it names the file that is locked.
        number: The advisory lock of PostgreSQL.
    """
    waiting = f"Another `flask {command}` is running: waiting for it."
    if db.engine.dialect.name == "postgresql":
        with lock_in_transaction(number, lambda: click.echo(waiting, err=True)):
            yield
        return
    ending = "lock" if command == "prepare" else f"{command}.lock"  # the first had no name when it was alone
    file = Path(f"{db.engine.url.database}.{ending}")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Anyone who may write into the folder may put a link there: it is not followed, and nothing is truncated.
    with os.fdopen(sqlite.open_private(file, os.O_NOFOLLOW)) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo(waiting, err=True)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def lock_in_transaction(number: int, print_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold PostgreSQL's lock in a separate transaction: PgBouncer may give every transaction another session.

    It holds nothing else, so only the same command waits for it; a migration has its own lock.
    """
    with db.engine.connect().execution_options(**WRITES) as connection:
        is_printed = False
        # Tried again and again: a session that waits in the server would stay there if this process ended.
        while not connection.scalar(select(func.pg_try_advisory_xact_lock(number))):
            connection.rollback()
            if not is_printed:
                print_waiting()
                is_printed = True
            time.sleep(RETRY_SECONDS)
        with without_time_outs(connection):
            yield
        connection.rollback()
