"""Hostile input: any bytes to any route get a refusal in JSON, never a 500.

In process, by Hypothesis: a minute of it in `make test`, 100,000 inputs in `make fuzz`. What only a socket
can send (broken chunking, slow bodies) is in `test_sockets.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from app.clock import now
from app.per_app import PerApp
from app.request_body import FORM
from tests.conftest import ISSUER, Machine, Operator, build_app, close
from tests.support import forging

INPUTS = int(os.environ.get("FUZZ_INPUTS") or 4_000)
MARK = "reflected-mark"
ATTACKER = PerApp[Machine]("attacker")
HTTPS = {"X-Forwarded-Proto": "https"}
PATHS = [
    "/oauth/token",
    "/oauth/introspect",
    "/oauth/revoke",
    "/admin/logs",
    "/internal/reports",
    "/inventory",
    "/inventory/pallet",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/errors/",
    "/errors/invalid_client",
    "/openapi.json",
    "/admin//logs",
    "//",
    "/oauth/token/",
    "/inventory/..",
]
FIELDS = [
    "grant_type",
    "scope",
    "client_id",
    "client_secret",
    "resource",
    "access_token",
    "token",
    "token_type_hint",
    "limit",
    "before",
    "hours",
    "x",
]
MEDIA_TYPES = [
    "application/x-www-form-urlencoded",
    "application/json",
    "multipart/form-data; boundary=b",
    "text/plain",
    "",
]

marked = st.text(max_size=30).map(lambda text: text + MARK)
header_characters = st.characters(max_codepoint=255, exclude_characters="\r\n\x00")
header_text = st.text(header_characters, max_size=60)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | marked,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(
    st.sampled_from(FIELDS), marked | st.sampled_from(["client_credentials", "read:logs", "", "5"])
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=17_000, max_size=17_001),
    anything.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    fields.map(lambda form: "&".join(f"{name}={text}" for name, text in form.items()).encode("utf-8", "replace")),
    st.text(max_size=30).map(
        lambda text: f"grant_type=client_credentials&scope={quote(text, errors='replace')}".encode()
    ),
)
credentials = st.one_of(
    header_text,
    header_text.map("Basic {}".format),
    header_text.map("Bearer {}".format),
    st.sampled_from(
        ["Basic", "Bearer", "bearer\t", "Basic Og==", "Basic AAAA", f"Bearer {MARK}", f"Bearer kta_{MARK}"]
    ),
)
claims = st.dictionaries(
    st.sampled_from(["iss", "aud", "sub", "client_id", "iat", "exp", "nbf", "jti", "scope", "typ", "cnf"]),
    anything,
    max_size=4,
)


@pytest.fixture(scope="module", params=[("production", "sqlite"), ("development", "postgresql")], ids="-".join)
def hostile(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> Iterator[Flask]:
    """An app of each environment and on each database, with a client whose secret the attacker has."""
    env, kind = request.param
    app = build_app(
        database_url=prepared(kind),
        env=env,
        issuer="https://auth.example.com",
        audience=ISSUER,
        trusted_proxies=1,
        limit_failures="",  # otherwise only the limit would be tested
        limit_address="",
    )
    options = ["--scope", "read:logs write:logs", "--resource-server", ISSUER, "--format", "opaque"]
    ATTACKER.set(app, Operator(app).register("attacker", *options))
    yield app
    close(app)


def assert_is_proper(response: TestResponse) -> None:
    assert response.status_code < 500, response.text
    is_page = response.mimetype == "text/html" and response.status_code == 200
    assert response.mimetype == "application/json" or is_page or not response.data, response.text
    if '"hint"' not in response.text:  # in development the response has the reason
        assert MARK not in response.text
    assert MARK not in str(response.headers)
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"]


@settings(max_examples=INPUTS // 4, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"]),
    path=st.sampled_from([*PATHS, "/admin//logs", "//", "/oauth/token/", "/inventory/.."])
    | st.text(max_size=30).map(lambda text: "/" + quote(text.lstrip("/"), errors="replace")),
    query=fields,
    body=bodies,
    media_type=st.sampled_from(MEDIA_TYPES) | header_text,
    authorization=st.none() | credentials,
    more=st.dictionaries(
        st.sampled_from(["X-Request-Id", "Host", "Forwarded", "X-Forwarded-For", "Cookie"]), header_text
    ),
)
def test_R017_R022_R059_no_request_ends_in_a_500_or_is_echoed(
    hostile: Flask,
    method: str,
    path: str,
    query: dict[str, str],
    body: bytes,
    media_type: str,
    authorization: str | None,
    more: dict[str, str],
) -> None:
    sent = {name: value for name, value in more.items() if name != "Host" or value.isalnum()}
    if authorization is not None:
        sent["Authorization"] = authorization

    response = hostile.test_client().open(
        path,
        method=method,
        query_string={name: value.encode("utf-8", "replace") for name, value in query.items()},
        data=body,
        content_type=media_type,
        headers=HTTPS | sent,
    )

    assert_is_proper(response)


@settings(max_examples=INPUTS // 8, suppress_health_check=list(HealthCheck), deadline=None)
@given(scope=st.text(max_size=60) | st.text(header_characters, max_size=60), more=fields)
def test_no_form_behind_a_good_secret_ends_in_a_500(hostile: Flask, scope: str, more: dict[str, str]) -> None:
    attacker = ATTACKER.of(hostile)
    form = more | {"grant_type": "client_credentials", "scope": scope}
    form = {name: value for name, value in form.items() if not name.startswith("client_")}
    body = urlencode(form, errors="replace")
    pair = (attacker.client_id, attacker.secret)

    response = hostile.test_client().post("/oauth/token", data=body, content_type=FORM, auth=pair, headers=HTTPS)

    assert response.status_code in (200, 400)
    assert_is_proper(response)


@settings(max_examples=INPUTS // 8, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    path=st.sampled_from(["/oauth/introspect", "/oauth/revoke"]),
    token=st.text(max_size=60) | st.text(header_characters, max_size=60).map("kta_{}".format),
    more=fields,
)
def test_no_token_that_is_introspected_or_revoked_ends_in_a_500(
    hostile: Flask, path: str, token: str, more: dict[str, str]
) -> None:
    attacker = ATTACKER.of(hostile)
    form = {name: value for name, value in more.items() if not name.startswith("client_")} | {"token": token}
    body = urlencode(form, errors="replace")
    pair = (attacker.client_id, attacker.secret)

    response = hostile.test_client().post(path, data=body, content_type=FORM, auth=pair, headers=HTTPS)

    assert response.status_code == (200 if token else 400)
    assert_is_proper(response)


@settings(max_examples=INPUTS // 8, suppress_health_check=list(HealthCheck), deadline=None)
@given(query=fields, path=st.sampled_from(["/admin/logs", "/internal/reports", "/inventory"]))
def test_no_query_behind_a_good_token_ends_in_a_500(hostile: Flask, query: dict[str, str], path: str) -> None:
    token = forging.with_our_key(hostile, forging.claims(iss="https://auth.example.com", scope="read:all_data"))
    headers = HTTPS | {"Authorization": f"Bearer {token}"}

    response = hostile.test_client().get(f"{path}?{urlencode(query, errors='replace')}", headers=headers)

    assert response.status_code in (200, 400)
    assert response.mimetype == "application/json"


@settings(max_examples=INPUTS // 8, suppress_health_check=list(HealthCheck), deadline=None)
@given(changes=claims, header=st.dictionaries(st.sampled_from(["typ", "cty", "x5u", "jku"]), marked, max_size=2))
def test_no_signed_claims_end_in_a_500(hostile: Flask, changes: dict[str, Any], header: dict[str, str]) -> None:
    payload = json.dumps(forging.claims(iss="https://auth.example.com") | changes).encode("utf-8", "surrogatepass")
    token = forging.with_our_key(hostile, payload, **header)

    response = hostile.test_client().get("/admin/logs?limit=1", headers=HTTPS | {"Authorization": f"Bearer {token}"})

    assert response.status_code in (200, 401, 403)
    if changes.keys() & {"iss", "exp", "aud"} and response.status_code == 200:
        assert changes.get("exp", now() + 1) > now()
    if response.status_code != 200:
        assert_is_proper(response)


@settings(max_examples=INPUTS // 8, suppress_health_check=list(HealthCheck), deadline=None)
@given(body=bodies, route=st.sampled_from([("POST", "/admin/logs"), ("PUT", "/inventory/pallet")]))
def test_no_body_behind_a_good_token_ends_in_a_500(hostile: Flask, body: bytes, route: tuple[str, str]) -> None:
    good = forging.claims(iss="https://auth.example.com", scope="write:logs inventory:write")
    headers = HTTPS | {"Authorization": f"Bearer {forging.with_our_key(hostile, good)}"}

    response = hostile.test_client().open(
        route[1], method=route[0], data=body, content_type="application/json", headers=headers
    )

    assert response.status_code < 500
    assert response.mimetype == "application/json"


@pytest.mark.parametrize(("body", "status"), [(b"grant_type=\xff", "400 "), (b"grant_type=" + b"x" * 20_000, "413 ")])
@pytest.mark.parametrize("header", [{"HTTP_TRANSFER_ENCODING": "chunked"}, {"SERVER_PROTOCOL": "HTTP/2"}])
def test_R107_a_body_of_unknown_length_is_refused_whole(
    hostile: Flask, body: bytes, status: str, header: dict[str, str]
) -> None:
    """In HTTP/2 no header announces a body: only the server knows where it ends."""
    environ = EnvironBuilder("/oauth/token", method="POST", content_type=FORM, headers=HTTPS).get_environ()
    del environ["CONTENT_LENGTH"]
    environ |= {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, **header}

    received, found, _ = run_wsgi_app(hostile, environ)

    assert found.startswith(status)
    assert json.loads(b"".join(received))["error"] == "invalid_request"
