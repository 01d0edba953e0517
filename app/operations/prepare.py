"""`flask prepare`: everything that must be there before the server starts.

Idempotent, and under one lock: a fleet may start at once.
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
from flask.cli import with_appcontext
from sqlalchemy import func, select

import config
from app.clients import registry
from app.clients.client import Client
from app.clients.registration_rules import RegistrationError
from app.clock import now
from app.keys import cipher, keystore, rotation
from app.operations.command_group import checked
from app.settings import current_settings
from app.storage import sqlite
from app.storage.database import WRITES, db
from app.storage.postgresql import missing_time_outs, without_time_outs

ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number
RETRY_SECONDS = 0.2


def prepare() -> None:
    """Make the database, the first signing key and, in development, the demo clients."""
    with one_at_a_time():
        for sentence in make_ready():
            click.echo(sentence)


command = click.command("prepare")(
    with_appcontext(checked(prepare, refusals=(cipher.SealedKeyError, RegistrationError)))
)


def make_ready() -> Iterator[str]:
    """Do what is missing, and say it."""
    import flask_migrate  # here, as no server needs it, and with Alembic it is as long to import as Flask

    settings = current_settings()
    if make_secret_file():
        yield "A key for the encryption at rest is in instance/secret-key."
    know_migrations(current_app)
    flask_migrate.upgrade()
    yield "The database is up to date."
    yield from advise_time_outs()
    if first := rotation.make_first():
        yield f"The first signing key is {first.kid} ({first.alg})."
    resealed, closed = rotation.reseal()
    if resealed:
        yield f"Signing keys encrypted again, with the newest of KEYTURN_SECRET_KEYS: {resealed}."
    if closed:
        yield f"Signing keys that none of KEYTURN_SECRET_KEYS opens: {closed}. `flask keys rotate --now` makes one."
    if all(key.alg != settings.signing_alg for key in keystore.published()):
        yield f"KEYTURN_SIGNING_ALG is {settings.signing_alg}: it takes effect at `flask keys rotate`."
    if not settings.is_production:
        demos = usable_demos(settings)
        for demo in demos:
            seed(demo)
        yield f"The demo clients are registered: {', '.join(demo.client_id for demo in demos) or 'none'}."


def advise_time_outs() -> Iterator[str]:
    """Name the time-outs that PostgreSQL lacks for this role; a transaction brings its own, a session cannot."""
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect() as connection:
            missing = missing_time_outs(connection)
        if missing:
            yield f"PostgreSQL ends no forgotten session of this role (docs/postgresql.md): {' '.join(missing)}"


def know_migrations(app: Flask) -> None:
    """Let `flask db` find the migrations."""
    import flask_migrate

    flask_migrate.Migrate(app, db, directory=str(Path(__file__).parent.parent / "storage" / "migrations"))


def make_secret_file() -> bool:
    """Make development's own key, readable by its owner only.

    Returns:
        False if it is there already or not wanted: production reads the environment only.
    """
    if current_settings().secret_keys or current_settings().is_production or cipher.secret_file().exists():
        return False
    cipher.secret_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole, and then named: nobody ever finds half a key. `mkstemp` makes files of mode 0600.
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


def seed(demo: config.DemoClient) -> None:
    """Register a demo client unless it is there; the only client whose secret a person chose."""
    if registry.find_client(demo.client_id) is None:
        client = Client(
            client_id=demo.client_id,
            name=demo.client_id,
            scope=demo.scope,
            default_scope=demo.default_scope or demo.scope,
            access_token_seconds=demo.access_token_seconds,
            grant_types="client_credentials" if demo.scope else "",
            token_format=demo.token_format,
            resource_server=demo.resource_server,
            tokens_not_before=now(),  # its id is not a new one: tokens of an earlier demo client stay dead
            claims={},
        )
        registry.add(client, demo.secret)


def usable_demos(settings: config.Settings) -> list[config.DemoClient]:
    """The demo clients whose scopes and APIs keyturn.toml declares; with a file of one's own there may be none."""
    scopes = {scope for resource in settings.resources for scope in resource.scopes}
    apis = {None, *(resource.audience for resource in settings.resources)}
    return [d for d in config.DEMO_CLIENTS if set(d.scope.split()) <= scopes and d.resource_server in apis]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process prepares this database: by PostgreSQL itself, by a file beside SQLite."""
    waiting = "Another `flask prepare` is at work: waiting for it."
    if db.engine.dialect.name == "postgresql":
        with lock_in_transaction(lambda: click.echo(waiting, err=True)):
            yield
        return
    file = Path(f"{db.engine.url.database}.lock")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whoever may write into the folder may put a link there: it is not followed, and nothing is truncated.
    with os.fdopen(sqlite.open_private(file, os.O_NOFOLLOW)) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo(waiting, err=True)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def lock_in_transaction(say_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold PostgreSQL's lock by a transaction of its own: PgBouncer may give every transaction another session.

    It holds nothing else, so nobody but another `flask prepare` waits for it; the migration has a lock of its own.
    """
    with db.engine.connect().execution_options(**WRITES) as connection:
        said = False
        # Asked again and again: a session that waits in the server would stay there if this process ended.
        while not connection.scalar(select(func.pg_try_advisory_xact_lock(ONE_PREPARES))):
            connection.rollback()
            if not said:
                say_waiting()
                said = True
            time.sleep(RETRY_SECONDS)
        with without_time_outs(connection):
            yield
        connection.rollback()
