"""The playground's routes: where they exist, their headers, and which requests may change keys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

import config
from app.checks import DECLARED
from app.playground.pages import FILES as STATIC
from tests.conftest import ISSUER, ROOT, SECRET_KEY, LiveServer, Machine, Operator, build_app, close, kid_of
from tests.test_hostile import anything, header_text

HERE = {"Host": "127.0.0.1:8000", "Origin": ISSUER}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ROUTES = [
    ("GET", "/"),
    ("GET", "/playground/app.js"),
    ("GET", "/playground/style.css"),
    ("GET", "/playground/data.json"),
    ("GET", "/playground/progress.json"),
    ("GET", "/playground/nothing.js"),
    ("POST", "/playground/keys"),
]


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: what these routes read is tested on both elsewhere."""
    return prepared("sqlite")


def change(app: Flask, body: object, headers: dict[str, str] | None = None, **more: Any) -> TestResponse:
    """Post to the playground as its page does."""
    sent = {"json": body} | more
    return app.test_client().post("/playground/keys", headers=HERE if headers is None else headers, **sent)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_has_the_strict_headers(app: Flask, method: str, path: str) -> None:
    response = app.test_client().open(path, method=method, buffered=True)

    assert response.headers["Content-Security-Policy"] == CSP
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == ("no-cache" if response.status_code == 200 else "no-store")
    assert "Access-Control-Allow-Origin" not in response.headers


def test_the_routes_of_the_test_are_all_that_there_are(app: Flask) -> None:
    rules = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("playground.")
        for method in (rule.methods or set()) - {"HEAD"}
    }

    files = {("GET", "/playground/app.js"), ("GET", "/playground/nothing.js")}
    assert {*ROUTES} - files | {("GET", "/playground/<file>")} == rules


def test_the_page_and_its_files_are_what_a_browser_expects(app: Flask) -> None:
    client = app.test_client()

    assert client.get("/").mimetype == "text/html"
    for file in STATIC.iterdir():
        response = client.get(f"/playground/{file.name}", buffered=True)
        assert (response.status_code, response.data) == (200, file.read_bytes())
        assert response.mimetype in ("text/javascript", "application/javascript", "text/css", "image/svg+xml")
        again = client.get(
            f"/playground/{file.name}", headers={"If-None-Match": response.headers["ETag"]}, buffered=True
        )
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["..", "../pages.py", "%2e%2e/pages.py", "..%2fpages.py", "%00", "a/b", "templates/playground.html", "."]
)
def test_no_other_file_is_served(app: Flask, path: str) -> None:
    response = app.test_client().get(f"/playground/{path}")

    assert response.status_code == 404
    assert response.json["error"] == "not_found"


def test_the_data_has_the_demo_clients_and_no_other(app: Flask) -> None:
    Operator(app).register("a-real-client", "--scope", "read:logs")

    response = app.test_client().get("/playground/data.json")

    found = response.json
    demos = [demo for demo in config.DEMO_CLIENTS if demo.secret]  # the page signs nothing
    assert [client["client_id"] for client in found["clients"]] == [demo.client_id for demo in demos]
    assert [client["secret"] for client in found["clients"]] == [demo.secret for demo in demos]
    assert all(client["about"] for client in found["clients"])
    assert "a-real-client" not in response.text
    assert "ktc_" not in json.dumps(found["clients"])
    assert found["checks"].keys() == DECLARED.keys()
    assert found["issuer"] == ISSUER
    assert {"number", "title"} <= found["lesson"][0].keys() if found["lesson"] else found["lesson"] == []


def test_a_demo_client_that_was_deleted_is_not_in_the_data_and_nor_are_its_slips(app: Flask) -> None:
    Operator(app).run("clients", "delete", "demo-brief")

    found = app.test_client().get("/playground/data.json").json

    assert "demo-brief" not in [client["client_id"] for client in found["clients"]]
    assert "expired" not in [slip["name"] for slip in found["slips"]["slips"]]


def test_each_call_of_the_data_works_with_its_scope_and_each_endpoint_is_there(app: Flask) -> None:
    operator = Operator(app)
    found = app.test_client().get("/playground/data.json").json

    for address in found["endpoints"].values():
        assert app.test_client().open(address.removeprefix(ISSUER), method="GET").status_code != 404
    assert len(found["calls"]) == 5
    for number, call in enumerate(found["calls"]):
        machine = operator.register(f"caller-{number}", "--scope", call["scope"])
        body = {"message": "from the test", "quantity": 5} if call["method"] != "GET" else None
        response = machine.send(call["method"], call["path"], machine.token(), json=body)
        assert response.status_code in (200, 201), call


def test_without_the_sample_api_the_data_has_no_calls(new_app: Callable[..., Flask]) -> None:
    found = new_app(sample_api="off").test_client().get("/playground/data.json").json

    assert found["calls"] == []
    assert "logs" not in found["endpoints"]


def test_below_the_path_of_an_issuer_everything_is_below_it(new_app: Callable[..., Flask]) -> None:
    client = new_app(issuer=f"{ISSUER}/auth/eu").test_client()

    assert client.get("/auth/eu/").mimetype == "text/html"
    assert client.get("/auth/eu/playground/data.json").json["endpoints"]["token"] == f"{ISSUER}/auth/eu/oauth/token"
    assert client.get("/").status_code == 404
    without = client.get("/auth/eu")
    assert (without.status_code, without.headers["Location"], without.data) == (308, "/auth/eu/", b"")
    headers = {"Host": "127.0.0.1:8000", "Origin": ISSUER}
    rotated = client.post("/auth/eu/playground/keys", json={"action": "rotate"}, headers=headers)
    assert rotated.status_code == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_production_has_nothing_of_it(new_app: Callable[..., Flask], method: str, path: str) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)

    response = app.test_client().open(path, method=method, headers={"X-Forwarded-Proto": "https"})

    assert (response.status_code, sorted(response.json)) == (404, ["error", "error_description", "error_uri"])
    assert "Content-Security-Policy" not in response.headers


def test_a_rotation_lets_old_tokens_pass_and_a_withdrawal_refuses_them(app: Flask, admin: Machine) -> None:
    old = admin.token()

    rotated = change(app, {"action": "rotate"})
    passes = admin.get("/inventory", old).status_code
    new = admin.token()
    withdrawn = change(app, {"action": "withdraw", "kid": kid_of(old)})
    standby = rotated.json["keys"][1]["kid"]

    active = [
        {"kid": kid_of(new), "alg": "RS256", "state": "active"},
        {"kid": standby, "alg": "RS256", "state": "standby"},
    ]
    assert rotated.json["keys"] == [*active, {"kid": kid_of(old), "alg": "RS256", "state": "retired"}]
    assert (passes, admin.get("/inventory", new).status_code) == (200, 200)
    assert admin.get("/inventory", old).status_code == 401
    assert withdrawn.json == {"kid": kid_of(new), "keys": active}
    jwks = app.test_client().get("/.well-known/jwks.json").json
    assert [key["kid"] for key in jwks["keys"]] == [kid_of(new), standby]


def test_a_change_is_in_the_audit_trail_as_one_from_the_command_line_is(app: Flask, admin: Machine) -> None:
    token = admin.token()
    Operator(app).run("keys", "rotate", "--now")
    change(app, {"action": "rotate"})
    change(app, {"action": "withdraw", "kid": kid_of(token)})

    events = [event for event in admin.events(limit="9") if event["event"].startswith("key_")]
    withdrawn, by_page, by_command = events[:3]

    assert (by_page["event"], by_command["event"], withdrawn["event"]) == (
        "key_rotated",
        "key_rotated",
        "key_withdrawn",
    )
    assert by_page["reason"].endswith("signs at once")
    assert by_command["reason"].endswith("signs at once")
    assert kid_of(token) in withdrawn["reason"]


ELSEWHERE = "http://attacker.example"
FORGED = {
    "another Host": HERE | {"Host": "localhost:8000"},
    "another port in Host": HERE | {"Host": "127.0.0.1:8001"},
    "a Host of DNS rebinding": HERE | {"Host": "attacker.example:8000"},
    "another Origin": HERE | {"Origin": ELSEWHERE},
    "a null Origin": HERE | {"Origin": "null"},
    "an empty Origin": HERE | {"Origin": ""},
    "another Origin, whatever Sec-Fetch-Site is": HERE | {"Origin": ELSEWHERE, "Sec-Fetch-Site": "same-origin"},
    "another site, whatever Origin is": HERE | {"Sec-Fetch-Site": "cross-site"},
    "the same site, but another origin": {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "same-site"},
    "typed by its user": {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "none"},
    "neither Origin nor Sec-Fetch-Site": {"Host": "127.0.0.1:8000"},
    "a proxy": HERE | {"X-Forwarded-For": "192.0.2.1"},
    "a proxy that sends Via": HERE | {"Via": "1.1 proxy"},
    "a proxy that sends X-Real-IP": HERE | {"X-Real-IP": "192.0.2.1"},
    "a proxy that sends Forwarded": HERE | {"Forwarded": "for=192.0.2.1"},
}


def kids(app: Flask) -> list[str]:
    return [key["kid"] for key in app.test_client().get("/.well-known/jwks.json").json["keys"]]


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in FORGED.items()])
def test_the_attack_of_another_page_changes_no_key(app: Flask, headers: dict[str, str]) -> None:
    before = kids(app)

    response = change(app, {"action": "rotate"}, headers)

    assert (response.status_code, response.json["error"]) == (403, "access_denied")
    assert kids(app) == before


@pytest.mark.parametrize(
    "connection",
    [
        {"SERVER_NAME": "0.0.0.0"},
        {"SERVER_NAME": "::"},
        {"SERVER_NAME": "192.0.2.1"},
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": ""},  # a unix socket; gunicorn then takes SERVER_NAME from Host
        {"SERVER_NAME": "", "REMOTE_ADDR": ""},
    ],
    ids=str,
)
def test_a_server_that_others_reach_changes_no_key(app: Flask, connection: dict[str, str]) -> None:
    response = change(app, {"action": "rotate"}, environ_overrides=connection)
    data = app.test_client().get("/playground/data.json", headers=HERE, environ_overrides=connection).json

    assert (response.status_code, response.json["error"]) == (403, "access_denied")
    assert len(kids(app)) == 2  # the active one and the standby
    assert (data["keys_can_change"], data["keys_reason"]) == (
        False,
        "The server listens beyond loopback, or the request is from another machine.",
    )


@pytest.mark.parametrize("more", [{"issuer": "https://auth.example.com"}, {"trusted_proxies": 1}], ids=str)
def test_a_server_that_seems_public_changes_no_key(new_app: Callable[..., Flask], more: dict[str, object]) -> None:
    app = new_app(**more)
    headers = {"Host": "auth.example.com", "Origin": "https://auth.example.com"} if "issuer" in more else HERE

    response = change(app, {"action": "rotate"}, headers)

    assert (response.status_code, response.json["error"]) == (403, "access_denied")
    assert "Others may reach this server" in response.json["hint"]


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "127.0.0.2", "localhost"])
def test_on_loopback_the_page_may_change_keys(app: Flask, name: str) -> None:
    connection = {"SERVER_NAME": name, "REMOTE_ADDR": "127.0.0.1"}

    data = app.test_client().get("/playground/data.json", headers=HERE, environ_overrides=connection).json
    response = change(app, {"action": "rotate"}, environ_overrides=connection)

    assert (data["keys_can_change"], data["keys_reason"]) == (True, "")
    assert response.status_code == 200


def test_a_browser_that_sends_no_origin_is_known_by_sec_fetch_site(app: Flask) -> None:
    response = change(app, {"action": "rotate"}, {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"data": {"action": "rotate"}, "json": None}, 415, id="a form"),
        pytest.param({"data": '{"action": "rotate"}', "json": None, "content_type": "text/plain"}, 415, id="text"),
        pytest.param({"data": "{", "json": None, "content_type": "application/json"}, 400, id="no JSON"),
        pytest.param({"data": "[" * 9_000, "json": None, "content_type": "application/json"}, 400, id="nested"),
        pytest.param({"json": []}, 400, id="a list"),
        pytest.param({"json": {}}, 400, id="no action"),
        pytest.param({"json": {"action": "publish"}}, 400, id="unknown action"),
        pytest.param({"json": {"action": ["rotate"]}}, 400, id="an action that is a list"),
        pytest.param({"json": {"action": "rotate", "kid": "x"}}, 400, id="a member too many"),
        pytest.param({"json": {"action": "withdraw"}}, 400, id="no kid"),
        pytest.param({"json": {"action": "withdraw", "kid": 5}}, 400, id="a kid that is a number"),
        pytest.param({"json": {"action": "withdraw", "kid": "unknown"}}, 400, id="unknown kid"),
        pytest.param({"json": {"action": "withdraw", "kid": "\x00"}}, 400, id="a kid of a NUL byte"),
        pytest.param({"json": {"action": "withdraw", "kid": "\ud800"}}, 400, id="a kid of half a surrogate pair"),
    ],
)
def test_a_request_that_is_malformed_changes_no_key(app: Flask, sent: dict[str, Any], status: int) -> None:
    response = change(app, None, **sent)

    assert (response.status_code, response.json["error"]) == (status, "invalid_request"), response.text
    assert len(kids(app)) == 2  # the active one and the standby


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_a_post_changes_keys(app: Flask, method: str) -> None:
    """OPTIONS too: a preflight of another origin gets no permission."""
    response = app.test_client().open("/playground/keys", method=method, json={"action": "rotate"}, headers=HERE)

    assert response.status_code in (404, 405)
    assert len(kids(app)) == 2  # the active one and the standby


@pytest.fixture(scope="module")
def hostile(prepared: Callable[[str], str]) -> Iterator[Flask]:
    app = build_app(database_url=prepared("sqlite"))
    yield app
    close(app)


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    path=st.sampled_from([path for _, path in ROUTES]) | st.text(max_size=20).map("/playground/{}".format),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
    headers=st.dictionaries(
        st.sampled_from(
            ["Origin", "Sec-Fetch-Site", "X-Keyturn-Checks", "If-None-Match", "If-Modified-Since", "Range", "Accept"]
        ),
        header_text,
    ),
    body=st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    media_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded"]) | header_text,
)
def test_no_request_to_the_playground_ends_in_a_500(
    hostile: Flask, path: str, method: str, headers: dict[str, str], body: bytes, media_type: str
) -> None:
    client = hostile.test_client()
    response = client.open(path, method=method, headers=headers, data=body, content_type=media_type, buffered=True)

    assert response.status_code < 500, response.text


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    body=anything
    | st.fixed_dictionaries({"action": st.just("withdraw"), "kid": st.text(max_size=20) | anything})
    | st.dictionaries(st.sampled_from(["action", "kid", "x"]), anything)
)
def test_no_body_from_the_page_ends_in_a_500(hostile: Flask, body: object) -> None:
    data = json.dumps(body).encode("utf-8", "surrogatepass")

    response = change(hostile, None, json=None, data=data, content_type="application/json")

    assert response.status_code == 400, response.text


def test_the_app_is_built_without_its_folder(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("playground", "__pycache__"))
    for name in ("config.py", "keyturn.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    script = (
        "from app import create_app; app = create_app(); app.test_cli_runner().invoke(args=['prepare'])\n"
        "admin = ('demo-admin', 'kts_demo-admin-is-for-learning-only')\n"
        "form, client = {'grant_type': 'client_credentials'}, app.test_client()\n"
        "print(client.post('/oauth/token', data=form, auth=admin).status_code, client.get('/').status_code)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {"KEYTURN_SECRET_KEYS": SECRET_KEY, "KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["200", "404"]


def test_over_sockets_every_worker_refuses_the_tokens_of_a_key_that_the_page_withdrew(
    live: Callable[..., LiveServer],
) -> None:
    server = live()
    data = json.loads(fetched(f"{server.url}/playground/data.json"))
    admin = next(client for client in data["clients"] if client["client_id"] == "demo-admin")
    token = token_of(server, admin)
    call = lambda: status_of(f"{server.url}/inventory", {"Authorization": f"Bearer {token}"})  # noqa: E731

    assert data["keys_can_change"], data["keys_reason"]
    assert (
        status_of(f"{server.url}/playground/keys", {"Content-Type": "application/json"}, b'{"action":"rotate"}') == 403
    )
    headers = {"Content-Type": "application/json", "Origin": server.url}
    assert status_of(f"{server.url}/playground/keys", headers, b'{"action":"rotate"}') == 200
    assert {call() for _ in range(8)} == {200}
    body = json.dumps({"action": "withdraw", "kid": kid_of(token)}).encode()
    assert status_of(f"{server.url}/playground/keys", headers, body) == 200
    assert {call() for _ in range(20)} == {401}


def token_of(server: LiveServer, client: dict[str, Any]) -> str:
    body = f"grant_type=client_credentials&client_id={client['client_id']}&client_secret={client['secret']}"
    return str(json.loads(fetched(f"{server.url}/oauth/token", data=body.encode()))["access_token"])


def fetched(url: str, *, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data=data, timeout=30) as response:
        return bytes(response.read())


def status_of(url: str, headers: dict[str, str], data: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
