"""The requests of the slips, filled and sent in process, as static/slip-request.js does it in the page."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote_plus

import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.clock import now
from app.playground.slip import Slip
from tests.conftest import Machine, demo

PADDING = "x" * 17_000


def tampered(token: str) -> str:
    """The token with one character of its claims changed."""
    header, claims, signature = token.split(".")
    middle = len(claims) // 2
    return f"{header}.{claims[:middle]}{'B' if claims[middle] == 'A' else 'A'}{claims[middle + 1 :]}.{signature}"


def acting_as(client: Machine, slip: Slip) -> Machine:
    return Machine(client.app, slip.acts_as or client.client_id, client.secret)


def values(app: Flask, slip: Slip) -> dict[str, str]:
    """What the placeholders of a slip stand for."""
    client, owner = acting_as(demo(app, slip.client), slip), acting_as(demo(app, slip.token_of or slip.client), slip)
    found = {
        "client_id": client.client_id,
        "secret": client.secret,
        "encoded_secret": client.secret.replace("-", "%2D").replace("_", "%5F"),
        "basic": b64encode(f"{client.client_id}:{client.secret}".encode()).decode(),
        "padding": PADDING,
    }
    if "token}" in json.dumps([slip.request.path, slip.request.headers, slip.request.form]):
        token = owner.token(**{"scope": slip.scope} if slip.scope else {})
        found |= {"token": token, "half_token": token[: len(token) // 2], "tampered_token": tampered(token)}
        found |= {"expired_token": token, "revoked_token": token}
    if "{revoked_token}" in str(slip.request.headers):
        assert owner.revoke(found["revoked_token"]).status_code == 200
    return found


def send(app: Flask, slip: Slip) -> TestResponse:
    known = values(app, slip)

    def fill(text: str) -> str:
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    request = slip.request
    headers = {name: fill(value) for name, value in request.headers} | {"X-Keyturn-Checks": "record"}
    if request.basic:
        pair = ":".join(map(fill, request.basic))
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    body = request.body
    if request.form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = "&".join(f"{name}={quote_plus(fill(value))}" for name, value in request.form)
    waited = 3 if "{expired_token}" in str(request.headers) else 0
    with time_machine.travel(now() + waited, tick=False):
        return app.test_client().open(fill(request.path), method=request.method, headers=headers, data=body)
