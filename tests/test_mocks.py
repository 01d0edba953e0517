"""The mocks: the stubs in a real WireMock respond as this server does, and the Express middleware does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
import requests
from flask import Flask

from app.clock import now
from app.discovery.jwks import PATH as JWKS
from app.faults.bad_issuers import METADATA
from app.faults.fault_layer import HEADER
from app.faults.table import FAULTS, Fault, Kind
from conformance.cases import CASES, Case
from tests.conftest import ROOT, build_app, close, curl, free_port, missing, responds, wait_for
from tests.support import collection, mock_tokens, mocks
from tests.support.mock_faults import DEMO, SCOPE, SLOW
from tests.support.mock_requests import spellings
from tests.support.npm import FOLDER, Npm
from tests.support.pages import Page, pattern
from tests.support.runner import Runner
from tests.test_cases import assert_has, assert_is, claims_of

PAGE = Page(ROOT / "mocks" / "README.md")
FORM = {"grant_type": "client_credentials"}
RESPONSES = [fault for fault in FAULTS.values() if fault.kind is Kind.RESPONSE]
TOKENS = [fault for fault in FAULTS.values() if fault.kind is Kind.TOKEN]
ISSUERS = [fault for fault in FAULTS.values() if fault.kind is Kind.ISSUER]
CLOSED = {"drop", "cut"}


@pytest.fixture(scope="module")
def wiremock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a WireMock with the stubs of the repository."""
    java = shutil.which("java")
    if not java:
        missing("Java", install="it runs WireMock (apt install default-jre-headless)")
    request.getfixturevalue("npm")
    folder = tmp_path_factory.mktemp("wiremock")
    shutil.copytree(mocks.FOLDER, folder / "mappings")
    (jar,) = (FOLDER / "node_modules" / "wiremock" / "build").glob("wiremock-standalone-*.jar")
    port = free_port()
    typed = next(command for command, _ in PAGE.commands() if command.startswith("npx "))
    _, _, package, *options = shlex.split(typed.replace("mocks/wiremock", str(folder)).replace("8080", str(port)))
    assert jar.name == f"{package.replace('@', '-standalone-')}.jar"
    command = [str(java), "-jar", str(jar), *options]
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: process.poll() is not None or responds(url), seconds=120)
        assert process.poll() is None, log.read_text(errors="replace")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def keyturn(prepared: Callable[[str], str]) -> Iterator[Flask]:
    """This server, with which the stubs are compared."""
    app = build_app(database_url=prepared("sqlite"))
    yield app
    close(app)


def request_token(url: str, client_id: str, secret: str, *, in_form: bool = False, **form: str) -> requests.Response:
    data = FORM | form | ({"client_id": client_id, "client_secret": secret} if in_form else {})
    auth = None if in_form else (client_id, secret)
    return requests.post(f"{url}/oauth/token", data, auth=auth, timeout=60, allow_redirects=False)


class OverHttp(Runner):
    """Runs cases at a server elsewhere."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.known = collection.variables(url)
        self.sent: set[str] = set()

    def send(self, case: Case) -> Any:
        if case.after and case.after not in self.sent:
            self.send(next(each for each in CASES if each.name == case.after))
        headers = {name: self.fill(text) for name, text in case.headers.items()}
        if case.bearer:
            headers["Authorization"] = f"Bearer {self.value(case.bearer)}"
        more: dict[str, Any] = {"json": case.json}
        if case.form is not None:
            more["data"] = "&".join(f"{name}={quote_plus(self.fill(text))}" for name, text in case.form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if case.basic:
            more["auth"] = (self.value(f"{case.basic}_id"), self.value(f"{case.basic}_secret"))
        response = requests.request(case.method, self.url + self.fill(case.path), headers=headers, timeout=60, **more)
        self.sent.add(case.name)
        if case.saves:
            self.known[case.saves] = response.json()["access_token"]
        return response


@pytest.mark.parametrize("case", [pytest.param(each, id=each.name.replace(" ", "-")) for each in CASES])
def test_the_stubs_respond_to_each_case_as_this_server_does(wiremock: str, case: Case) -> None:
    if case.name in {*mocks.NEED_A_STATE, mocks.NARROWED} or mocks.is_signed(case):
        return  # docs: what stubs cannot do
    runner = OverHttp(wiremock)

    response = runner.send(case)

    assert response.status_code == case.status, response.text
    for name, wanted in case.headers_are.items():
        assert_is(runner, response.headers.get(name, ""), wanted)
    body = response.json() if response.text else {}
    assert_has(runner, body, {name: wanted for name, wanted in case.body.items() if name != "scope"})
    assert set(body.get("scope", "").split()) == set(case.body.get("scope", "").split()) or "scope" not in case.body
    assert not body.keys() & {*case.absent, "hint"}
    for name, members in case.every.items():
        assert body[name]
        for each in body[name]:
            assert_has(runner, each, members)
    runner.known["base_url"] = mock_tokens.ISSUER  # a signed token names one issuer, wherever the stubs are
    if case.claims:
        assert_has(runner, claims_of(body["access_token"]), case.claims)


@pytest.mark.parametrize("number", range(4), ids=["as it is", "RFC 6749", "lower case", "every character"])
@pytest.mark.parametrize("client_id", ["demo-admin", "demo-opaque", "fault-no-scope"])
def test_basic_is_known_in_each_spelling_and_no_other_secret_is(wiremock: str, client_id: str, number: int) -> None:
    secret = DEMO.secret if client_id.startswith("fault") else dict(mocks.KNOWN)[client_id]

    right = request_token(wiremock, spellings(client_id)[number], spellings(secret)[number])
    wrong = request_token(wiremock, spellings(client_id)[number], spellings(secret + "x")[number])

    assert right.json()["token_type"] == "Bearer"
    assert wrong.status_code == 401
    assert wrong.json()["error"] == "invalid_client"


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
@pytest.mark.parametrize("client_id", mocks.CLIENTS)
def test_each_scope_has_its_token_in_any_order_and_no_other_scope_has_one(
    wiremock: str, client_id: str, in_form: bool
) -> None:
    demo = mocks.CLIENTS[client_id]
    for words in mock_tokens.subsets(demo.scope):
        turned = " ".join(reversed(words.split()))

        found = request_token(wiremock, client_id, demo.secret, in_form=in_form, scope=turned).json()

        assert found["scope"] == words
        if demo.token_format == "jwt":
            assert claims_of(found["access_token"])["scope"] == words
    for resource in mock_tokens.RESOURCES:
        there = set(resource.scopes) & set(demo.scope.split())
        found = request_token(
            wiremock, client_id, demo.secret, in_form=in_form, resource=resource.audience or wiremock
        ).json()
        assert set(found.get("scope", "").split()) <= there
        assert ("scope" in found) == bool(there), found
    refused = request_token(wiremock, client_id, demo.secret, in_form=in_form, resource="urn:another-api").json()
    assert refused["error"] == "invalid_target"
    refused = request_token(wiremock, client_id, demo.secret, in_form=in_form, scope=f"{demo.scope} more")
    assert refused.status_code == 400
    assert refused.json()["error"] == "invalid_scope"


def test_each_route_is_open_to_the_tokens_with_its_scope_alone(wiremock: str) -> None:
    for demo in mocks.CLIENTS.values():
        for words in mock_tokens.subsets(demo.scope):
            token = request_token(wiremock, demo.client_id, demo.secret, scope=words).json()["access_token"]
            for method, path, _, scopes in mocks.ROUTES:
                url = wiremock + path.replace("[^/]+", "crate-9")
                found = requests.request(
                    method, url, json={"quantity": 7}, headers={"Authorization": f"Bearer {token}"}, timeout=60
                )

                wanted = 201 if method == "POST" else 200
                if "shipments" in words or demo.access_token_seconds:
                    wanted = 401
                elif not set(words.split()) & set(scopes.split()):
                    wanted = 403
                    assert f'scope="{scopes.split()[0]}"' in found.headers["WWW-Authenticate"]
                assert found.status_code == wanted, (words, method, path)
                if method == "PUT" and wanted == 200:
                    assert found.json() == {"sku": "crate-9", "quantity": 7}
    assert requests.put(f"{wiremock}/inventory/crate-9", json={"quantity": 7}, timeout=60).status_code == 401


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
@pytest.mark.parametrize("client_id", ["demo-brief", "demo-shipments", "fault"])
def test_what_no_case_sends_is_refused_as_well(wiremock: str, client_id: str, in_form: bool) -> None:
    secret = dict(mocks.KNOWN)[client_id]
    sent = {"client_id": client_id, "client_secret": secret} if in_form else {}
    auth = None if in_form else (client_id, secret)

    def error(path: str, **form: str) -> object:
        return requests.post(wiremock + path, form | sent, auth=auth, timeout=60).json().get("error")

    assert error("/oauth/token", scope="read:logs") == "invalid_request"
    assert error("/oauth/token", grant_type="refresh_token") == "unsupported_grant_type"
    assert error("/oauth/token", grant_type="client_credentials", scope="nothing") == "invalid_scope"
    assert error("/oauth/revoke", token="any") is None
    is_api = client_id == "demo-shipments"
    assert error("/oauth/introspect", token="any") == (None if is_api else "unauthorized_client")
    sent, auth = {"client_id": client_id, "client_secret": "wrong"}, None
    assert {error(f"/oauth/{name}", token="any") for name in ("token", "introspect", "revoke")} == {"invalid_client"}


def test_a_stub_is_as_slow_as_its_name_says() -> None:
    for name in ("faults", "issuers-at-fault"):
        stubs = json.loads((mocks.FOLDER / f"{name}.json").read_text())["mappings"]
        for seconds in SLOW:
            slow = [
                each["response"].get("fixedDelayMilliseconds") for each in stubs if f"slow-{seconds}s" in each["name"]
            ]
            assert set(slow) - {None} == {seconds * 1000}
            assert slow.count(None) == (0 if name == "faults" else 6)  # of each issuer one document is slow


def test_a_token_of_two_seconds_begins_at_the_response(wiremock: str) -> None:
    before = now()

    found = request_token(wiremock, "demo-brief", mocks.CLIENTS["demo-brief"].secret).json()
    claims = claims_of(found["access_token"])

    assert before <= claims["iat"] <= now()
    assert claims["exp"] - claims["iat"] == found["expires_in"] == 2


def test_an_introspected_token_was_issued_now(wiremock: str) -> None:
    before = now()
    partner, api = mocks.CLIENTS["demo-partner"], mocks.APIS[0]
    token = request_token(wiremock, partner.client_id, partner.secret, scope="shipments:read").json()["access_token"]

    found = requests.post(f"{wiremock}/oauth/introspect", {"token": token}, auth=api, timeout=60).json()

    assert before <= found["iat"] <= now()
    assert found["exp"] - found["iat"] == 3600


def verified(url: str, token: str) -> dict[str, Any]:
    """What an API does with a token and the JWKS."""
    key = jwt.PyJWKClient(f"{url}{JWKS}").get_signing_key_from_jwt(token)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    found: dict[str, Any] = jwt.decode(
        token, key.key, ["RS256"], audience=mock_tokens.ISSUER, issuer=mock_tokens.ISSUER, options={"require": ["exp"]}
    )
    return found


def test_a_token_is_verified_with_the_keys_of_the_mock(wiremock: str) -> None:
    token = request_token(wiremock, "demo-admin", mocks.CLIENTS["demo-admin"].secret).json()["access_token"]

    assert verified(wiremock, token)["client_id"] == "demo-admin"


REFUSED_BY = {
    "expired": jwt.ExpiredSignatureError,
    "not-yet-valid": jwt.ImmatureSignatureError,
    "wrong-audience": jwt.InvalidAudienceError,
    "wrong-issuer": jwt.InvalidIssuerError,
    "unknown-kid": jwt.PyJWKClientError,
    "wrong-typ": AssertionError,
    "alg-none": jwt.InvalidAlgorithmError,
    "hmac": jwt.InvalidAlgorithmError,
    "bad-signature": jwt.InvalidSignatureError,
}


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
@pytest.mark.parametrize("fault", TOKENS, ids=lambda fault: fault.name)
def test_a_token_at_fault_is_wrong_in_that_one_thing(wiremock: str, fault: Fault, in_form: bool) -> None:
    response = request_token(wiremock, fault.used_as, DEMO.secret, in_form=in_form)
    token = response.json()["access_token"]

    status = requests.get(f"{wiremock}/inventory", headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code

    assert response.headers[HEADER] == fault.name
    if fault.name == "no-scope":
        assert status == 403
        assert "scope" not in verified(wiremock, token)
    else:
        assert status == 401
        with pytest.raises(REFUSED_BY[fault.name]):
            verified(wiremock, token)


def shape(response: Any) -> tuple[object, ...]:
    """What a client sees of a response, without what differs from token to token."""
    members = {}
    if response.text[:1] == "{" and response.text[-1:] == "}":
        members = json.loads(response.text)
        members = {name: value for name, value in members.items() if name not in ("access_token", "hint", "error_uri")}
    headers = {name: response.headers.get(name) for name in ("Content-Type", "Retry-After", "Pragma", HEADER)}
    return response.status_code, headers, members, "access_token" in response.text


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
@pytest.mark.parametrize("fault", [each for each in RESPONSES if each.name not in CLOSED], ids=lambda each: each.name)
def test_a_response_at_fault_is_that_of_this_server(wiremock: str, keyturn: Flask, fault: Fault, in_form: bool) -> None:
    client_id = fault.used_as.replace("5s", "1s")
    real = keyturn.test_client().post("/oauth/token", data=FORM | {"scope": SCOPE}, auth=(client_id, DEMO.secret))

    found = request_token(wiremock, client_id, DEMO.secret, in_form=in_form, scope=SCOPE)

    assert shape(found) == shape(real)
    if "slow" in client_id:
        assert found.elapsed.total_seconds() >= 1
    if fault.name == "truncated":
        with pytest.raises(ValueError, match="Unterminated"):
            found.json()


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
@pytest.mark.parametrize("name", sorted(CLOSED))
def test_a_connection_is_closed(wiremock: str, name: str, in_form: bool) -> None:
    requests.post(f"{wiremock}/__admin/scenarios/reset", timeout=60)
    for client_id in (f"fault-{name}", f"fault-{name}-once"):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            request_token(wiremock, client_id, DEMO.secret, in_form=in_form)

    again = request_token(wiremock, f"fault-{name}-once", DEMO.secret, in_form=in_form)
    assert again.json()["token_type"] == "Bearer"


@pytest.mark.parametrize("in_form", [False, True], ids=["basic", "form"])
def test_with_once_the_second_request_gets_a_good_token(wiremock: str, in_form: bool) -> None:
    good = mock_tokens.token(DEMO.client_id, SCOPE)
    requests.post(f"{wiremock}/__admin/scenarios/reset", timeout=60)
    for fault in [each for each in (*RESPONSES, *TOKENS) if each.name not in CLOSED]:
        client_id = fault.used_as.replace("5s", "1s") + "-once"

        first = request_token(wiremock, client_id, DEMO.secret, in_form=in_form)
        second = request_token(wiremock, client_id, DEMO.secret, in_form=in_form)

        assert first.headers[HEADER] == fault.name.replace("5s", "1s"), client_id
        assert HEADER not in second.headers, client_id
        assert second.json()["access_token"] == good, client_id


@pytest.mark.parametrize("fault", ISSUERS, ids=lambda fault: fault.name)
def test_an_issuer_at_fault_is_that_of_this_server(wiremock: str, keyturn: Flask, fault: Fault) -> None:
    path = fault.used_as.replace("5s", "1s")
    for place in (METADATA + path, path + METADATA, path + JWKS):
        real, found = keyturn.test_client().get(place), requests.get(wiremock + place, timeout=60)

        assert found.status_code == real.status_code, place
        members = json.loads(json.dumps(real.json).replace(collection.BASE_URL, wiremock))
        assert found.json().keys() == members.keys() - {"hint"}, place
        assert found.json().get("issuer") == members.get("issuer"), place
        assert bool(found.json().get("keys")) == bool(members.get("keys")), place  # a mock has no standby key
    token = requests.post(f"{wiremock}{path}/oauth/token", FORM, auth=(DEMO.client_id, DEMO.secret), timeout=60).json()
    sent = FORM | {"client_id": DEMO.client_id, "client_secret": DEMO.secret}
    assert requests.post(f"{wiremock}{path}/oauth/token", sent, timeout=60).json() == token
    assert claims_of(token["access_token"])["iss"] == mock_tokens.ISSUER + path
    published = {key["kid"] for key in requests.get(f"{wiremock}{path}{JWKS}", timeout=60).json().get("keys", [])}
    kid = jwt.get_unverified_header(token["access_token"])["kid"]
    assert (kid in published) == (fault.name not in ("jwks-down", "jwks-empty", "jwks-rotated"))


def test_the_commands_of_the_page_print_what_it_shows(wiremock: str) -> None:
    curl()
    requests.post(f"{wiremock}/__admin/scenarios/reset", timeout=60)
    commands = [each for each in PAGE.commands() if not each[0].startswith("npx ")]
    mark = "--- the next command"
    script = "\n".join(f"{command}; echo '{mark}'" for command, _ in commands)

    done = subprocess.run(
        ["bash", "-c", script.replace("http://127.0.0.1:8080", wiremock)], capture_output=True, text=True, timeout=120
    )

    printed = done.stdout.replace(wiremock, "http://127.0.0.1:8080").split(mark)[:-1]
    assert len(printed) == len(commands) > 5
    for (command, shown), found in zip(commands, printed, strict=True):
        assert pattern(shown).fullmatch(found.strip()), f"{command} printed {found}"


def test_the_page_names_every_file_of_stubs_and_every_fault_of_the_middleware() -> None:
    files = {row[0].strip("`") for row in PAGE.table("stubs")}
    middleware = (ROOT / "mocks" / "express.mjs").read_text()
    tables = re.findall(r"^const (?:RESPONSES|TOKENS) = \{\n(.*?)^\};", middleware, re.DOTALL | re.MULTILINE)
    faults = {name for table in tables for name in re.findall(r"^    \"?([\w-]+)\"?:", table, re.MULTILINE)}

    assert files == {file.name for file in mocks.FOLDER.iterdir()}
    assert len(tables) == 2
    assert faults <= FAULTS.keys() | {"slow-1s"}
    assert faults == set(re.findall(r"`([\w-]+)`", PAGE.text.partition("The faults are ")[2].partition(".\n")[0]))


def test_every_stub_has_responded_to_one_of_these_tests(wiremock: str, request: pytest.FixtureRequest) -> None:
    if request.config.option.keyword or any("::" in each for each in request.config.args):
        pytest.skip("-k or the name of a test chose some of this file; `make test` runs all of it, and then this")
    found = requests.get(f"{wiremock}/__admin/mappings/unmatched", timeout=60).json()["mappings"]

    too_slow = re.compile(r"slow-([25]|10|30)s")
    assert [each["name"] for each in found if not too_slow.search(each["name"])] == []


def test_the_middleware_issues_checks_and_fails_as_its_own_tests_want(npm: Npm, tmp_path: Path) -> None:
    shutil.copy(ROOT / "mocks" / "express.mjs", tmp_path)
    shutil.copy(FOLDER / "express.test.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")  # where both files look for their packages

    done = npm.node(str(tmp_path / "express.test.mjs"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout


def test_the_middleware_alone_is_a_server(npm: Npm, tmp_path: Path) -> None:
    shutil.copy(ROOT / "mocks" / "express.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    port = free_port()
    environment = os.environ | {"PORT": str(port)}
    process = subprocess.Popen([npm.node_path, str(tmp_path / "express.mjs")], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: process.poll() is not None or responds(url), seconds=120)
        token = request_token(url, "demo-admin", dict(mocks.KNOWN)["demo-admin"]).json()["access_token"]
        key = jwt.PyJWKClient(f"{url}{JWKS}").get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key.key, ["RS256"], audience=url, issuer=url)
        status = requests.get(f"{url}/admin/logs", headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code
    finally:
        process.terminate()
        process.wait(timeout=60)

    assert claims["client_id"] == "demo-admin"
    assert status == 200
