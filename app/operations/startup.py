"""This file is what a server looks for when it starts, and what it tells a newcomer then."""

from __future__ import annotations

import sys

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

import config
from app.clients.client import Client
from app.keys import keystore
from app.logs import log
from app.operations.prepare import usable_demos
from app.settings import current_settings
from app.storage.database import cause, db

ASKS = "(an API: it asks about tokens)"


def refuse_to_start(app: Flask) -> None:
    """End the process of a server that must not start, and say why."""
    if faults := faults_at_start(app):
        click.echo("\n  ".join(["Keyturn does not start:", *faults]), err=True)
        sys.exit(3)  # what gunicorn reads as "failed to boot": after any other code it would try again, for ever


def faults_at_start(app: Flask) -> list[str]:
    """Why this server must not start; a database that does not answer is no reason, it may come."""
    with app.app_context():
        faults = list(current_settings().faults)
        if faults or not current_settings().is_production:
            return faults
        try:
            ids = [demo.client_id for demo in config.DEMO_CLIENTS]
            for found in db.session.scalars(select(Client.client_id).where(Client.client_id.in_(ids))):
                faults.append(f"The demo client {found} must not exist in production: `flask clients delete {found}`.")
            if keystore.current_keystore().rows():
                keystore.signer()
        except keystore.NoSigningKeyError as error:
            faults.append(f"No token could be signed: {error}. Is the right key in KEYTURN_SECRET_KEYS?")
        except SQLAlchemyError as error:
            log.warning("the database does not answer yet: %s", cause(error))
        finally:
            # The workers are forked from this process, and no connection survives that: SQLite's would lose
            # what a worker writes. The session lets go of its own first.
            db.session.remove()
            db.engine.dispose()
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
