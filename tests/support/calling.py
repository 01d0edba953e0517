"""Requests to a running server, each over a connection of its own, so that any worker may respond."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import config
from tests.conftest import LiveServer
from tests.support.leaks import suite

BASIC = b64encode(b"demo-admin:kts_demo-admin-is-for-learning-only").decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def call(
    server: LiveServer, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send one request over a connection of its own, so that any worker may respond."""
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()


def send_form(server: LiveServer, client_id: str, path: str = "/oauth/token", **form: str) -> str:
    """Send a form as a demo client; it must succeed.

    Returns:
        The access token, if the response has one.
    """
    secret = next(demo.secret for demo in config.DEMO_CLIENTS if demo.client_id == client_id)
    basic = b64encode(f"{client_id}:{secret}".encode()).decode()
    body = urlencode({"grant_type": "client_credentials", **form})
    status, _, received = call(server, "POST", path, body, Authorization=f"Basic {basic}", **FORM)
    assert status == 200, received
    issued = str(json.loads(received).get("access_token", ""))
    suite.remember(issued)
    return issued


def token(server: LiveServer, scope: str = "") -> str:
    return send_form(server, "demo-admin", scope=scope)


def events(server: LiveServer, query: str) -> list[dict[str, object]]:
    status, _, received = call(server, "GET", f"/admin/logs?{query}", Authorization=f"Bearer {token(server)}")
    assert status == 200
    return list(json.loads(received)["events"])
