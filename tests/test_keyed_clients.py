"""Clients of others that authenticate by a private key, and two servers that are sent one assertion at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from flask import Flask
from joserfc import jwk

from tests.conftest import ISSUER, ROOT, LiveServer, free_port, missing
from tests.support.calling import FORM, call
from tests.support.keyed import GRANT, TYPE, Keyed, register
from tests.support.npm import FOLDER as NPM
from tests.support.npm import Npm


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


# Of a language in docs/clients.md: the file, what runs it, and the packages of Debian that have that.
PROGRAMS = {
    "python": ("call_api.py", (sys.executable,), ""),
    "js": ("call_api.mjs", ("node",), "nodejs npm"),
    "go": ("call_api.go", ("go", "run"), "golang-go golang-golang-x-oauth2-dev"),
    "java": ("CallApi.java", ("java",), "default-jdk-headless"),
}
# Debian's Go has x/oauth2 as source, and fetches nothing.
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}


@pytest.mark.parametrize(
    "language", ["python", *(pytest.param(each, marks=pytest.mark.tools) for each in ("js", "go", "java"))]
)
def test_the_program_on_the_page_gets_a_token_by_a_private_key_and_calls_the_api(
    live: Callable[..., LiveServer], request: pytest.FixtureRequest, tmp_path: Path, language: str
) -> None:
    name, command, packages = PROGRAMS[language]
    if not shutil.which(command[0]) or (language == "java" and not shutil.which("javac")):
        missing(command[0], install=f"it runs a program of docs/clients.md (apt install {packages})")
    if language == "js":
        request.getfixturevalue("npm")
        (tmp_path / "node_modules").symlink_to(NPM / "node_modules")
    server = live()
    client_id, kid, file = on_a_server(server, tmp_path)
    shown = program(language, server.url, client_id, kid, file)
    (tmp_path / name).write_text(shown, encoding="utf-8")

    done = subprocess.run(
        [*command, name], cwd=tmp_path, env=os.environ | GO, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("200\n", "")
    (key,) = json.loads(server.flask("clients", "keys", "keyed", "--json"))["keys"]
    assert key["last_used_at"]


def program(language: str, url: str, client_id: str, kid: str, file: Path) -> str:
    """The program of a language on the page, for a client that is there."""
    (shown,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL)
    for example, real in (
        ("http://127.0.0.1:8000", url),
        ('"ktc_…"', f'"{client_id}"'),
        ('"…"', f'"{kid}"'),
        ("signer.pem", str(file)),
    ):
        assert shown.count(example) == 1
        shown = shown.replace(example, real)
    return shown


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
