"""This file is `flask prepare`: everything that must be there before the server starts.

Idempotent, and under one lock: a fleet may start at once. Also here: what the server looks for
when it starts, and what `make run` tells a newcomer.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import flask_migrate
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

import config
from app.clients import registry
from app.clients.client import Client
from app.clients.client_rules import RegistrationError
from app.clock import now
from app.commands.command_group import checked
from app.database import db
from app.errors import RefusedError, cause
from app.keys import cipher, keystore, rotation
from app.logs import log

ASKS = "(an API: it asks about tokens)"
ONE_PREPARES = 9068  # PostgreSQL names advisory locks by number


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
    settings = config.current()
    if cipher.make_secret_file():
        yield "A key for the encryption at rest is in instance/secret-key."
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
        demos = usable_demos(settings)
        for demo in demos:
            seed(demo)
        yield f"The demo clients are registered: {', '.join(demo.client_id for demo in demos) or 'none'}."


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


def refuse_to_start(app: Flask) -> None:
    """End the process of a server that must not start, and say why."""
    if faults := faults_at_start(app):
        click.echo("\n  ".join(["Keyturn does not start:", *faults]), err=True)
        sys.exit(3)  # what gunicorn reads as "failed to boot": after any other code it would try again, for ever


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
            faults.append(f"No token could be signed: {error.reason}. Is the right key in KEYTURN_SECRET_KEYS?")
        except SQLAlchemyError as error:
            log.warning("the database does not answer yet: %s", cause(error))
        finally:
            db.engine.dispose()  # a connection does not survive the fork of a server that loads the app first
        return faults


def welcome(settings: config.Settings) -> str:
    """What `make run` prints: who may ask, and three commands to paste."""
    demos = usable_demos(settings)
    demo = next((each for each in demos if each.client_id == "demo-admin"), None)
    if demo is None:
        return f"Keyturn answers at {settings.issuer}.\n"
    ask = f"curl -s -u {demo.client_id}:{demo.secret} -d grant_type=client_credentials {settings.issuer}/oauth/token"
    pick = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
    clients = "\n".join(f"  {each.client_id:16} {each.secret:42} {each.scope or ASKS}" for each in demos)
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
