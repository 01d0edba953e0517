"""The migrations: which there are, and how they get the tables that they change while servers use these tables."""

from __future__ import annotations

import time
from pathlib import Path

import click
from flask import Flask
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from app.storage.database import db

MIGRATIONS = Path(__file__).parent.parent / "storage" / "migrations"
# Together about eight minutes.
TRIES = 120
PAUSE_SECONDS = 3
IN_USE = "A long transaction, such as pg_dump's, uses a table that the migration changes: waiting for its end."


def register_migrations(app: Flask) -> None:
    """Let `flask db` find the migrations."""
    import flask_migrate  # here, as no server needs it, and with Alembic it takes as long to import as Flask

    # Alembic reads the path by ConfigParser, where a `%` begins an interpolation. There is no alembic.ini to miss.
    flask_migrate.Migrate(app, db, directory=str(MIGRATIONS).replace("%", "%%"))


def newest_revision() -> str:
    """The schema of this release."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def upgrade() -> None:
    """Bring the schema of the current app's database up to date."""
    import flask_migrate

    flask_migrate.upgrade()


def upgrade_without_blocking() -> None:
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
