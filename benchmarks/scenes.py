"""What is measured: each scene starts a server, sends it requests, and returns its figure."""

from __future__ import annotations

import json
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import register
from benchmarks.server import HTTPS, Figure, Request, Server, Start, gunicorn, served

PEERS = Path(os.environ.get("PEERS") or Path.home() / ".cache" / "keyturn-peers")
PEER_PORT = 8000
PEER_CLIENT = "Basic ZGVtbzpzM2NyZXQ="  # demo:s3cret
TOKENS = 200
FORM = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "read:logs"})

Scene = Callable[[float], Figure]
MakeRequest = Callable[[Server], Request]


@dataclass(frozen=True)
class Site:
    """A database: its environment, and how many clients of each format are in it."""

    environment: Mapping[str, str]
    clients: int

    def floor(self, _: Server) -> Request:
        return Request("/", HTTPS)

    def token(self, token_format: str) -> MakeRequest:
        clients = [register.basic(each) for each in register.callers(token_format, self.clients)]
        return lambda _: Request("/oauth/token", HTTPS, bodies=[FORM], clients=clients)

    def guarded(self, token_format: str) -> MakeRequest:
        return lambda server: Request("/constant", HTTPS, tokens=self.tokens(server, token_format))

    def introspection(self, token_format: str) -> MakeRequest:
        def make_request(server: Server) -> Request:
            bodies = [urllib.parse.urlencode({"token": each}) for each in self.tokens(server, token_format)]
            return Request("/oauth/introspect", HTTPS, bodies=bodies, clients=[register.basic("ktc_api")])

        return make_request

    def tokens(self, server: Server, token_format: str) -> list[str]:
        clients = self.token(token_format)(server).clients
        return [fetch(server, clients[number % len(clients)]) for number in range(TOKENS)]

    def scene(self, make_request: MakeRequest, *, app: str = "app", start: Start = gunicorn, workers: int = 2) -> Scene:
        def run(seconds: float) -> Figure:
            with start(app, self.environment, workers) as server:
                return server.measure(make_request(server), seconds)

        return run


def fetch(server: Server, client: str) -> str:
    request = urllib.request.Request(f"{server.url}/oauth/token", FORM.encode(), {**HTTPS, "Authorization": client})
    with urllib.request.urlopen(request) as response:
        token: str = json.load(response)["access_token"]
    return token


def peers() -> dict[str, Scene]:
    """What people would pick instead, two processes each; none if their folder is missing.

    They keep everything in memory, compare secrets in plaintext and record nothing, except Django OAuth Toolkit.
    """
    if not (PEERS / "oidc.mjs").exists() or not shutil.which("node"):
        return {}
    token = Request("/oauth/token", bodies=[FORM], clients=[PEER_CLIENT])
    slashed = Request("/oauth/token/", bodies=[FORM], clients=[PEER_CLIENT])
    toolkit = [f"{PEERS}/venv/bin/gunicorn", "-w", "2", "-b", f"127.0.0.1:{PEER_PORT}", "dot:application"]

    def shown(_: Server) -> Request:
        return Request("/admin/logs", tokens=[(PEERS / "token.txt").read_text()])

    return {
        "node-oidc-provider, RS256": peer(["node", "oidc.mjs"], lambda _: token, ALG="RS256"),
        "node-oidc-provider, ES256": peer(["node", "oidc.mjs"], lambda _: token, ALG="ES256"),
        "the guide's own stack, opaque": peer(["node", "guide.mjs"], lambda _: token),
        "Django OAuth Toolkit, opaque": peer(toolkit, lambda _: slashed),
        "express-oauth2-jwt-bearer": peer(["node", "jwt-bearer.mjs"], shown),
    }


def peer(command: list[str], make_request: MakeRequest, **environment: str) -> Scene:
    def run(seconds: float) -> Figure:
        with served(command, {**os.environ, **environment}, port=PEER_PORT, cwd=PEERS) as server:
            return server.measure(make_request(server), seconds)

    return run
