"""`flask prepare`: everything that must be there before the server starts.

Idempotent, and under one lock: a fleet may start at once. In development it refuses a database that looks
like another server's, before it changes anything there.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.fernet import Fernet
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy import func, select, text

import config
from app.clients import registry
from app.clients.client import Client
from app.clients.registration_rules import RegistrationError
from app.keys import cipher, keystore, rotation
from app.operations import foreign_database
from app.operations.command_group import checked
from app.operations.foreign_database import ForeignDatabaseError
from app.settings import current_settings
from app.storage.database import db

ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number
LOST_KEY = (
    "No key in KEYTURN_SECRET_KEYS opens the key that signs, or the next one: set the one that encrypted it. "
    "If that is lost, `flask keys rotate --now --lost-secret-key` makes a new signing key."
)


def prepare() -> None:
    """Make the database, the first signing key and, in development, the demo clients."""
    with one_at_a_time():
        for sentence in make_ready():
            click.echo(sentence)


command = click.command("prepare")(
    with_appcontext(checked(prepare, refusals=(cipher.SealedKeyError, RegistrationError, ForeignDatabaseError)))
)


def make_ready() -> Iterator[str]:
    """Do what is missing, and say it."""
    demos = usable_demos(current_settings())
    is_production = current_settings().is_production
    if not is_production:
        foreign_database.refuse_foreign_clients({demo.client_id for demo in demos})
    if make_secret_file():
        yield "A key for the encryption at rest is in instance/secret-key."
    if not is_production:
        foreign_database.refuse_foreign_keys()
    yield migrate()
    if first := rotation.make_first():
        yield f"The first signing key is {first.kid} ({first.alg})."
    yield from look_after_keys()
    if not is_production:
        for demo in demos:
            seed(demo, is_new=first is not None)
        yield f"The demo clients are registered: {', '.join(demo.client_id for demo in demos) or 'none'}."


def look_after_keys() -> Iterator[str]:
    """Encrypt the signing keys with the newest secret key, and say what an operator has to do about them."""
    resealed, closed = rotation.reseal()
    if resealed:
        yield f"Signing keys encrypted again, with the newest of KEYTURN_SECRET_KEYS: {resealed}."
    if closed:
        yield LOST_KEY
    alg = current_settings().signing_alg
    if all(key.alg != alg for key in keystore.published()):
        yield f"KEYTURN_SIGNING_ALG is {alg}: it takes effect at `flask keys rotate`."


def migrate() -> str:
    """Bring the schema up to date; a newer release's is left as it is, if it still serves this code."""
    import flask_migrate  # here, as no server needs it, and with Alembic it is as long to import as Flask
    from alembic.script import ScriptDirectory

    know_migrations(current_app)
    scripts = ScriptDirectory(current_app.extensions["migrate"].directory)
    newest = str(scripts.get_current_head())
    if newer := foreign_database.find_newer_schema({script.revision for script in scripts.walk_revisions()}, newest):
        return f"The database was made by a newer Keyturn (its schema is {newer}), which still serves this one."
    flask_migrate.upgrade()
    return "The database is up to date."


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


def seed(demo: config.DemoClient, *, is_new: bool) -> None:
    """Register a demo client unless it is there; the only client whose secret a person chose.

    Its id may have been there before: unless the database is new, it begins at a generation that no token of an
    earlier demo client has, so that those stay dead.
    """
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
            generation=0 if is_new else 1 + secrets.randbelow(2**31),
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
