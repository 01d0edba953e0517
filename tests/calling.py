"""This file calls a running server, each time over a connection of its own, so that any worker may answer."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from contextlib import closing
from urllib.parse import urlsplit

from tests.conftest import LiveServer
from tests.leaks import suite

BASIC = b64encode(b"demo-admin:kts_demo-admin-is-for-learning-only").decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def call(
    server: LiveServer, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own, so that any worker may answer."""
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()


def token(server: LiveServer, scope: str = "") -> str:
    body = f"grant_type=client_credentials&scope={scope}"
    status, _, answer = call(server, "POST", "/oauth/token", body, Authorization=f"Basic {BASIC}", **FORM)
    assert status == 200, answer
    issued = str(json.loads(answer)["access_token"])
    suite.remember(issued)
    return issued


def events(server: LiveServer, query: str) -> list[dict[str, object]]:
    status, _, answer = call(server, "GET", f"/admin/logs?{query}", Authorization=f"Bearer {token(server)}")
    assert status == 200
    return list(json.loads(answer)["events"])
