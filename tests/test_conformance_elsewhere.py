"""The conformance runner at servers that are not ours, and at Keyturn behind a front that changes its responses."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from xml.etree import ElementTree as Xml

import pytest
from flask import Flask
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from conformance import exchange, judging
from conformance.cases import CASES
from conformance.clauses import CHAPTERS, CLAUSES
from conformance.exchange import CannotRunError
from conformance.results import Results
from conformance.server_runner import Outside
from tests.conftest import build_app, close, free_port, responds, wait_for
from tests.support.npm import FOLDER, Npm

# node-oidc-provider breaks these, and no others. Each was seen with curl.
BROKEN_BY_OIDC_PROVIDER = {
    "R022": "a wrong client_secret in the form is 401 without WWW-Authenticate (RFC 9110, section 15.5.2)",
    "R054": "a response with a token has Cache-Control, and no Pragma: no-cache (RFC 6749, section 5.1)",
}
# oauth2-mock-server issues a token whatever the secret is.
BROKEN_BY_ANY_SECRET = {"R011", "R017", "R018", "R020", "R023", "R086", "R092", "R093"}


@contextmanager
def started(npm: Npm, script: str, host: str) -> Iterator[str]:
    """A server of `tests/npm/`, by its address."""
    port = free_port()
    process = subprocess.Popen(
        [npm.node_path, str(FOLDER / script), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: process.poll() is not None or responds(f"http://127.0.0.1:{port}/jwks"), seconds=60)
        yield f"http://{host}:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def failed(results: Results, levels: str = "M") -> set[str]:
    return {each.id for each in results.all() if each.level in levels and each.state in {"FAIL", "differs"}}


def test_at_node_oidc_provider_no_must_that_it_keeps_is_reported_as_failed(npm: Npm) -> None:
    with started(npm, "oidc_provider.mjs", "127.0.0.1") as url:
        results = Outside(url, "demo", "demo-s3cret").run()

    assert failed(results) == BROKEN_BY_OIDC_PROVIDER.keys()
    assert failed(results, "S") == set()
    assert results.counted()["M"]["pass"] >= 18
    assert "no token: no API is known: API_URL=… names one" in results.result("R100").lines()


def test_at_oauth2_mock_server_that_any_secret_is_accepted_is_a_must_that_failed(npm: Npm) -> None:
    with started(npm, "oauth2_mock_server.mjs", "localhost") as url:
        results = Outside(url, "any", "any-secret").run()

    assert failed(results) >= BROKEN_BY_ANY_SECRET
    assert "the server did what it asked for" in results.result("R020").lines()[0]
    assert results.endpoints.metadata_url.endswith("/.well-known/openid-configuration")


SECRET = "kts_demo-admin-is-for-learning-only"
Change = Callable[[Request, Response], Response | None]


def unchanged(_: Request, __: Response) -> None:
    return None


def member(name: str, value: object, *, path: str = "/oauth/token", status: int = 200) -> Change:
    """Set a member of the JSON body, or remove it if the value is None."""

    def change(request: Request, response: Response) -> Response | None:
        if request.path == path and response.status_code == status:
            document = json.loads(response.get_data())
            document.pop(name, None)
            response.set_data(json.dumps(document | ({} if value is None else {name: value})))
        return None

    return change


def header(name: str, value: str | None, *, status: int = 200, path: str = "/oauth/token") -> Change:
    def change(request: Request, response: Response) -> Response | None:
        if request.path == path and response.status_code == status:
            del response.headers[name]
            if value is not None:
                response.headers[name] = value
        return None

    return change


def status(old: int, new: int, path: str = "/oauth/token", *, by_header: bool | None = None) -> Change:
    def change(request: Request, response: Response) -> Response | None:
        fits = by_header is None or by_header == ("Authorization" in request.headers)
        if request.path == path and response.status_code == old and fits:
            response.status_code = new
        return None

    return change


def charset(_: Request, response: Response) -> None:
    if response.mimetype == "application/json":
        response.headers["Content-Type"] = "application/json;charset=UTF-8"


def any_secret(request: Request, response: Response) -> Response | None:
    """Answer a refused client with a token."""
    if request.path == "/oauth/token" and response.status_code == 401:
        token = {"access_token": "a", "token_type": "Bearer", "expires_in": 60, "scope": "read:logs"}
        return Response(json.dumps(token), headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
    return None


def one_of_two_scopes(request: Request, response: Response) -> None:
    if len(request.form.getlist("scope")) == 2:
        document = json.loads(response.get_data())
        response.set_data(json.dumps(document | {"error": "invalid_scope"}))


def private_key(request: Request, response: Response) -> None:
    if request.path == JWKS:
        document = json.loads(response.get_data())
        document["keys"][0]["d"] = "AQAB"
        response.set_data(json.dumps(document))


def api_challenge(value: str) -> Change:
    return header("WWW-Authenticate", value, status=401, path=API)


METADATA, JWKS, API = "/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/admin/logs"
OTHER_SCOPE, QUOTED = member("scope", None), member("error_description", 'say "x"', status=400)
MISNAMED = dict.fromkeys(("R005", "R008", "R009", "R018"), "M") | dict.fromkeys(("R004", "R019", "R041", "R043"), "D")
GRANTS = ["password", "client_credentials"]
NO_PRAGMA, NO_SCOPES = header("Pragma", None), member("scopes_supported", None, path=METADATA)
NOT_FOUND = status(405, 404)
BEARER_TWICE = 'Bearer realm="a", realm="b"'
CHANGES: dict[str, tuple[Change, dict[str, str]]] = {
    "as it is": (unchanged, {}),
    "a charset": (charset, {}),
    "no error_description": (member("error_description", None, status=400), {}),
    "token_type in small letters": (member("token_type", "bearer"), {}),
    "400 for a wrong secret in the form": (status(401, 400, by_header=False), {}),
    "another grant in the metadata": (member("grant_types_supported", GRANTS, path=METADATA), {}),
    "several challenges": (header("WWW-Authenticate", 'Negotiate, Basic realm="x"', status=401), {}),
    "one of two scopes is read": (one_of_two_scopes, {}),
    "no access_token": (member("access_token", None), {"R051": "M"}),
    "a number as access_token": (member("access_token", 7), {"R051": "M"}),
    "a space in access_token": (member("access_token", "a b"), {"R056": "M"}),
    "no token_type": (member("token_type", None), {"R051": "M"}),
    "expires_in as a text": (member("expires_in", "3600"), {"R052": "S"}),
    "a refresh_token": (member("refresh_token", "x"), {"R053": "S"}),
    "a scope that is not named": (OTHER_SCOPE, {"R044": "M"}),
    "HTML": (header("Content-Type", "text/html"), {"R051": "M"}),
    "no Cache-Control": (header("Cache-Control", None), {"R054": "M"}),
    "no Pragma": (NO_PRAGMA, {"R054": "M"}),
    "errors may be stored": (header("Cache-Control", None, status=400), {"R054": "D"}),
    "any secret": (any_secret, dict.fromkeys(("R011", "R017", "R020", "R023"), "M")),
    "no challenge": (header("WWW-Authenticate", None, status=401), {"R020": "M", "R022": "M"}),
    "no realm": (header("WWW-Authenticate", "Basic", status=401), {"R021": "M"}),
    "another challenge": (header("WWW-Authenticate", 'Digest realm="x"', status=401), {"R020": "M"}),
    "a quote in an error": (QUOTED, {"R059": "M"}),
    "an error_uri with a space": (member("error_uri", "a b", status=400), {"R060": "M"}),
    "an error of our own": (member("error", "nonsense", status=400), MISNAMED),
    "404 for GET": (NOT_FOUND, {"R001": "D", "R061": "D", "R106": "D"}),
    "405 without Allow": (header("Allow", None, status=405), {"R001": "M"}),
    "the metadata without a grant": (member("grant_types_supported", None, path=METADATA), {"R081": "M"}),
    "an empty list": (member("ui_locales_supported", [], path=METADATA), {"R083": "M"}),
    "a method that is not listed": (
        member("token_endpoint_auth_methods_supported", ["client_secret_basic"], path=METADATA), {"R082": "M"}
    ),
    "no response_types_supported": (member("response_types_supported", None, path=METADATA), {"R080": "M"}),
    "no scopes_supported": (NO_SCOPES, {"R084": "S"}),
    "a private key": (private_key, {"R073": "M"}),
    "no keys": (member("keys", None, path=JWKS), {"R072": "M"}),
    "the API's challenge has no parameter": (api_challenge("Bearer"), {"R100": "M", "R101": "S"}),
    "a parameter twice in a challenge": (api_challenge(BEARER_TWICE), {"R100": "M", "R101": "S"}),
    "the API lets everything in": (status(400, 200, path=API), {"R069": "M"}),
}  # fmt: skip


class Front:
    """An app on a port, behind a front that changes its responses."""

    def __init__(self, app: Flask, port: int) -> None:
        self.app = app
        self.change: Change = unchanged
        self.url = f"http://127.0.0.1:{port}"
        self.server = make_server("127.0.0.1", port, Request.application(self.respond), threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def respond(self, request: Request) -> Response:
        body = io.BytesIO(request.get_data())  # a change may read the form as well
        response = Response.from_app(self.app, request.environ | {"wsgi.input": body})
        response = self.change(request, response) or response
        response.headers["Content-Length"] = str(len(response.get_data()))
        return response

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def front(prepared: Callable[[str], str]) -> Iterator[Front]:
    port = free_port()
    url, issuer = prepared("sqlite"), f"http://127.0.0.1:{port}"
    app = build_app(database_url=url, issuer=issuer, limit_failures="", limit_address="")
    made = Front(app, port)
    yield made
    made.close()
    close(app)


@pytest.fixture
def run_behind(front: Front) -> Iterator[Callable[[Change], Results]]:
    def run(change: Change) -> Results:
        front.change = change
        return Outside(front.url, "demo-admin", SECRET).run()

    yield run
    front.change = unchanged


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_response_counts_for_its_clause_at_its_level(
    run_behind: Callable[[Change], Results], name: str
) -> None:
    change, expected = CHANGES[name]

    results = run_behind(change)

    found = {each.id: each.level for each in results.all() if each.state in {"FAIL", "differs"}}
    assert found == expected
    assert results.failed == ("M" in found.values())
    assert {each.level for each in results.all() if each.state == "differs"} <= {"D"}


def error_500(request: Request, _: Response) -> Response | None:
    return Response("broken", status=500) if request.form.get("colour") or request.path == JWKS else None


# What the RFCs allow instead of our response: the case, and the status, error code and methods of another server.
ALLOWED = [
    ("introspect without credentials", 400, "invalid_request"),
    ("revoke without credentials", 400, "invalid_client"),
    ("a wrong secret, in the form", 400, "invalid_client"),
    ("an unknown client", 400, "invalid_client"),
    ("no credentials", 400, "invalid_request"),
    ("no secret", 400, "unauthorized_client"),
    ("no secret", 400, "invalid_request"),
    ("Basic that is not Base64", 400, "invalid_client"),
    ("Basic without a colon", 400, "invalid_request"),
    ("Basic that is not UTF-8", 400, "invalid_request"),
    ("a secret and an assertion", 200, ""),
    ("the secret in the URL", 200, ""),
    ("Basic, and another id in the form", 200, ""),
    ("Basic, and another id in the form", 401, "invalid_client"),
    ("an unknown scope", 200, ""),
    ("two spaces in a scope", 200, ""),
    ("JSON instead of a form", 400, "invalid_request"),
    ("introspect with GET", 404, ""),
]


def other_response(status: int, error: str) -> exchange.Response:
    headers = Message()
    headers["Content-Type"], headers["WWW-Authenticate"] = "application/json", 'Basic realm="x"'
    token = {"access_token": "a", "token_type": "Bearer", "scope": "read"}
    return exchange.Response(status, headers, json.dumps({"error": error} if error else token).encode())


def judged(name: str, response: exchange.Response, methods: list[str]) -> set[str]:
    """The levels of what is found."""
    case = next(case for case in CASES if case.name == name)
    leeway = judging.allowed(case, methods)
    return {each.level for each in judging.refused(case, response, leeway, by_header=False)}


@pytest.mark.parametrize(("name", "status", "error"), ALLOWED)
def test_what_an_rfc_allows_is_no_must_that_failed(name: str, status: int, error: str) -> None:
    assert judged(name, other_response(status, error), ["client_secret_basic"]) <= {"D"}


def test_an_assertion_may_be_ignored_only_by_a_server_that_knows_none() -> None:
    assert judged("a secret and an assertion", other_response(200, ""), ["private_key_jwt"]) == {"M"}


def test_credentials_follow_no_redirect(run_behind: Callable[[Change], Results]) -> None:
    paths = []

    def moved(request: Request, _: Response) -> Response | None:
        paths.append(request.path)
        return Response(status=302, headers={"Location": "/elsewhere"}) if request.form.get("colour") else None

    results = run_behind(moved)

    assert failed(results) == {"R007"}
    assert "/elsewhere" not in paths


UNKNOWN: dict[str, tuple[Change, str, str]] = {
    "no token": (member("access_token", None), "R051", "R012 R013 R016 R044 R052 R054 R056"),
    "any secret": (any_secret, "R020 R023", "R021 R024"),
    "an error instead": (error_500, "R007 R072", "R073 R074 R075 R076"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_a_response_does_not_show_has_not_passed(run_behind: Callable[[Change], Results], name: str) -> None:
    change, fail, unknown = UNKNOWN[name]

    results = run_behind(change)

    states = {each.id: each.state for each in results.all()}
    assert {clause: states[clause] for clause in fail.split()} == dict.fromkeys(fail.split(), "FAIL")
    assert {clause: states[clause] for clause in unknown.split()} == dict.fromkeys(unknown.split(), "not tried")


def test_the_reports_count_the_levels_apart_and_hold_no_secret(run_behind: Callable[[Change], Results]) -> None:
    reflected = member("error_description", f"not with {SECRET}", status=400)
    results = run_behind(
        lambda *each: any(change(*each) for change in (NO_PRAGMA, NO_SCOPES, NOT_FOUND, reflected)) or None
    )

    document, suites = json.loads(results.json()), Xml.fromstring(results.junit())

    failures = {each.attrib["name"][:4]: each.find("failure") for each in suites.iter("testcase")}
    assert {name for name, failure in failures.items() if failure is not None} == {"R054"}
    assert [int(each.attrib["tests"]) for each in suites] == [len(chapter) for chapter in CHAPTERS.values()]
    assert sum(int(each.attrib["failures"]) for each in suites) == 1
    assert document["must_failed"] is True
    assert document["counts"]["M"]["FAIL"] == document["counts"]["S"]["FAIL"] == 1
    assert document["counts"]["D"]["differs"] == 3
    assert sum(sum(states.values()) for states in document["counts"].values()) == len(CLAUSES)
    assert SECRET not in results.text() + results.json() + results.junit()


def test_a_text_of_the_server_is_shown_without_the_secret_in_it(run_behind: Callable[[Change], Results]) -> None:
    results = run_behind(member("error", f"bad {SECRET}", status=401))

    assert "401 bad …" in results.text()
    assert SECRET not in results.text() + results.json() + results.junit()


def test_a_server_that_closes_the_connection_fails_the_case(run_behind: Callable[[Change], Results]) -> None:
    def closed(request: Request, _: Response) -> None:
        if request.headers.get("Authorization") == "Basic %%%":
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    results = run_behind(closed)

    assert failed(results) == {"R017"}
    assert "the response was 0" in results.text()


@pytest.mark.parametrize("junk", [None, 7, "", "a b", [], [[]], {"a": []}], ids=repr)
@pytest.mark.parametrize("path", ["/oauth/", "/.well-known/"])
def test_no_response_makes_the_runner_itself_fail(
    run_behind: Callable[[Change], Results], path: str, junk: object
) -> None:
    """Each member of each JSON object is junk, but for the addresses of the endpoints."""

    def spoilt(request: Request, response: Response) -> None:
        if request.path.startswith(path) and response.mimetype == "application/json":
            document = json.loads(response.get_data())
            spared = {name for name in document if name.endswith(("_endpoint", "_uri"))}
            response.set_data(json.dumps(document | dict.fromkeys(document.keys() - spared, junk)))

    assert run_behind(spoilt).failed


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"<html>"])
def test_a_body_that_is_no_json_object_is_reported(run_behind: Callable[[Change], Results], body: bytes) -> None:
    def spoilt(request: Request, response: Response) -> None:
        if request.path == "/oauth/token":
            response.set_data(body)

    assert {"R051", "R058"} <= failed(run_behind(spoilt))


@pytest.mark.parametrize("document", [{}, {"token_endpoint": 7}, {"token_endpoint": []}])
def test_without_a_token_endpoint_in_the_metadata_one_must_be_named(front: Front, document: dict[str, object]) -> None:
    def no_endpoint(request: Request, response: Response) -> None:
        if request.path == METADATA:
            response.set_data(json.dumps(document))

    front.change = no_endpoint
    try:
        with pytest.raises(CannotRunError, match="no metadata of it names a token_endpoint"):
            Outside(front.url, "demo-admin", SECRET).run()

        named = Outside(front.url, "demo-admin", SECRET, {"TOKEN_ENDPOINT": f"{front.url}/oauth/token"}).run()
    finally:
        front.change = unchanged
    assert named.result("R012").state == "pass"
    assert named.result("R072").state == "not tried"


def test_what_a_request_for_a_token_needs_more_is_sent(front: Front) -> None:
    seen = []

    def record(request: Request, _: Response) -> None:
        seen.append(request.form.to_dict())

    front.change = record
    try:
        results = Outside(front.url, "demo-admin", SECRET, {"FORM": "scope=read:logs&audience=x"}).run()
    finally:
        front.change = unchanged

    granted = [form for form in seen if form.get("grant_type") == "client_credentials"]
    assert granted
    assert all(form["audience"] == "x" for form in granted)
    assert results.failed is False


def test_an_api_of_ones_own_is_tried_and_sent_no_secret(front: Front) -> None:
    seen = []

    def record(request: Request, _: Response) -> None:
        seen.append((request.path, request.headers.get("Authorization", "")))

    front.change = record
    try:
        results = Outside(front.url, "demo-admin", SECRET, {"API_URL": f"{front.url}/internal/reports"}).run()
        with pytest.raises(CannotRunError, match="API_URL is not guarded"):
            Outside(front.url, "demo-admin", SECRET, {"API_URL": front.url + JWKS}).run()
    finally:
        front.change = unchanged

    good = "Basic " + b64encode(f"demo-admin:{SECRET}".encode()).decode()
    assert results.result("R100").state == "pass in part"
    assert {path for path, authorization in seen if authorization == good} <= {
        "/oauth/token",
        "/oauth/introspect",
        "/oauth/revoke",
    }
    assert "/inventory" not in {path for path, _ in seen}
