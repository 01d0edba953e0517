"""What a server checks at start, and what it then prints for a newcomer."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

import config
from app.clients import undeclared
from app.clients.client_row import ClientRow
from app.keys import keystore
from app.logs import log
from app.operations.demo_clients import usable_demos
from app.settings import current_settings, sign_of_production
from app.storage.database import db
from app.storage.failures import cause
from app.storage.reserved import current_reserved

SIGNS = "(a private key: docs/clients.md)"
INTROSPECTS = "(an API: it introspects tokens)"
OF_FAULTS = {"fault": "(for tests of a client: docs/faults.md)"}
ROOT = Path(__file__).parent.parent.parent
WITHOUT_CONFIGURATION = (
    "gunicorn runs without Keyturn's configuration: it lacks our worker and time-outs, and trusts headers "
    f"that it should not. Start it in {ROOT}, or with --config {ROOT}/gunicorn.conf.py --chdir {ROOT}."
)


def refuse_to_start(app: Flask) -> None:
    """End the process of a server that must not start, and print why."""
    faults = faults_at_start(app)
    if is_gunicorn_without_our_worker():
        if current_settings.of(app).is_production:
            faults.append(WITHOUT_CONFIGURATION)
        else:
            log.warning(WITHOUT_CONFIGURATION)
    if faults:
        refuse(faults, is_production=current_settings.of(app).is_production)


def refuse(faults: Iterable[str], *, is_production: bool = False) -> None:
    if is_production and not sys.stderr.isatty():
        log.critical("Keyturn does not start", extra={"fields": {"faults": list(faults)}})
    else:
        click.echo("\n  ".join(["Keyturn does not start:", *faults]), err=True)
    sys.exit(3)  # gunicorn reads it as "failed to boot": after any other code it would retry forever


def check_hosts(settings: config.Settings, hosts: Iterable[str]) -> None:
    """End the process of a development server that others can reach, unless KEYTURN_ENV is set.

    Args:
        settings: The settings of this server.
        hosts: The addresses that it listens at, names or numbers; not the path of a unix socket.
    """
    outside = next((host for host in hosts if not is_loopback(host)), None)
    sign = sign_of_production(settings) or (outside and f"this server listens at {outside}, beyond loopback")
    if settings.is_production or not sign:
        return
    if not settings.env_is_set:
        refuse([f"KEYTURN_ENV must be set to production, or to development if that is meant, because {sign}."])
    log.warning("KEYTURN_ENV is development, and %s: anyone who reaches it can use the demo clients", sign)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def is_gunicorn_without_our_worker() -> bool:
    """Whether this process is gunicorn's, and gunicorn has not read our gunicorn.conf.py.

    gunicorn looks for it in the directory in which it is started, and not in that of `--chdir`. It
    loads its worker before it loads an app.
    """
    return "gunicorn.arbiter" in sys.modules and "app.serving.gunicorn_worker" not in sys.modules


def faults_at_start(app: Flask) -> list[str]:
    """Why this server must not start; a database that does not respond is no reason, as it may come up later."""
    with app.app_context():
        faults = list(current_settings().faults)
        if faults:
            return faults
        try:
            for sentence in undeclared.all_sentences():
                log.warning("%s", sentence)
            if not current_settings().is_production:
                return faults
            ids = [demo.client_id for demo in config.DEMO_CLIENTS]
            for found in db.session.scalars(select(ClientRow.client_id).where(ClientRow.client_id.in_(ids))):
                faults.append(f"The demo client {found} must not exist in production: `flask clients delete {found}`.")
            if keystore.current_keystore().rows():
                keystore.signer()
        except keystore.NoSigningKeyError as error:
            faults.append(f"No token could be signed: {error}. Is the right key in KEYTURN_SECRET_KEYS?")
        except SQLAlchemyError as error:
            log.warning("the database does not respond yet: %s", cause(error))
        finally:
            # The workers are forked from this process, and no connection survives that: SQLite's would lose
            # what a worker writes. The session releases its own first.
            db.session.remove()
            db.engine.dispose()
            current_reserved().dispose()
        return faults


def welcome(settings: config.Settings) -> str:
    """What `make run` prints: where the playground is, the demo clients, and commands to paste."""
    issuer, demos = settings.issuer, usable_demos(settings)
    clients = "\n".join(
        f"  {each.client_id:16}{each.secret or SIGNS:41}{OF_FAULTS.get(each.client_id, each.scope or INTROSPECTS)}"
        for each in demos
    )
    shown = f"The demo clients, with their secrets and scopes:\n{clients}\n\n" if demos else ""
    return f"""
Keyturn is running. Open the playground in a browser: {issuer}/

{shown}{things_to_try(settings)}
  {"lesson":16}.venv/bin/flask lesson    ticks what you have done, and shows the next step
  {"documents":16}docs/tutorial.md, and docs/README.md for all others
  {"changes":16}to the code and to keyturn.toml are loaded within seconds
  {"stop":16}Ctrl-C
"""


def things_to_try(settings: config.Settings) -> str:
    """Commands of curl, each below what it does; without the client that they use, the JWKS alone."""
    issuer = settings.issuer
    demo = next((each for each in usable_demos(settings) if each.client_id == "demo-admin"), None)
    if demo is None:
        return f"Read the keys that check its tokens:\n  curl -s {issuer}/.well-known/jwks.json\n"
    request = f"curl -s -u {demo.client_id}:{demo.secret} -d grant_type=client_credentials {issuer}/oauth/token"
    first = f"Request a token:\n  {request}\n"
    if not settings.has_sample_api:
        return first
    pick = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
    return f"""{first}
Call a guarded route with it:
  TOKEN=$({request} | {pick})
  curl -s -H "Authorization: Bearer $TOKEN" "{issuer}/admin/logs?limit=3"

Call it without a token, and see the refusal:
  curl -i {issuer}/admin/logs
"""
