"""`flask prepare`: creates everything that a server needs before it starts.

It is idempotent, and runs under one lock: a fleet may start at once. In development it refuses a database that
looks like another server's, before it changes anything there.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.fernet import Fernet
from flask import Flask, current_app
from sqlalchemy import func, select

from app.api import stock
from app.clients import undeclared
from app.clients.registration_rules import RegistrationError
from app.keys import cipher, keystore, rotation
from app.operations import demo_clients, foreign_database, schema_upgrade
from app.operations.command_group import operator_command
from app.operations.foreign_database import ForeignDatabaseError
from app.settings import current_settings
from app.storage import sqlite
from app.storage.database import WRITES, db
from app.storage.postgresql import missing_time_outs, without_time_outs

MIGRATIONS = Path(__file__).parent.parent / "storage" / "migrations"
ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number
LOST_KEY = (
    "No key in KEYTURN_SECRET_KEYS decrypts the active signing key, or the next one: set the one that encrypted it. "
    "If that is lost, `flask keys rotate --now --lost-secret-key` creates a new signing key."
)
RETRY_SECONDS = 0.2


@operator_command("prepare", refusals=(cipher.SealedKeyError, RegistrationError, ForeignDatabaseError))
def prepare() -> None:
    """Create the database, the first signing key and, in development, the demo clients."""
    with one_at_a_time():
        for sentence in make_ready():
            click.echo(sentence)


def make_ready() -> Iterator[str]:
    """Do what is missing, and yield sentences about it."""
    settings = current_settings()
    is_production = settings.is_production
    if not is_production:
        foreign_database.refuse_foreign_clients({demo.client_id for demo in demo_clients.usable_demos(settings)})
    if make_secret_file():
        yield "A new key for encryption at rest is in instance/secret-key."
    if not is_production:
        foreign_database.refuse_foreign_keys()
    yield migrate()
    yield from advise_time_outs()
    if first := rotation.make_first():
        yield f"The first signing key is {first.kid} ({first.alg})."
    yield from look_after_keys()
    if not is_production:
        yield from demo_clients.seed_all(settings, is_new=first is not None)
        if settings.has_sample_api and (articles := stock.fill_if_empty()):
            yield f"The sample warehouse has {articles} articles."
    yield from undeclared.sentences()


def look_after_keys() -> Iterator[str]:
    """Encrypt the signing keys with the newest secret key, and yield what an operator has to do about them."""
    resealed, closed = rotation.reseal()
    if resealed:
        yield f"Signing keys re-encrypted with the newest of KEYTURN_SECRET_KEYS: {resealed}."
    if closed:
        yield LOST_KEY
    alg = current_settings().signing_alg
    if all(key.alg != alg for key in keystore.published()):
        yield f"KEYTURN_SIGNING_ALG is {alg}: it takes effect at `flask keys rotate`."


def migrate() -> str:
    """Bring the schema up to date; leave a newer release's as it is, if it still supports this code."""
    import flask_migrate  # here, as no server needs it, and with Alembic it takes as long to import as Flask
    from alembic.script import ScriptDirectory

    register_migrations(current_app)
    scripts = ScriptDirectory(str(MIGRATIONS))
    newest = str(scripts.get_current_head())
    if newer := foreign_database.find_newer_schema({script.revision for script in scripts.walk_revisions()}, newest):
        return f"The database was created by a newer Keyturn (its schema is {newer}), which still supports this one."
    schema_upgrade.without_blocking(flask_migrate.upgrade)
    return "The database is up to date."


def advise_time_outs() -> Iterator[str]:
    """Name the time-outs that PostgreSQL lacks for this role; a transaction sets its own, a session cannot."""
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect() as connection:
            missing = missing_time_outs(connection)
        if missing:
            yield f"PostgreSQL never ends a forgotten session of this role (docs/postgresql.md): {' '.join(missing)}"


def register_migrations(app: Flask) -> None:
    """Let `flask db` find the migrations."""
    import flask_migrate

    # Alembic reads the path by ConfigParser, where a `%` begins an interpolation. There is no alembic.ini to miss.
    flask_migrate.Migrate(app, db, directory=str(MIGRATIONS).replace("%", "%%"))


def make_secret_file() -> bool:
    """Create the secret key of a development server, readable by its owner only.

    Returns:
        False if it exists already or is not wanted: production reads the environment only.
    """
    if current_settings().secret_keys or current_settings().is_production or cipher.secret_file().exists():
        return False
    cipher.secret_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole, and then named: no process ever finds half a key. `mkstemp` makes files of mode 0600.
    opened, temporary = tempfile.mkstemp(dir=cipher.secret_file().parent)
    with os.fdopen(opened, "wb") as file:
        file.write(Fernet.generate_key())
    try:
        os.link(temporary, cipher.secret_file())
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process prepares this database: by a lock in PostgreSQL, or by a file beside SQLite's."""
    waiting = "Another `flask prepare` is running: waiting for it."
    if db.engine.dialect.name == "postgresql":
        with lock_in_transaction(lambda: click.echo(waiting, err=True)):
            yield
        return
    file = Path(f"{db.engine.url.database}.lock")
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
def lock_in_transaction(print_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold PostgreSQL's lock in a separate transaction: PgBouncer may give every transaction another session.

    It holds nothing else, so only another `flask prepare` waits for it; the migration has its own lock.
    """
    with db.engine.connect().execution_options(**WRITES) as connection:
        is_printed = False
        # Tried again and again: a session that waits in the server would stay there if this process ended.
        while not connection.scalar(select(func.pg_try_advisory_xact_lock(ONE_PREPARES))):
            connection.rollback()
            if not is_printed:
                print_waiting()
                is_printed = True
            time.sleep(RETRY_SECONDS)
        with without_time_outs(connection):
            yield
        connection.rollback()
