"""This file is `flask prepare`: everything that must be there before the server starts.

Idempotent, and under one lock: a fleet may start at once.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.fernet import Fernet
from flask import Flask, current_app
from sqlalchemy import func, select, text

import config
from app.api import stock
from app.clients import registration, registry, undeclared
from app.clients.client import Client
from app.clients.registration_rules import RegistrationError
from app.clock import now
from app.keys import cipher, keystore, rotation
from app.operations.command_group import operator_command
from app.settings import current_settings
from app.storage.database import db

ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number


@operator_command("prepare", refusals=(cipher.SealedKeyError, RegistrationError))
def prepare() -> None:
    """Make the database, the first signing key and, in development, the demo clients."""
    with one_at_a_time():
        for sentence in make_ready():
            click.echo(sentence)


def make_ready() -> Iterator[str]:
    """Do what is missing, and say it."""
    import flask_migrate  # here, as no server needs it, and with Alembic it is as long to import as Flask

    settings = current_settings()
    if make_secret_file():
        yield "A key for the encryption at rest is in instance/secret-key."
    know_migrations(current_app)
    flask_migrate.upgrade()
    yield "The database is up to date."
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
        yield from make_samples(settings)
    yield from undeclared.sentences()


def make_samples(settings: config.Settings) -> Iterator[str]:
    """What development has and production does not: the demo clients, and something in the sample warehouse."""
    demos = usable_demos(settings)
    for demo in demos:
        seed(demo)
    yield f"The demo clients are registered: {', '.join(demo.client_id for demo in demos) or 'none'}."
    if settings.has_sample_api and (articles := stock.fill_if_empty()):
        yield f"The sample warehouse has {articles} articles."


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
    cipher.secret_file().parent.mkdir(parents=True, exist_ok=True)
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
        registration.add(client, demo.secret)


def usable_demos(settings: config.Settings) -> list[config.DemoClient]:
    """The demo clients whose scopes and APIs keyturn.toml declares; with a file of one's own there may be none."""
    scopes = {scope for resource in settings.resources for scope in resource.scopes}
    apis = {None, *(resource.audience for resource in settings.resources)}
    return [d for d in config.DEMO_CLIENTS if set(d.scope.split()) <= scopes and d.resource_server in apis]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process prepares this database: by a file beside SQLite, by PostgreSQL itself."""
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
                connection.execute(select(func.pg_advisory_lock(ONE_PREPARES)))
                yield
            finally:
                connection.invalidate()  # the lock and the time-outs end with it
        return
    file = Path(f"{db.engine.url.database}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo("Another `flask prepare` is at work: waiting for it.", err=True)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
