"""`flask throwaway`: a server for one run of tests, which ends with the process that started it.

It runs in one process, on 127.0.0.1, with its files in a temporary folder, which it removes. It ignores the caller's
settings.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import click
from cryptography.fernet import Fernet
from flask import Flask

import config
from app import clock
from app.api import stock
from app.audit import trail
from app.clients.registration_rules import RegistrationError
from app.keys import rotation
from app.operations import demo_clients, prepare
from app.operations.exit_codes import exit_codes
from app.operations.throwaway_clients import ClientOption, all_clients, as_opaque, shown, with_scopes
from app.settings import read_settings
from app.storage.database import db
from app.storage.fast_statement import current_connections
from app.storage.reserved import current_reserved

# Read as soon as the command is loaded, so that the server also ends if its caller ends during the start.
PARENT = os.getppid()


@click.command("throwaway")
@click.option("--client", "clients", type=ClientOption(), multiple=True, help="A client, in place of the demo clients.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Its port; a free one without this option.")
@click.option(
    "--clock", "ahead", type=int, default=0, help="Seconds by which its clock is ahead, or behind if below 0."
)
@click.option("--opaque", is_flag=True, help="Its clients get opaque tokens.")
@click.option("--https", is_flag=True, help="Serve https, with a CA of its own.")
def throwaway(clients: tuple[config.DemoClient, ...], port: int, ahead: int, opaque: bool, https: bool) -> None:
    """Run a server for a test suite, until it is stopped or the process that started it ends.

    It prints one line of JSON when it is ready: issuer, clients, pid, and with --https the file of its CA.
    It ignores KEYTURN_ variables. A --client may have any scope; with an empty one it is an API that introspects.
    """
    if os.environ.get("KEYTURN_ENV") == "production":
        raise click.ClickException("KEYTURN_ENV is production: a throw-away server is for tests only")
    if len({each.client_id for each in clients}) < len(clients):
        raise click.ClickException("--client names one client twice")
    clock.move(ahead)
    # Before the folder is created, so that the folder is removed whenever the signal arrives.
    signal.signal(signal.SIGTERM, end)
    with (
        exit_codes(()),
        tempfile.TemporaryDirectory(prefix="keyturn-throwaway-", ignore_cleanup_errors=True) as folder,
    ):
        serve(Path(folder), port, clients, opaque=opaque, https=https)


def end(number: int, _: FrameType | None) -> None:
    """End, and remove the folder; a second signal does not interrupt that."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def serve(folder: Path, port: int, clients: tuple[config.DemoClient, ...], *, opaque: bool, https: bool) -> None:
    from app.operations.throwaway_server import ThrowawayServer, listen, own_certificate

    listener = listen(port)
    issuer = f"{'https' if https else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    settings = settings_for(folder, issuer)
    chosen = [as_opaque(each) if opaque else each for each in all_clients(clients, settings)]
    app = build(folder, with_scopes(settings, chosen))
    try:
        registered = fill(app, chosen)
        ready = {"issuer": issuer, "clients": registered, "pid": os.getpid()}
        context = own_certificate(folder) if https else None
        server = ThrowawayServer(app, listener, PARENT, context)
        click.echo(json.dumps(ready | ({"ca": str(folder / "ca.pem")} if https else {})))
        server.serve_forever(poll_interval=0.1)
    finally:
        close(app)


def settings_for(folder: Path, issuer: str) -> config.Settings:
    """The settings, independent of the caller's."""
    given: Mapping[str, str] = {
        "KEYTURN_ENV": "development",
        "KEYTURN_ISSUER": issuer,
        "KEYTURN_DATABASE_URL": f"sqlite:///{folder}/keyturn.db",
        "KEYTURN_SECRET_KEYS": Fernet.generate_key().decode(),
    }
    settings = read_settings(given)
    if settings.faults:
        raise click.ClickException("\n".join(settings.faults))
    return settings


def build(folder: Path, settings: config.Settings) -> Flask:
    made: Flask = import_module("app").create_app(settings, instance_path=str(folder))
    return made


def fill(app: Flask, clients: Iterable[config.DemoClient]) -> list[dict[str, Any]]:
    """Create what `flask prepare` creates, with these clients, and return what is printed of each."""
    with app.app_context():
        prepare.migrate()
        rotation.make_first()
        stock.fill_if_empty()
        try:
            for each in clients:
                demo_clients.seed(each, is_new=True)
        except RegistrationError as error:
            raise click.ClickException(str(error).replace("config.py, ", "--client ")) from error
    return [shown(each) for each in clients]


def close(app: Flask) -> None:
    """Stop everything that may still write into the folder."""
    with app.app_context(), suppress(Exception):
        trail.current_batch().close()
        db.session.remove()
        db.engine.dispose()
        current_connections().close()
        current_reserved().dispose()
