"""Clients of others that authenticate by a private key, and two servers that are sent one assertion at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from flask import Flask
from joserfc import jwk

from tests.conftest import ISSUER, LiveServer, free_port
from tests.support.calling import FORM, call
from tests.support.keyed import GRANT, TYPE, Keyed, register
from tests.support.npm import Npm


class ShortLived(PrivateKeyJWT):
    """As docs/keys.md has it. Authlib's own assertion lives for an hour, and names the token endpoint."""

    def __init__(self, issuer: str, kid: str) -> None:
        super().__init__()
        self.issuer, self.kid = issuer, kid

    def sign(self, auth: OAuth2Session, _: str) -> str:
        header = {"kid": self.kid}
        return str(private_key_jwt_sign(
            auth.client_secret, auth.client_id, self.issuer, alg="ES256", header=header, expires_in=60
        ))  # fmt: skip


def test_what_authlib_signs_by_default_is_refused_and_what_it_can_sign_is_accepted(app: Flask, tmp_path: Path) -> None:
    client = register(app, tmp_path)
    usual = private_key_jwt_sign(client.key, client.client_id, f"{ISSUER}/oauth/token", alg="ES256")
    an_hour = private_key_jwt_sign(client.key, client.client_id, ISSUER, alg="ES256")
    right = private_key_jwt_sign(client.key, client.client_id, ISSUER, alg="ES256", expires_in=60)

    assert client.send(usual).json["hint"] == f"aud must be {ISSUER}, and is the address of an endpoint"
    assert "exp is 60 minutes ahead" in client.send(an_hour).json["hint"]
    assert client.send(right).status_code == 200


def on_a_server(server: LiveServer, folder: Path) -> tuple[str, str, Path]:
    """The id of a client of a running server, its `kid`, and the file of its private key."""
    file = folder / "key.pem"
    options = ("--scope", "read:logs", "--resource-server", server.url, "--generate-key", str(file), "--json")
    made = json.loads(server.flask("clients", "create", "keyed", *options))
    return made["client_id"], made["keys"][0]["kid"], file


@pytest.mark.tools
def test_authlibs_session_gets_tokens_by_a_private_key(live: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = live()
    client_id, kid, file = on_a_server(server, tmp_path)
    key = jwk.ECKey.import_key(file.read_text())
    session = OAuth2Session(client_id, key, token_endpoint_auth_method="private_key_jwt")
    session.register_client_auth_method(ShortLived(server.url, kid))

    for _ in range(2):
        token = session.fetch_token(f"{server.url}/oauth/token", grant_type="client_credentials", scope="read:logs")
        assert session.get(f"{server.url}/admin/logs", timeout=30).status_code == 200
        assert token["scope"] == "read:logs"


@pytest.mark.tools
def test_openid_client_gets_introspects_and_revokes_a_token_by_a_private_key(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    server = live()
    client_id, kid, file = on_a_server(server, tmp_path)

    done = npm.node("private_key_jwt.mjs", server.url, client_id, str(file), kid)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["token"]["token_type"] == "bearer"
    assert found["introspected"]["client_id"] == client_id
    assert found["after"] == {"active": False}


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_R036_of_two_hundred_replays_at_once_on_two_servers_one_is_accepted(
    live: Callable[..., LiveServer], prepared: Callable[[str], str], tmp_path: Path, kind: str
) -> None:
    url, port = prepared(kind), free_port()
    issuer = f"http://127.0.0.1:{port}"
    # Without a limit of failures, which would end them with 429.
    settings = {
        "KEYTURN_DATABASE_URL": url,
        "KEYTURN_ISSUER": issuer,
        "KEYTURN_LIMIT_FAILURES": "",
        "KEYTURN_LIMIT_ADDRESS": "",
    }
    first = live(PORT=str(port), **settings)
    servers = [first, live(**settings)]
    client_id, _, file = on_a_server(first, tmp_path)
    assertion = Keyed(None, client_id, jwk.ECKey.import_key(file.read_text())).make(aud=issuer)  # type: ignore[arg-type]
    body = urlencode(GRANT | {"client_assertion": assertion, "client_assertion_type": TYPE})

    with ThreadPoolExecutor(40) as pool:
        sent = pool.map(lambda number: call(servers[number % 2], "POST", "/oauth/token", body, **FORM)[0], range(200))

    statuses = list(sent)
    assert (statuses.count(200), statuses.count(401)) == (1, 199)
