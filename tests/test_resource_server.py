"""`examples/resource_server.py` as a process of its own, beside a live Keyturn: all they share is HTTP."""

from __future__ import annotations

import ast
import json
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from app.clock import now
from tests.conftest import ROOT, LiveServer, build_app, close, free_port, responds, wait_for
from tests.support import forging
from tests.support.calling import send_form
from tests.support.leaks import suite

FILE = ROOT / "examples" / "resource_server.py"
AUDIENCE = "http://127.0.0.1:8001"
SCOPE = "shipments:read"


@dataclass
class Api:
    """The example, running."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, token: str | None, path: str = "/shipments") -> tuple[int, dict[str, str], Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, headers=headers), timeout=30
            ) as response:
                return response.status, dict(response.headers), json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                body = error.read()
                return error.code, dict(error.headers), json.loads(body) if body.startswith(b"{") else body

    def status(self, token: str | None) -> int:
        return self.get(token)[0]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Starts the example for an issuer; at the end its log is searched for tokens, like all logs."""
    running: list[Api] = []

    def start(issuer: str, check: str, **environment: str) -> Api:
        port = free_port()
        log = tmp_path / f"api-{port}.log"
        with log.open("wb") as output:
            command = [sys.executable, str(FILE), "--check", check, "--port", str(port)]
            settings = {"ISSUER": issuer, "PATH": "/usr/bin", **environment}
            process = subprocess.Popen(command, env=settings, stdout=output, stderr=output)
        running.append(Api(process, f"http://127.0.0.1:{port}", log))
        wait_for(lambda: responds(running[-1].url))
        return running[-1]

    yield start
    for api in running:
        api.process.terminate()
        api.process.wait(timeout=30)
        suite.record(api.log.read_text())


@pytest.fixture
def keyturn(live: Callable[..., LiveServer]) -> LiveServer:
    return live()


def shipments_token(server: LiveServer, client: str = "demo-partner") -> str:
    return send_form(server, client, scope=SCOPE)


@pytest.mark.parametrize(
    ("check", "client"),
    [("jwt", "demo-partner"), ("introspection", "demo-partner"), ("introspection", "demo-opaque")],
)
def test_a_partner_reads_the_delivery_status(
    keyturn: LiveServer, started: Callable[..., Api], check: str, client: str
) -> None:
    api, token = started(keyturn.url, check), shipments_token(keyturn, client)

    assert api.get(token)[2] == {"asked_by": client, "shipments": ["4711", "4712"]}
    assert api.get(token, "/shipments/4711")[2]["status"] == "out for delivery"
    assert api.get(token, "/shipments/9999")[0] == 404


@pytest.mark.parametrize("check", ["jwt", "introspection"])
def test_R101_R103_refusals_have_the_challenges_of_the_rfc(
    keyturn: LiveServer, started: Callable[..., Api], check: str
) -> None:
    api = started(keyturn.url, check)
    app = build_app(database_url=keyturn.environment["KEYTURN_DATABASE_URL"], issuer=keyturn.url)
    without_scope = forging.with_our_key(app, forging.claims(iss=keyturn.url, aud=AUDIENCE, scope="other"))
    close(app)

    missing, other_api, lacking = api.get(None), api.get(send_form(keyturn, "demo-admin")), api.get(without_scope)

    assert (missing[0], missing[1]["WWW-Authenticate"], missing[2]) == (401, 'Bearer realm="shipments"', {})
    assert (other_api[0], other_api[2]) == (401, {"error": "invalid_token"})
    assert other_api[1]["WWW-Authenticate"] == 'Bearer realm="shipments", error="invalid_token"'
    assert lacking[0] == 403
    assert lacking[1]["WWW-Authenticate"].endswith(f'error="insufficient_scope", scope="{SCOPE}"')


@pytest.mark.parametrize("client", ["demo-partner", "demo-opaque"])
def test_a_token_is_accepted_revoked_and_refused(keyturn: LiveServer, started: Callable[..., Api], client: str) -> None:
    api, token = started(keyturn.url, "introspection"), shipments_token(keyturn, client)
    assert api.status(token) == 200

    send_form(keyturn, client, "/oauth/revoke", token=token)

    wait_for(lambda: api.status(token) == 401)


def test_by_its_signature_alone_a_revoked_token_is_good_until_it_expires(
    keyturn: LiveServer, started: Callable[..., Api]
) -> None:
    api, token = started(keyturn.url, "jwt"), shipments_token(keyturn)

    send_form(keyturn, "demo-partner", "/oauth/revoke", token=token)

    assert api.status(token) == 200


@pytest.mark.parametrize("check", ["jwt", "introspection"])
def test_when_the_keys_are_rotated_both_go_on(keyturn: LiveServer, started: Callable[..., Api], check: str) -> None:
    api, old = started(keyturn.url, check), shipments_token(keyturn)
    assert api.status(old) == 200

    keyturn.flask("keys", "rotate", "--now")

    wait_for(lambda: api.status(shipments_token(keyturn)) == 200)
    assert api.status(old) == 200


def test_when_the_authorization_server_is_down_signatures_are_checked_and_introspection_is_503(
    keyturn: LiveServer, started: Callable[..., Api]
) -> None:
    by_key, by_asking = started(keyturn.url, "jwt"), started(keyturn.url, "introspection")
    token = shipments_token(keyturn)
    assert (by_key.status(token), by_asking.status(token)) == (200, 200)

    keyturn.stop()

    assert by_key.status(token) == 200
    assert by_key.status(token[:-3] + "AAA") == 401
    wait_for(lambda: by_asking.status(token) == 503)
    status, headers, body = by_asking.get("kta_unknown")
    assert (status, body) == (503, {"error": "temporarily_unavailable"})
    assert int(headers["Retry-After"]) > 0


def test_without_keys_nobody_is_let_in_until_there_are_some(
    live: Callable[..., LiveServer], started: Callable[..., Api]
) -> None:
    server = live()
    token = shipments_token(server)
    server.stop()
    api = started(server.url, "jwt")

    assert api.status(token) == 503

    port = server.environment["PORT"]
    again = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"], PORT=port)
    assert again.url == server.url
    wait_for(lambda: api.status(token) == 200)


@pytest.mark.parametrize("check", ["jwt", "introspection"])
def test_R069_attacks_are_refused_in_both_ways(keyturn: LiveServer, started: Callable[..., Api], check: str) -> None:
    api = started(keyturn.url, check)
    app = build_app(database_url=keyturn.environment["KEYTURN_DATABASE_URL"], issuer=keyturn.url)

    def claims(**changes: Any) -> dict[str, Any]:
        return forging.claims(iss=keyturn.url, aud=AUDIENCE, scope=SCOPE) | changes

    good = forging.with_our_key(app, claims())
    forged = {
        "garbage": "garbage",
        "half a token": good[: len(good) // 2],
        "alg none": forging.unsigned(app, claims()),
        "the public key as a secret": forging.with_the_public_key_as_secret(app, claims()),
        "another server's key under our kid": forging.with_a_foreign_key(app, claims()),
        "another issuer": forging.with_our_key(app, claims(iss="https://evil.example")),
        "another audience": forging.with_our_key(app, claims(aud=keyturn.url)),
        "another typ": forging.with_our_key(app, claims(), typ="JWT"),
        "no typ": forging.with_our_key(app, claims(), typ=forging.LEFT_OUT),
        "an unknown kid": forging.with_our_key(app, claims(), kid="unknown"),
        "a kid that is a list": forging.with_our_key(app, claims(), kid=["x"]),
        "expired": forging.with_our_key(app, claims(exp=now() - 1)),
        "expiry as text": forging.with_our_key(app, claims(exp="soon")),
        "scope a number": forging.with_our_key(app, claims(scope=5)),
        "client a list": forging.with_our_key(app, claims(client_id=[])),
        "no object": forging.with_our_key(app, b"[]"),
        "brackets": forging.with_our_key(app, b"[" * 4_000),
        "ten thousand bytes": "x" * 10_000,
    }
    close(app)

    assert api.status(good) == 200
    assert {name: api.status(token) for name, token in forged.items()} == dict.fromkeys(forged, 401)


@dataclass
class Impostor:
    """An authorization server whose responses a test chooses, and which records the requests.

    A document that begins with `=> ` is a redirect to the address after it.
    """

    url: str
    documents: dict[str, Any]
    paths: list[str]
    credentials: list[str]
    redirect: int = 302


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with serving() as made:
        yield made


@pytest.fixture
def elsewhere() -> Iterator[Impostor]:
    """The target of a redirect."""
    with serving() as made:
        yield made


@contextmanager
def serving() -> Iterator[Impostor]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.paths.append(self.path)
            made.credentials.append(self.headers.get("Authorization", ""))
            document = made.documents.get(self.path, b"")
            location = document.removeprefix("=> ") if isinstance(document, str) else ""
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(made.redirect if location else 200 if body else 404)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Impostor(f"http://127.0.0.1:{server.server_port}", {}, [], [])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


METADATA, JWKS = "/.well-known/oauth-authorization-server", "/keys"
NAMED = {"issuer": "URL", "jwks_uri": "KEYS", "introspection_endpoint": "URL/introspect"}


def serve(impostor: Impostor, key: jwk.Key, kid: str) -> str:
    """Publish a key at the impostor, and return a token signed with this key."""
    impostor.documents = {
        METADATA: {"issuer": impostor.url, "jwks_uri": impostor.url + JWKS},
        JWKS: {"keys": [{**key.as_dict(private=False), "kid": kid, "alg": "ES256"}]},
    }
    claims = forging.claims(iss=impostor.url, aud=AUDIENCE, scope=SCOPE)
    return jwt.encode({"alg": "ES256", "kid": kid, "typ": "at+jwt"}, claims, key)


def test_the_keys_are_fetched_once_and_forged_kids_do_not_make_it_hammer(
    impostor: Impostor, started: Callable[..., Api]
) -> None:
    key = jwk.ECKey.generate_key("P-256")
    token = serve(impostor, key, "one")
    api = started(impostor.url, "jwt")
    for _ in range(5):
        assert api.status(token) == 200
    assert impostor.paths == [METADATA, JWKS]

    forged = [serve(impostor, key, f"forged-{n}") for n in range(20)]
    assert {api.status(each) for each in forged[:-1]} == {401}

    assert impostor.paths.count(JWKS) <= 3
    wait_for(lambda: api.status(forged[-1]) == 200)  # once it may fetch again, it has the new key


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param({METADATA: {**NAMED, "issuer": "https://evil.example"}}, id="another-issuer"),
        pytest.param({METADATA: b"not json"}, id="no-json"),
        pytest.param({METADATA: []}, id="no-object"),
        pytest.param({METADATA: {"issuer": "URL"}}, id="no-address"),
        pytest.param({METADATA: {"issuer": "URL", "jwks_uri": "KEYS"}, JWKS: {"keys": [{}]}}, id="no-key"),
        pytest.param({METADATA: {"issuer": "URL", "jwks_uri": "KEYS"}, JWKS: {"keys": 5}}, id="no-list"),
        pytest.param({}, id="404"),
    ],
)
def test_a_broken_or_foreign_description_lets_nobody_in(
    impostor: Impostor, started: Callable[..., Api], documents: dict[str, Any]
) -> None:
    token = serve(impostor, jwk.ECKey.generate_key("P-256"), "one")
    keys = impostor.documents[JWKS]
    text = json.dumps({path: document for path, document in documents.items() if not isinstance(document, bytes)})
    filled = json.loads(text.replace("URL", impostor.url).replace("KEYS", impostor.url + JWKS))
    impostor.documents = {JWKS: keys} | {path: filled.get(path, document) for path, document in documents.items()}

    for check in ("jwt", "introspection"):
        assert started(impostor.url, check).status(token) == 503


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_attack_a_redirect_of_introspection_gets_no_secret_and_is_not_trusted(
    impostor: Impostor, elsewhere: Impostor, started: Callable[..., Api], status: int
) -> None:
    claims = forging.claims(iss=impostor.url, aud=AUDIENCE, scope=SCOPE)
    elsewhere.documents = {"/introspect": {"active": True, **claims}}
    impostor.redirect = status
    impostor.documents = {
        METADATA: {"issuer": impostor.url, "introspection_endpoint": f"{impostor.url}/introspect"},
        "/introspect": f"=> {elsewhere.url}/introspect",
    }
    api = started(impostor.url, "introspection")

    assert api.status("garbage") == 503

    assert elsewhere.paths == elsewhere.credentials == []
    assert f"{impostor.url}/introspect: HTTP status {status}, a redirect, which is not followed" in api.log.read_text()


@pytest.mark.parametrize("check", ["jwt", "introspection"])
def test_attack_a_redirect_of_the_metadata_is_not_followed(
    impostor: Impostor, elsewhere: Impostor, started: Callable[..., Api], check: str
) -> None:
    token = serve(elsewhere, jwk.ECKey.generate_key("P-256"), "one")
    named = {"issuer": impostor.url, "jwks_uri": elsewhere.url + JWKS, "introspection_endpoint": elsewhere.url + "/i"}
    elsewhere.documents |= {METADATA: named}
    impostor.documents = {METADATA: f"=> {elsewhere.url}{METADATA}"}

    assert started(impostor.url, check).status(token) == 503

    assert elsewhere.paths == []


def test_attack_a_redirect_of_the_keys_is_not_followed(
    impostor: Impostor, elsewhere: Impostor, started: Callable[..., Api]
) -> None:
    key = jwk.ECKey.generate_key("P-256")
    token = serve(impostor, key, "one")
    elsewhere.documents = {JWKS: impostor.documents[JWKS]}
    impostor.documents[JWKS] = f"=> {elsewhere.url}{JWKS}"

    assert started(impostor.url, "jwt").status(token) == 503

    assert elsewhere.paths == []


@pytest.mark.parametrize("check", ["jwt", "introspection"])
def test_its_log_names_its_issuer_its_audience_and_the_address_that_failed(
    started: Callable[..., Api], check: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    api = started(nowhere, check)
    token = jwt.encode({"alg": "ES256", "kid": "x"}, {}, jwk.ECKey.generate_key("P-256"))

    assert api.status(token) == 503

    log = api.log.read_text()
    assert f"tokens of the issuer {nowhere} for the audience {AUDIENCE}, checked by {check}" in log
    assert re.search(re.escape(f"{nowhere}{METADATA}: ") + ".*Connection refused", log)


def test_its_help_names_every_setting_that_it_reads() -> None:
    output = subprocess.run([sys.executable, str(FILE), "--help"], capture_output=True, text=True, check=True).stdout

    settings = re.findall(r'os\.environ\.get\("(\w+)"', FILE.read_text())
    assert len(settings) == 4
    assert [name for name in settings if f"  {name} " not in output] == []


def test_a_server_that_never_responds_is_given_up(started: Callable[..., Api]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        for check in ("jwt", "introspection"):
            token = jwt.encode({"alg": "ES256", "kid": "x"}, {}, jwk.ECKey.generate_key("P-256"))
            assert started(url, check).status(token) == 503


def test_a_secret_of_ours_that_is_wrong_fails_closed(keyturn: LiveServer, started: Callable[..., Api]) -> None:
    api = started(keyturn.url, "introspection", CLIENT_SECRET="kts_wrong")

    assert api.status(shipments_token(keyturn)) == 503


def test_it_needs_nothing_of_the_sample_api(live: Callable[..., LiveServer], started: Callable[..., Api]) -> None:
    server = live(KEYTURN_SAMPLE_API="off")

    for check in ("jwt", "introspection"):
        assert started(server.url, check).status(shipments_token(server)) == 200


def test_it_depends_on_nothing_of_keyturn_but_http() -> None:
    tree = ast.parse(FILE.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }

    packages = {str(name).partition(".")[0] for name in imported}
    assert not packages & {"app", "config", "tests", "wsgi"}
    assert packages - sys.stdlib_module_names == {"authlib", "flask", "joserfc", "werkzeug"}
