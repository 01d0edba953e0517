"""This file is `flask prepare`: everything that must be there before the server starts.

Idempotent, and under one lock: a fleet may start at once. Also here: what the server looks for
when it starts, and what `make run` tells a newcomer.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import flask_migrate
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

import config
from app.clients import registry
from app.clients.client import Client
from app.commands import checked
from app.database import db
from app.errors import RefusedError
from app.keys import cipher, keystore, rotation

LOCK_NUMBER = 9_068_6749  # PostgreSQL names advisory locks by number: ours is two RFCs


def prepare() -> None:
    """Make the database, the first signing key and, in development, the demo clients."""
    with one_at_a_time():
        for sentence in make_ready():
            click.echo(sentence)


command = click.command("prepare")(with_appcontext(checked(prepare, refusals=(cipher.SealedKeyError,))))


def make_ready() -> Iterator[str]:
    """Do what is missing, and say it."""
    settings = config.current()
    if cipher.make_secret_file():
        yield "A key for the encryption at rest is in instance/secret-key."
    flask_migrate.upgrade()
    yield "The database is up to date."
    if first := rotation.make_first():
        yield f"The first signing key is {first.kid} ({first.alg})."
    if resealed := rotation.reseal():
        yield f"Signing keys encrypted again, with the newest of KEYTURN_SECRET_KEYS: {resealed}."
    if all(key.alg != settings.signing_alg for key in keystore.published()):
        yield f"KEYTURN_SIGNING_ALG is {settings.signing_alg}: it takes effect at `flask keys rotate`."
    if not settings.is_production:
        for demo in config.DEMO_CLIENTS:
            registry.seed(demo)
        yield f"The demo clients are registered: {', '.join(demo.client_id for demo in config.DEMO_CLIENTS)}."


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process prepares this database: by a file beside SQLite, by PostgreSQL itself."""
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK_NUMBER})"))
            yield
            connection.execute(text(f"SELECT pg_advisory_unlock({LOCK_NUMBER})"))
        return
    file = Path(f"{db.engine.url.database}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def faults_at_start(app: Flask) -> list[str]:
    """Why this server must not start; a database that does not answer is no reason, it may come."""
    with app.app_context():
        faults = list(config.current().faults)
        if faults or not config.current().is_production:
            return faults
        try:
            ids = [demo.client_id for demo in config.DEMO_CLIENTS]
            for found in db.session.scalars(select(Client.client_id).where(Client.client_id.in_(ids))):
                faults.append(f"The demo client {found} must not exist in production: `flask clients delete {found}`.")
            if keystore.keystore().rows():
                keystore.signing_key()
        except RefusedError as error:
            faults.append(
                f"KEYTURN_SECRET_KEYS must hold the key that the signing keys were encrypted with: {error.reason}."
            )
        except SQLAlchemyError:
            app.logger.debug("the database does not answer yet")
        return faults


def welcome(settings: config.Settings) -> str:
    """What `make run` prints: who may ask, and three commands to paste."""
    demo = next(each for each in config.DEMO_CLIENTS if each.client_id == "demo-admin")
    ask = f"curl -s -u {demo.client_id}:{demo.secret} -d grant_type=client_credentials {settings.issuer}/oauth/token"
    pick = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
    clients = "\n".join(f"  {each.client_id:16} {each.secret:42} {each.scope}" for each in config.DEMO_CLIENTS)
    return f"""
Keyturn answers at {settings.issuer}. The demo clients, with their secrets and scopes:
{clients}

Ask for a token:
  {ask}

Call the guarded route with one:
  TOKEN=$({ask} | {pick})
  curl -s -H "Authorization: Bearer $TOKEN" {settings.issuer}/admin/logs

Be refused, without one:
  curl -i {settings.issuer}/admin/logs

Ctrl-C stops the server.
"""
