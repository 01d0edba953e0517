"""Lets one client in Python meet faults of a server: `python -m tests.support.python_clients CLIENT ISSUER NAME…`.

A name is that of a fault client or of an issuer at fault. Prints, for each name in order, a line of JSON: what the
client did. tests/npm/real_clients.mjs does the same with clients from npm.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from requests.adapters import HTTPAdapter
from requests_oauthlib import OAuth2Session

SECRET = "kts_fault-is-for-learning-only"
SCOPE = "read:logs reports:read inventory:read"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the server is on this machine


class Counting(HTTPAdapter):
    """Sends requests, and notes their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(request.path_url)
        return super().send(request, **more)


def authlib(client_id: str) -> tuple[Any, dict[str, str]]:
    return AuthlibSession(client_id, SECRET, scope=SCOPE), {"grant_type": "client_credentials"}


def requests_oauthlib(client_id: str) -> tuple[Any, dict[str, str]]:
    session = OAuth2Session(client=BackendApplicationClient(client_id, scope=SCOPE.split()))
    return session, {"client_id": client_id, "client_secret": SECRET}


# Of each, its session and what it wants besides the address to fetch a token.
CLIENTS = {"Authlib": authlib, "requests-oauthlib": requests_oauthlib}


def raised(error: BaseException) -> dict[str, str]:
    detail = getattr(error, "error", None) or ""
    return {"raises": type(error).__name__, "detail": str(detail)}


def meet(name: str, server: str, fault: str) -> dict[str, Any]:
    """What a client does: it requests a token, and sends it to the sample API."""
    if fault.startswith("/"):
        return {"discovered": {}}  # neither reads metadata
    adapter = Counting()
    session, how = CLIENTS[name](fault)
    session.mount("http://", adapter)
    try:
        token = session.fetch_token(f"{server}/oauth/token", **how)
    except Exception as error:
        return raised(error) | {"sent": adapter.sent}
    found = {"token": "access_token" in token, "expires_in": token.get("expires_in"), "sent": [*adapter.sent]}
    return found | ({"used": use(session, f"{server}/inventory")} if found["token"] else {})


def use(session: Any, url: str) -> dict[str, Any]:
    try:
        return {"status": session.get(url).status_code}
    except Exception as error:
        return raised(error)


if __name__ == "__main__":
    client, server, *faults = sys.argv[1:]
    for each in faults:
        print(json.dumps(meet(client, server, each)), flush=True)  # noqa: T201, it is what a test reads
