"""`flask prepare`: creates everything that a server needs before it starts.

It is idempotent, and runs under one lock: a fleet may start at once. In development it refuses a database that
looks like another server's, before it changes anything there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import click
from cryptography.fernet import Fernet
from flask import current_app

from app.api import stock
from app.clients import undeclared
from app.clients.registration_rules import RegistrationError
from app.keys import cipher, keystore, resealing, rotation
from app.operations import demo_clients, foreign_database, schema_upgrade
from app.operations.command_group import Change, Outcome, changes, operator_command, wants_json
from app.operations.foreign_database import ForeignDatabaseError
from app.operations.one_at_a_time import one_at_a_time
from app.settings import current_settings
from app.storage import schema_revision
from app.storage.database import db
from app.storage.postgresql import missing_time_outs

ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number
LOST_KEY = (
    "No key in KEYTURN_SECRET_KEYS decrypts the active signing key, or the next one: set the one that encrypted it. "
    "If that is lost, `flask keys rotate --now --lost-secret-key` creates a new signing key."
)


@operator_command("prepare", refusals=(cipher.SealedKeyError, RegistrationError, ForeignDatabaseError))
@changes
def prepare() -> Outcome:
    """Create the database, the first signing key and, in development, the demo clients."""
    sentences = []
    with one_at_a_time("prepare", number=ONE_PREPARES):
        for sentence in make_ready():
            sentences.append(sentence)
            if not wants_json():
                click.echo(sentence)
    return Outcome({"sentences": sentences}, changed=any(isinstance(each, Change) for each in sentences))


def make_ready() -> Iterator[str]:
    """Do what is missing, and yield sentences about it: a `Change` for what was done."""
    settings = current_settings()
    is_production = settings.is_production
    if not is_production:
        foreign_database.refuse_foreign_clients({demo.client_id for demo in demo_clients.usable_demos(settings)})
    if make_secret_file():
        yield Change("A new key for encryption at rest is in instance/secret-key.")
    if not is_production:
        foreign_database.refuse_foreign_keys()
    yield migrate()
    yield from advise_time_outs()
    if first := rotation.make_first():
        yield Change(f"The first signing key is {first.kid} ({first.alg}).")
    if standby := rotation.ensure_standby():
        yield Change(f"The standby signing key is {standby.kid} ({standby.alg}).")
    yield from look_after_keys()
    if not is_production:
        yield from demo_clients.seed_all(settings, is_new=first is not None)
        if settings.has_sample_api and (articles := stock.fill_if_empty()):
            yield Change(f"The sample warehouse has {articles} articles.")
    yield from undeclared.all_sentences()


def look_after_keys() -> Iterator[str]:
    """Encrypt the signing keys with the newest secret key, and yield what an operator has to do about them."""
    resealed, closed = resealing.reseal()
    if resealed:
        yield Change(f"Signing keys re-encrypted with the newest of KEYTURN_SECRET_KEYS: {resealed}.")
    if closed:
        yield LOST_KEY
    alg = current_settings().signing_alg
    if all(key.alg != alg for key in keystore.published()):
        yield f"KEYTURN_SIGNING_ALG is {alg}: it takes effect at `flask keys rotate`."


def migrate() -> str:
    """Bring the schema up to date; leave a newer release's as it is, if it still supports this code."""
    schema_upgrade.register_migrations(current_app)
    newest = schema_upgrade.newest_revision()
    if newer := foreign_database.find_newer_schema(schema_upgrade.known_revisions(), newest):
        return f"The database was created by a newer Keyturn (its schema is {newer}), which still supports this one."
    if schema_revision.find_revision() == newest:
        return "The database is up to date."
    schema_upgrade.upgrade_without_blocking()
    return Change("The database is up to date.")


def advise_time_outs() -> Iterator[str]:
    """Name the time-outs that PostgreSQL lacks for this role; a transaction sets its own, a session cannot."""
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect() as connection:
            missing = missing_time_outs(connection)
        if missing:
            yield f"PostgreSQL never ends a forgotten session of this role (docs/postgresql.md): {' '.join(missing)}"


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
