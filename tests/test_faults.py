"""Faults on purpose: the client id `fault-NAME`, and the issuers `/faults/NAME`, in development only."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

from app.clock import now
from app.faults import bad_issuers, bad_responses, bad_tokens, fault_count
from app.faults.fault_count import FORGOTTEN_SECONDS, FaultCount
from app.faults.fault_layer import FaultLayer
from app.faults.table import FAULTS, Kind
from app.storage.database import db
from tests.conftest import ISSUER, ROOT, SECRET_KEY, Machine, build_app, close, demo

SECRET = "kts_fault-is-for-learning-only"
GRANT = {"grant_type": "client_credentials"}
SCOPE = "read:logs reports:read inventory:read"
METADATA = "/.well-known/oauth-authorization-server"


def faulty(app: Flask, name: str) -> Machine:
    return Machine(app, f"fault-{name}", SECRET)


def names(kind: Kind) -> set[str]:
    return {name for name, fault in FAULTS.items() if fault.kind is kind}


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_every_fault_of_the_table_has_its_code_and_no_other_has() -> None:
    assert names(Kind.RESPONSE) == bad_responses.CHANGES.keys()
    assert names(Kind.TOKEN) == bad_tokens.MAKERS.keys()
    assert names(Kind.ISSUER) == bad_issuers.CHANGES.keys()


def whole(response: TestResponse) -> bool:
    """Whether it is a token response as RFC 6749, section 5.1 describes it."""
    body = response.get_json(silent=True) or {}
    return (
        response.status_code == 200
        and response.mimetype == "application/json"
        and isinstance(body.get("access_token"), str)
        and body.get("token_type") == "Bearer"
        and isinstance(body.get("expires_in"), int)
        and body["expires_in"] > 0
        and body.get("scope") == SCOPE
    )


@pytest.mark.parametrize(
    ("name", "status", "headers", "body"),
    [
        ("401", 401, {"WWW-Authenticate": 'Basic realm="keyturn", charset="UTF-8"'}, r'\{"error": "invalid_client".*'),
        ("429", 429, {"Retry-After": "1"}, r'\{"error": "temporarily_unavailable".*'),
        ("503", 503, {"Retry-After": "1"}, r'\{"error": "temporarily_unavailable".*'),
        ("500", 500, {}, r'\{"error": "server_error".*'),
        (
            "truncated",
            200,
            {"Content-Type": "application/json"},
            r'\{"token_type": "Bearer", "access_token": "eyJ[^"]+',
        ),
        ("html", 200, {"Content-Type": "text/html; charset=utf-8"}, r"<!doctype html>.*\n"),
        ("redirect", 302, {"Location": f"{ISSUER}/errors/"}, ""),
        ("empty", 200, {"Content-Length": "0", "Content-Type": "application/json"}, ""),
        ("wrong-type", 200, {"Content-Type": "text/plain; charset=utf-8"}, r'\{"token_type": "Bearer".*\}'),
        ("no-access-token", 200, {}, r'\{"token_type": "Bearer", "expires_in": 3600, "scope": "[^"]+"\}'),
        ("no-token-type", 200, {}, r'\{"access_token": "[^"]+", "expires_in": 3600, "scope": "[^"]+"\}'),
        ("no-expires-in", 200, {}, r'\{"token_type": "Bearer", "access_token": "[^"]+", "scope": "[^"]+"\}'),
        ("negative-expires-in", 200, {}, r'.*"expires_in": -1, .*'),
        ("text-expires-in", 200, {}, r'.*"expires_in": "3600", .*'),
        ("less-scope", 200, {}, r'.*"scope": "read:logs reports:read"\}'),
    ],
    ids=lambda value: value if isinstance(value, str) and value in FAULTS else "",
)
def test_a_token_response_has_the_fault_of_the_client_id(
    app: Flask, name: str, status: int, headers: dict[str, str], body: str
) -> None:
    response = faulty(app, name).request_token()

    assert response.status_code == status
    assert re.fullmatch(body, response.text, re.DOTALL)
    assert dict(response.headers).items() >= (headers | {"X-Keyturn-Fault": name, "Cache-Control": "no-store"}).items()
    assert response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert not whole(response)
    assert whole(Machine(app, "fault", SECRET).request_token())


@pytest.mark.parametrize(
    ("requested", "left"), [("inventory:read reports:read", "inventory:read"), ("inventory:read", "")]
)
def test_the_token_of_less_scope_has_what_its_response_says(app: Flask, requested: str, left: str) -> None:
    issued = faulty(app, "less-scope").request_token(scope=requested).json

    assert (issued["scope"], claims_of(issued["access_token"])["scope"]) == (left, left)


REASONS = {
    "expired": "the token expired 10 minutes ago",
    "not-yet-valid": "clock: nbf is 10 minutes ahead",
    "wrong-audience": "the token is meant for another API",
    "wrong-issuer": "the token is from another issuer",
    "unknown-kid": "the token's kid names none of the published keys",
    "wrong-typ": "the token's typ is not at+jwt",
    "no-scope": "the token lacks the scope inventory:read",
    "alg-none": "the token has no kid, or an algorithm that is not allowed",
    "hmac": "the token has no kid, or an algorithm that is not allowed",
    "bad-signature": "the token's signature is wrong",
}


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_token_with_a_fault_is_refused_for_exactly_that_reason(new_app: Callable[..., Flask], alg: str) -> None:
    app = new_app(signing_alg=alg)
    assert app.test_cli_runner().invoke(args=["keys", "rotate", "--now"]).exit_code == 0
    found, types = {}, set()
    for name in names(Kind.TOKEN):
        with time_machine.travel(now(), tick=False):
            response = faulty(app, name).request_token()
            refused = faulty(app, name).get("/inventory", response.json["access_token"])
        assert (response.status_code, response.headers["X-Keyturn-Fault"]) == (200, name)
        assert refused.status_code == (403 if name == "no-scope" else 401)
        found[name] = refused.json["hint"]
        header = response.json["access_token"].split(".")[0]
        types.add(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"])

    assert found == REASONS
    assert types == {alg, "none", "HS256"}


def encoded(text_: str) -> str:
    return "".join(f"%{ord(each):02X}" for each in text_)


def basic(client_id: str, secret: str = SECRET, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


SPELLINGS: dict[str, tuple[dict[str, str], str]] = {
    "basic": (basic("fault-429"), ""),
    "lower case": (basic("fault-429", scheme="basic"), ""),
    "with a run": (basic("fault-429-first9~a7"), ""),
    "percent-encoded": (basic("fault%2D429%2Dfirst9%7Ea7"), ""),
    "all percent-encoded": (basic(encoded("fault-429"), encoded(SECRET)), ""),
    "spaces": ({"Authorization": basic("fault-429")["Authorization"].replace(" ", "  ") + " "}, ""),
    "and the same id in the form": (basic("fault-429"), "&client_id=fault-429"),
    "form": ({}, f"&client_id=fault-429&client_secret={SECRET}"),
    "form, percent-encoded": ({}, f"&client%5Fid={encoded('fault-429')}&client_secret={encoded(SECRET)}"),
    "form, id first": ({}, f"&client_secret={SECRET}&client_id=fault-429~a"),
}


def send(app: Flask, headers: dict[str, str], more: str = "", path: str = "/oauth/token") -> TestResponse:
    body = "grant_type=client_credentials" + more
    return app.test_client().post(
        path, data=body, headers=headers, content_type="application/x-www-form-urlencoded; charset=utf-8"
    )  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_client_id_counts_however_it_is_sent(app: Flask, spelling: str) -> None:
    headers, more = SPELLINGS[spelling]

    assert send(app, headers, more).status_code == 429


@pytest.mark.parametrize(
    ("headers", "more", "hint"),
    [
        (basic("fault-429", "wrong"), "", "the secret is wrong"),
        (basic("fault-429", SECRET + " "), "", "there is white space around the secret"),
        ({}, "&client_id=fault-429&client_secret=wrong", "the secret is wrong"),
        ({}, "&client_id=fault-429", "neither Basic, nor a secret in the form, nor a signed assertion was sent"),
        (basic("fault-429", "a:b"), "", "the secret is wrong"),
        (basic("demo-admin"), "&client_id=fault-429", "not the one in the Authorization header"),
        (basic("fault-429"), "&client_id=fault-401", "not the one in the Authorization header"),
        (basic("fault-429"), f"&client_secret={SECRET}", "has client_secret and an Authorization header"),
        ({}, f"&client_id=fault-429&client_id=fault-429&client_secret={SECRET}", "twice: client_id"),
        ({}, f"&client_id=fault-429&client_id=fault-401&client_secret={SECRET}", "twice: client_id"),
        (basic("fault-429"), "&scope=inventory:write", "the client is not registered for the scope inventory:write"),
        ({"Authorization": "Basic fault-429"}, "", "the Basic credentials are not Base64"),
        ({"Authorization": "Bearer fault-429"}, "", "the scheme of the Authorization header is not Basic"),
    ],
)
def test_a_fault_is_never_applied_to_a_refusal(app: Flask, headers: dict[str, str], more: str, hint: str) -> None:
    response = send(app, headers, more)

    assert response.status_code in (400, 401)
    assert hint in response.json["hint"] + response.json["error_description"]
    assert "X-Keyturn-Fault" not in response.headers


def test_other_requests_are_as_they_were(app: Flask) -> None:
    assert faulty(app, "429").post("/oauth/revoke", token="kta_unknown").status_code == 200
    assert faulty(app, "429").introspect("kta_unknown").json["error"] == "unauthorized_client"
    assert app.test_client().get("/oauth/token", headers=basic("fault-429")).status_code == 405
    assert send(app, {}, "&x=" + "x" * 20_000 + "&client_id=fault-429").status_code == 413
    json_body = app.test_client().post("/oauth/token", json={"client_id": "fault-429"})
    assert json_body.status_code == 415
    broken = app.test_client().post(
        "/oauth/token",
        data=b"client_id=fault-429",
        headers={"Content-Length": "99"},
        content_type="application/x-www-form-urlencoded",
    )
    assert broken.status_code == 400


def test_a_token_that_was_issued_to_a_fault_client_is_revoked_by_it(app: Flask) -> None:
    machine = faulty(app, "text-expires-in")
    token = str(machine.request_token().json["access_token"])
    before = machine.get("/inventory", token).status_code

    machine.revoke(token)

    assert (before, machine.get("/inventory", token).status_code) == (200, 401)


@pytest.mark.parametrize(
    ("client_id", "hint"),
    [
        ("fault-42x", "there is no fault 42x; did you mean fault-429?"),
        ("fault-expird-once~a", "there is no fault expird; did you mean fault-expired?"),
        ("fault-jwks-down", "the fault jwks-down is an issuer: /faults/jwks-down"),
        ("fault-slow-31s", "a response can be slow by 1 to 30 seconds"),
        ("fault-slow-0s", "there is no fault slow-0s; did you mean fault-slow-5s?"),
        ("fault-429-first0", "there is no fault 429-first0; did you mean fault-429?"),
        ("fault-zzzzzzzz", "there is no fault zzzzzzzz; docs/faults.md lists all"),
        ("fault-" + "x" * 200, "there is no fault [redacted]; docs/faults.md lists all"),
        ("fault-", "the client is unknown"),
    ],
)
def test_an_unknown_fault_is_refused_and_the_nearest_is_named(app: Flask, client_id: str, hint: str) -> None:
    for response in (send(app, basic(client_id)), send(app, {}, f"&client_id={client_id}&client_secret={SECRET}")):
        assert (response.status_code, response.json["error"]) == (401, "invalid_client")
        assert response.json["hint"].startswith(hint)
        assert response.headers["WWW-Authenticate"] == 'Basic realm="keyturn", charset="UTF-8"'
        assert response.headers["X-Request-Id"]
    shown = app.test_cli_runner().invoke(args=["explain", response.headers["X-Request-Id"]]).stdout
    assert hint[:20] in shown


def statuses(app: Flask, name: str, count: int) -> list[int]:
    return [faulty(app, name).request_token().status_code for _ in range(count)]


def test_only_the_first_requests_have_the_fault(app: Flask) -> None:
    assert statuses(app, "429-once", 3) == [429, 200, 200]
    assert statuses(app, "429-once~a7", 2) == [429, 200]
    assert statuses(app, "429-once~b", 2) == [429, 200]
    assert statuses(app, "503-first3", 5) == [503, 503, 503, 200, 200]
    assert statuses(app, "503~a7", 3) == [503, 503, 503]


def test_all_workers_count_together_and_a_refusal_does_not_count(new_app: Callable[..., Flask]) -> None:
    one, other = new_app(), new_app()

    Machine(one, "fault-429-once", "wrong").request_token()

    assert statuses(one, "429-once", 1) + statuses(other, "429-once", 1) == [429, 200]


def test_a_count_is_deleted_ten_minutes_after_it_began(app: Flask) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        assert statuses(app, "429-once", 2) == [429, 200]
        clock.shift(FORGOTTEN_SECONDS - 1)
        assert statuses(app, "429-once", 1) == [200]
        clock.shift(1)
        assert statuses(app, "429-once", 2) == [429, 200]
        clock.shift(-FORGOTTEN_SECONDS)  # it began in the future: a clock that was set back must not make it eternal
        assert statuses(app, "429-once", 1) == [429]


def test_the_number_of_counts_is_bounded_and_the_oldest_is_deleted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_count, "MAX_COUNTS", 3)
    with time_machine.travel(now() - 100, tick=False) as clock:
        for run in "abcd":
            statuses(app, f"429-once~{run}", 1)
            clock.shift(1)

        with app.app_context():
            assert db.session.scalar(select(func.count()).select_from(FaultCount)) == 3
        assert statuses(app, "429-once~d", 1) + statuses(app, "429-once~a", 1) == [200, 429]


def test_a_count_that_the_database_cannot_store_is_503(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("DROP TABLE fault_counts"))
        db.session.commit()

    response = faulty(app, "429-once").request_token()

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.json["hint"] == "the database does not count how often a fault was applied"
    assert statuses(app, "429", 1) == [429]


def test_at_most_half_of_the_threads_are_slow(app: Flask) -> None:
    for _ in range(4):
        assert bad_responses.slow_threads.acquire(blocking=False)
    try:
        response = faulty(app, "slow-1s").request_token()
    finally:
        bad_responses.slow_threads.release(4)

    assert response.status_code == 503
    assert response.json["hint"] == "4 responses of this worker are slow now"
    assert faulty(app, "slow-1s").request_token().headers["X-Keyturn-Fault"] == "slow-1s"


def test_a_token_fault_of_a_client_with_opaque_tokens_is_refused(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("UPDATE clients SET token_format = 'opaque' WHERE client_id = 'fault'"))
        db.session.commit()

    response = faulty(app, "expired").request_token()

    assert response.status_code == 401
    assert response.json["hint"] == "only a JWT can have this fault, and this client has opaque tokens"
    assert faulty(app, "empty").request_token().text == ""


def document(app: Flask, path: str) -> Any:
    response = app.test_client().get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    return response.json


@pytest.mark.parametrize("name", [each for each in FAULTS if FAULTS[each].kind is Kind.ISSUER and "slow" not in each])
@pytest.mark.parametrize("path", ["", "/auth"])
def test_an_issuer_is_whole_but_for_its_fault(new_app: Callable[..., Flask], name: str, path: str) -> None:
    issuer = f"http://127.0.0.1:8000{path}"
    app = new_app(issuer=issuer)
    ours = f"{path}/faults/{name}"
    here = {"issuer": f"{issuer}/faults/{name}", "token_endpoint": f"{issuer}/faults/{name}/oauth/token"}
    real_keys = app.test_client().get(f"{path}/.well-known/jwks.json").json
    both = [app.test_client().get(each) for each in (METADATA + ours, ours + METADATA)]
    keys = app.test_client().get(f"{ours}/.well-known/jwks.json")

    issued = send(app, basic("demo-reporting", "kts_demo-reporting-is-for-learning-only"), path=ours + "/oauth/token")

    assert claims_of(issued.json["access_token"])["iss"] == here["issuer"]
    assert both[0].data == both[1].data
    metadata = both[0].get_json(silent=True)
    if name.startswith("jwks"):
        assert metadata.items() >= (here | {"jwks_uri": f"{here['issuer']}/.well-known/jwks.json"}).items()
        assert not [member for member in metadata if member.startswith(("introspection", "revocation"))]
    else:
        assert keys.json == real_keys
    if name.endswith("-down"):
        assert (both[0] if name.startswith("metadata") else keys).status_code == 503
    assert name != "metadata-empty" or metadata == {}
    assert name != "metadata-other-issuer" or metadata["issuer"] == "https://another-issuer.example"
    assert name != "jwks-empty" or keys.json == {"keys": []}
    if name == "jwks-rotated":
        shown = keys.json["keys"]
        assert [len(shown), shown[0]["kid"] == real_keys["keys"][0]["kid"]] == [1, False]
        assert shown[0].keys() == real_keys["keys"][0].keys()


def test_an_issuer_has_its_fault_once_and_combines_with_a_client(app: Flask) -> None:
    rotated = [document(app, "/faults/jwks-rotated-once~x/.well-known/jwks.json") for _ in range(3)]
    real = app.test_client().get("/.well-known/jwks.json").json
    expired = send(app, basic("fault-expired"), path="/faults/jwks-empty/oauth/token").json["access_token"]
    slow = app.test_client().get("/faults/jwks-slow-1s/.well-known/jwks.json")

    assert (rotated[0] == real, rotated[1:]) == (False, [real, real])
    assert claims_of(expired)["iss"] == f"{ISSUER}/faults/jwks-empty"
    assert claims_of(expired)["exp"] < now()
    assert (slow.json, slow.headers["X-Keyturn-Fault"]) == (real, "jwks-slow-1s")
    assert send(app, basic("fault-429"), path="/faults/jwks-empty/oauth/token").status_code == 429


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/faults/jwks-dwn/.well-known/jwks.json", 404, "there is no fault jwks-dwn; did you mean /faults/jwks-down?"),
        (f"{METADATA}/faults/jwks-dwn", 404, "there is no fault jwks-dwn; did you mean /faults/jwks-down?"),
        ("/faults/expired/.well-known/jwks.json", 404, "the fault expired is a client id: fault-expired"),
        ("/faults/jwks-down/", 404, "there is nothing at /faults/jwks-down/"),
        ("/faults/", 404, "there is nothing at /faults/"),
        ("/faults/jwks-down/oauth/token", 405, "GET is not supported at /oauth/token; use POST"),
    ],
)
def test_another_address_below_faults_explains_itself(app: Flask, path: str, status: int, hint: str) -> None:
    response = app.test_client().get(path)

    assert response.status_code == status
    assert response.json["hint"].startswith(hint)


def test_a_document_at_fault_is_whole_for_conditional_and_head_requests(app: Flask) -> None:
    etag = app.test_client().get("/.well-known/jwks.json").headers["ETag"]
    path = "/faults/jwks-empty/.well-known/jwks.json"

    conditional = app.test_client().get(path, headers={"If-None-Match": etag})
    head = app.test_client().head(path)

    assert (conditional.json, "ETag" in conditional.headers) == ({"keys": []}, False)
    assert (head.status_code, head.data, head.headers["X-Keyturn-Fault"]) == (200, b"", "jwks-empty")
    assert app.test_client().post(path).status_code == 405


def test_in_production_there_are_neither_layer_nor_addresses_nor_clients(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}

    assert not isinstance(app.wsgi_app, FaultLayer)
    for client_id in ("fault-429", "fault-unknown", "ktc_unknown", "fault"):
        response = send(app, basic(client_id) | https)
        assert (response.status_code, response.json["error"]) == (401, "invalid_client")
        assert "hint" not in response.json
    for path in (
        "/faults/jwks-down/.well-known/jwks.json",
        f"{METADATA}/faults/jwks-down",
        "/faults/jwks-empty/oauth/token",
    ):
        assert app.test_client().get(path, headers=https).status_code == 404


def test_a_process_in_production_does_not_even_load_the_room(tmp_path: Path) -> None:
    script = (
        "import sys, app, config\n"
        "from app.settings import read_settings\n"
        "settings = read_settings({'KEYTURN_ENV': 'production', 'KEYTURN_ISSUER': 'https://auth.example.com',"
        f" 'KEYTURN_SECRET_KEYS': {SECRET_KEY!r}, 'KEYTURN_DATABASE_URL': 'sqlite:///{tmp_path}/k.db'}})\n"
        "made = app.create_app(settings)\n"
        "print(settings.faults, type(made.wsgi_app).__name__, [m for m in sys.modules if m.startswith('app.faults')])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "() method []\n"


def test_a_production_server_does_not_start_while_the_client_exists(app: Flask) -> None:
    from app.operations.startup import faults_at_start

    url = str(app.config["SQLALCHEMY_DATABASE_URI"].render_as_string(hide_password=False)).replace("+psycopg", "")
    production = build_app(env="production", issuer="https://auth.example.com", database_url=url)

    faults = faults_at_start(production)
    close(production)

    assert "The demo client fault must not exist in production: `flask clients delete fault`." in faults


def test_the_room_can_be_deleted_with_its_folder(tmp_path: Path) -> None:
    for name in ("app", "config.py", "wsgi.py", "keyturn.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    shutil.rmtree(tmp_path / "app" / "faults")
    script = (
        "import base64; from app import create_app; from app.settings import read_settings\n"
        f"made = create_app(read_settings({{'KEYTURN_DATABASE_URL': 'sqlite:///{tmp_path}/k.db'}}))\n"
        "print(made.test_cli_runner().invoke(args=['prepare']).exit_code)\n"
        f"token = made.test_client().post('/oauth/token', data={GRANT!r}, auth=('fault', {SECRET!r}))\n"
        f"refused = made.test_client().post('/oauth/token', data={GRANT!r}, auth=('fault-429', {SECRET!r}))\n"
        "print(token.status_code, refused.status_code, refused.json['hint'])\n"
        "slips = made.test_client().get('/playground/data.json').json['slips']['slips']\n"
        "print({slip['group'] for slip in slips} >= {'token', 'address'}, [s for s in slips if s['acts_as']])\n"
        "from app.audit import trail; trail.current_batch.of(made).close()\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout == "0\n200 401 the client is unknown\nTrue []\n", done.stderr


def test_a_client_without_a_fault_gets_a_whole_response(app: Flask) -> None:
    assert demo(app, "demo-admin").request_token().status_code == 200
    assert whole(demo(app, "fault").request_token())
