"""`flask throwaway`: a server for one run of tests, which ends with the process that started it.

It is in a temporary folder, on 127.0.0.1, in one process, and leaves nothing behind. No setting of its caller counts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
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
from app.settings import read_settings
from app.storage.database import db
from app.storage.fast_statement import current_connections

CLIENT = re.compile(r"([A-Za-z0-9._~-]{1,64}):([A-Za-z0-9._~-]{1,200}):(.*)")
CLIENT_FORM = (
    "it must be ID:SECRET:SCOPE, as in shop:s3cret:orders:read; id and secret are letters, digits and . _ ~ -, "
    "and the words of the scope are separated by spaces"
)
FAULT = "fault"
# Read as soon as the command is loaded: a caller that ends while the server starts is noticed then.
PARENT = os.getppid()


class ClientOption(click.ParamType[config.DemoClient]):
    name = "ID:SECRET:SCOPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> config.DemoClient:
        """The client; with an empty scope an API, which introspects tokens."""
        found = CLIENT.fullmatch(value)
        if not found:
            self.fail(CLIENT_FORM, param, ctx)
        client_id, secret, scope = found.groups()
        if client_id == FAULT or client_id.startswith(FAULT + "-"):
            self.fail(f"the id {client_id} is for the faults, which are there already (docs/faults.md)", param, ctx)
        return config.DemoClient(client_id=client_id, secret=secret, scope=scope)


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
    No KEYTURN_ variable counts. A --client may have any scope; with an empty one it is an API that introspects.
    """
    if os.environ.get("KEYTURN_ENV") == "production":
        raise click.ClickException("KEYTURN_ENV is production: a throw-away server is for tests only")
    if len({each.client_id for each in clients}) < len(clients):
        raise click.ClickException("--client names one client twice")
    clock.move(ahead)
    # Before the folder is there, so that it is removed whenever the signal comes.
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="keyturn-throwaway-", ignore_cleanup_errors=True) as folder:
        serve(Path(folder), port, clients, opaque=opaque, https=https)


def end(number: int, _: FrameType | None) -> None:
    """Remove everything and end; a second signal does not interrupt that."""
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
    """The settings, of which none is the caller's."""
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


def all_clients(clients: Iterable[config.DemoClient], settings: config.Settings) -> list[config.DemoClient]:
    """The clients that were named, and that of the faults, which may request their scopes too."""
    named, demos = list(clients), demo_clients.usable_demos(settings)
    if not named:
        return demos
    own = unknown_words(named, settings)
    apis = [each if each.scope else replace(each, resource_server=settings.audience) for each in named]
    faults = [extended(each, own) for each in demos if each.client_id == FAULT]
    return [with_default(each, settings) for each in apis] + faults


def unknown_words(clients: Iterable[config.DemoClient], settings: config.Settings) -> list[str]:
    """The words of their scopes that keyturn.toml does not declare."""
    known = {word for resource in settings.resources for word in resource.scopes}
    return list(dict.fromkeys(word for each in clients for word in each.scope.split(" ") if word and word not in known))


def extended(client: config.DemoClient, words: list[str]) -> config.DemoClient:
    more = "".join(f" {word}" for word in words)
    return replace(client, scope=client.scope + more, default_scope=(client.default_scope or client.scope) + more)


def with_default(client: config.DemoClient, settings: config.Settings) -> config.DemoClient:
    """The client, whose default scope is for the API of its first word: a token is for one API."""
    audiences = {word: each.audience for each in settings.resources for word in each.scopes}
    words = client.scope.split(" ")
    first = audiences.get(words[0], settings.audience)
    default = " ".join(word for word in words if audiences.get(word, settings.audience) == first)
    return replace(client, default_scope=default or None)


def as_opaque(client: config.DemoClient) -> config.DemoClient:
    """The client with opaque tokens; not that of the faults, which are made of JWTs."""
    return client if client.client_id == FAULT else replace(client, token_format="opaque")


def with_scopes(settings: config.Settings, clients: Iterable[config.DemoClient]) -> config.Settings:
    """The settings, in which the sample API has the words that keyturn.toml does not declare."""
    new = dict.fromkeys(unknown_words(clients, settings), "A scope of --client")
    ours = next((each for each in settings.resources if each.audience == settings.audience), None)
    others = tuple(each for each in settings.resources if each is not ours)
    base = ours or config.Resource("throwaway", settings.audience, {})
    return replace(settings, resources=(replace(base, scopes={**base.scopes, **new}), *others))


def build(folder: Path, settings: config.Settings) -> Flask:
    made: Flask = import_module("app").create_app(settings, instance_path=str(folder))
    return made


def fill(app: Flask, clients: Iterable[config.DemoClient]) -> list[dict[str, str]]:
    """What `flask prepare` creates, with these clients, and what is printed of each."""
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


def shown(client: config.DemoClient) -> dict[str, str]:
    found = {"client_id": client.client_id, "client_secret": client.secret, "scope": client.scope}
    return found | ({"introspects": client.resource_server} if client.resource_server else {})


def close(app: Flask) -> None:
    """End what may still write into the folder."""
    with app.app_context(), suppress(Exception):
        trail.current_batch().close()
        db.session.remove()
        db.engine.dispose()
        current_connections().close()
