"""How many Python functions a request calls, between the server and the last byte of its response.

    python -m benchmarks.calls    prints it as JSON, for each kind of request

Nothing is timed, so it does not depend on the machine: `tests/test_call_guard.py` bounds the counts.
It runs on a new SQLite database in development, each request a few times: the first ones import, connect and
fill caches.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask
from werkzeug.test import EnvironBuilder

from app import create_app
from app.audit.trail import current_batch
from app.settings import read_settings
from config import DEMO_CLIENTS

GRANT = {"grant_type": "client_credentials"}
REPEATED = 4


class Counter:
    """Sends requests to an app, and counts what each calls."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.count = 0

    def __call__(self, path: str, authorization: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """The fewest calls of a few equal requests, and the JSON of the last response."""
        counts, body = [], b""
        for _ in range(REPEATED):
            method, headers = "POST" if form else "GET", {"Authorization": authorization}
            environ = EnvironBuilder(path, method=method, data=form, headers=headers).get_environ()
            self.count = 0
            sys.setprofile(self.profile)
            try:
                body = b"".join(self.app.wsgi_app(environ, start_response))
            finally:
                sys.setprofile(None)
            counts.append(self.count)
        return min(counts), json.loads(body)

    def profile(self, _: object, event: str, __: object) -> None:
        self.count += event == "call"


def start_response(status: str, _: object, __: object = None) -> Callable[[bytes], object]:
    if not status.startswith("200"):
        raise AssertionError(status)
    return sys.stdout.buffer.write


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def measure(app: Flask) -> dict[str, int]:
    demos = {each.client_id: basic(each.client_id, each.secret) for each in DEMO_CLIENTS}
    calls = Counter(app)
    jwt, response = calls("/oauth/token", demos["demo-admin"], GRANT)
    opaque, _ = calls("/oauth/token", demos["demo-opaque"], GRANT)
    guarded, _ = calls("/inventory", f"Bearer {response['access_token']}")
    _, response = calls("/oauth/token", demos["demo-partner"], GRANT | {"scope": "shipments:read"})
    introspection, _ = calls("/oauth/introspect", demos["demo-shipments"], {"token": response["access_token"]})
    return {"token, JWT": jwt, "token, opaque": opaque, "guarded route": guarded, "introspection": introspection}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "KEYTURN_DATABASE_URL": f"sqlite:///{folder}/keyturn.db",
            "KEYTURN_JOURNAL": "off",  # it is a layer around the app, in development alone
            "KEYTURN_SECRET_KEYS": Fernet.generate_key().decode(),
        }
        app = create_app(read_settings(settings))
        prepared = app.test_cli_runner().invoke(args=["prepare"])
        if prepared.exit_code != 0:
            raise AssertionError(prepared.output)
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # the lines are written, as in a server
            logging.getLogger("keyturn").handlers[0].setStream(nowhere)  # type: ignore[attr-defined]
            sys.stdout.write(json.dumps(measure(app)) + "\n")
            current_batch.of(app).close()  # its thread writes into the folder


if __name__ == "__main__":
    main()
