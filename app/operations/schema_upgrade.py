"""How the migrations of `flask prepare` get the tables that they change, while servers use these tables."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

# Together about eight minutes.
TRIES = 120
PAUSE_SECONDS = 3
IN_USE = "A long transaction, such as pg_dump's, uses a table that the migration changes: waiting for its end."


def without_blocking(upgrade: Callable[[], None]) -> None:
    """Run the migrations, again and again while a long transaction uses a table.

    On PostgreSQL, every request for a table waits behind a migration that waits for it. So a migration waits for
    a second (`migrations/env.py`), gives back all its locks, and leaves the tables to the servers for a while.

    Raises:
        OperationalError: If the transaction does not end, or the database fails.
    """
    for tries in range(1, TRIES):
        try:
            upgrade()
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        else:
            return
        if tries == 1:
            click.echo(IN_USE, err=True)
        time.sleep(PAUSE_SECONDS)
    upgrade()
