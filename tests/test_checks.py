"""The checks of a request: declared where they are made, recorded in order, and never at a cost for other requests."""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.api.guard import require_oauth
from app.checks import DECLARED, Check, Record, making
from app.clock import now
from app.playground import checks_header
from app.playground.checks_header import HEADER
from app.storage.database import db
from conformance.cases import CASES, Case
from tests.conftest import ISSUER, LiveServer, Machine, Operator, demo, kid_of
from tests.support import forging, keyed
from tests.support.federated import platform_in
from tests.support.house import FILES, room_of
from tests.support.keyed import Keyed
from tests.support.runner import Runner

FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}
ADMIN = ("demo-admin", "kts_demo-admin-is-for-learning-only")

# The check that fails for each case: those that are refused, and those about a token that is not active.
FAILS = {
    "the same assertion again": "assertion_once",
    "an assertion for the address of the endpoint": "assertion_aud",
    "Without a token": "bearer",
    "With a scope that is too small": "scope",
    "With a token that has expired": "exp",
    "a token for the shipments API, used here": "aud",
    "introspect a token for another API": "own_audience",
    "introspect garbage": "jwt",
    "introspect half a token": "jwt",
    "introspect as a client that is no API": "resource_server",
    "introspect without credentials": "credentials",
    "introspect with a wrong secret": "secret",
    "introspect nothing": "token",
    "introspect with GET": "address",
    "revoke another client's token": "own_token",
    "introspect the revoked JWT": "not_revoked",
    "the revoked opaque token": "not_revoked",
    "revoke garbage": "jwt",
    "revoke with an unknown hint": "jwt",
    "revoke nothing": "token",
    "revoke without credentials": "credentials",
    "GET": "address",
    "OPTIONS": "address",
    "JSON instead of a form": "media_type",
    "the secret in the URL": "parameters_in_body",
    "a parameter twice": "parameters_once",
    "no grant_type": "grant_type",
    "another grant": "grant_supported",
    "a wrong secret, with Basic": "secret",
    "a wrong secret, in the form": "secret",
    "an unknown client": "client_known",
    "no credentials": "credentials",
    "no secret": "credentials",
    "Basic that is not Base64": "basic",
    "Basic without a colon": "basic",
    "Basic that is not UTF-8": "basic",
    "Basic and a secret in the form": "one_mechanism",
    "a secret and an assertion": "one_mechanism",
    "an assertion without its type": "assertion_type",
    "the type without an assertion": "assertion_type",
    "an assertion of another type": "assertion_type",
    "an assertion that is no JWT": "assertion_form",
    "an assertion without a signature": "assertion_alg",
    "an assertion signed with a secret": "assertion_alg",
    "an assertion of an unknown client": "assertion_key",
    "an assertion beside another client's id": "assertion_parties",
    "Basic, and another id in the form": "one_client_id",
    "a scope beyond the client's": "scope_registered",
    "an unknown scope": "scope_declared",
    "a scope in another case": "scope_declared",
    "two spaces in a scope": "scope_form",
    "a quote in a scope": "scope_form",
    "scopes of two APIs": "one_resource",
    "a resource that is not a URI": "resource",
    "a resource with a fragment": "resource",
    "an unknown resource": "resource",
    "a resource of which the client has no scope": "resource",
    "a resource to which the scope does not belong": "resource",
    "two resources": "resource",
    "no token": "bearer",
    "Basic instead of Bearer": "bearer",
    "garbage": "jwt",
    "a token with a changed signature": "signature",
    "Bearer without a token": "one_word",
    "a token without the scope": "scope",
    "reading is not writing": "scope",
    "a token in the URL": "token_in_header",
    "a token in the form": "token_in_header",
    "a token in the header and in the URL": "token_in_header",
    "a token in the header and in the form": "token_in_header",
    "an expired token": "exp",
    "a limit that is not a number": "route",
    "an address that does not exist": "address",
    "a slash too many": "address",
    "a method that does not exist": "address",
    "a body that is too long": "body_length",
}


class RecordingClient(FlaskClient):
    """A test client whose every request has its checks recorded."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.environ_base["HTTP_X_KEYTURN_CHECKS"] = "record"


class RecordingRunner(Runner):
    """Sends cases as pages do that record their checks."""

    def send(self, case: Case) -> TestResponse:
        usual, self.app.test_client_class = self.app.test_client_class, RecordingClient
        try:
            return super().send(case)
        finally:
            self.app.test_client_class = usual


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: the marks are the same on either."""
    return prepared("sqlite")


@pytest.fixture
def page(app: Flask) -> FlaskClient:
    return RecordingClient(app, app.response_class)


def fails(case: Case) -> bool:
    """Whether the request is refused, or its token is not active: RFC 7009, section 2.2 requires a 200 for that too."""
    is_inactive = case.body == {"active": False} or ("token", "garbage") in (case.form or [])
    return case.status >= 400 or is_inactive


def checks_of(response: TestResponse) -> list[tuple[str, bool]]:
    return [(name, passed) for name, passed in json.loads(response.headers[HEADER])]


def failed(response: TestResponse) -> list[str]:
    return [name for name, passed in checks_of(response) if not passed]


each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in CASES])


@each_case
def test_the_last_check_of_a_case_failed_if_it_is_refused_and_all_others_were_passed(app: Flask, case: Case) -> None:
    response = RecordingRunner(app).send(case)

    names = [name for name, _ in checks_of(response)]
    assert failed(response) == ([FAILS[case.name]] if fails(case) else []), response.text
    assert names[-1:] == failed(response) or not failed(response)
    assert len(set(names)) == len(names)
    assert set(names) <= DECLARED.keys()
    assert response.headers[HEADER].isascii()


def test_the_table_has_each_case_that_is_refused_and_those_about_a_token_that_is_not_active() -> None:
    assert FAILS.keys() == {case.name for case in CASES if fails(case)}


@each_case
def test_nothing_of_the_response_changes_except_that_header(app: Flask, case: Case) -> None:
    with time_machine.travel(now(), tick=False):  # a hint may say how long ago
        recorded, plain = RecordingRunner(app).send(case), Runner(app).send(case)

    assert HEADER not in plain.headers
    assert recorded.status == plain.status
    assert shown(recorded) == shown(plain)
    if plain.status_code >= 400:
        assert recorded.data == plain.data


def shown(response: TestResponse) -> tuple[dict[str, str], list[str]]:
    """Headers and names of members, without what differs between any two responses."""
    of_each = {HEADER, "X-Request-Id", "Date", "Content-Length", "ETag"}
    headers = {name: value for name, value in response.headers.items() if name not in of_each}
    return headers, sorted(response.json if response.data else {})


def test_two_checks_are_in_the_same_order_in_every_request(app: Flask) -> None:
    runner = RecordingRunner(app)
    lists = [[name for name, _ in checks_of(runner.send(case))] for case in CASES]

    before = {(first, later) for names in lists for n, first in enumerate(names) for later in names[n + 1 :]}

    assert len(before) > 1_000
    assert not {(later, first) for first, later in before} & before


# What the cases cannot send: each causes the refusal by a check, and returns the response.
Refusal = Callable[["Place"], TestResponse]
REFUSALS: dict[str, tuple[str, Refusal]] = {}


class Place:
    """An app, and what a refusal needs."""

    def __init__(self, app: Flask, new_app: Callable[..., Flask]) -> None:
        self.app = app
        self.new_app = new_app
        self.operator = Operator(app)

    def post(self, path: str = "/oauth/token", app: Flask | None = None, **more: Any) -> TestResponse:
        wanted = {"data": GRANT, "auth": ADMIN} | more
        app = app or self.app
        return RecordingClient(app, app.response_class).post(path, **wanted)

    def get(self, path: str, token: str) -> TestResponse:
        client = RecordingClient(self.app, self.app.response_class)
        return client.get(path, headers={"Authorization": f"Bearer {token}"})

    def token_of(self, machine: Machine) -> TestResponse:
        return self.post(auth=(machine.client_id, machine.secret))

    def in_production(self) -> Flask:
        """An app in production, in which no page records: here its checks are recorded all the same."""
        app = self.new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
        checks_header.init_app(app)
        return app

    def keyed(self) -> Keyed:
        with tempfile.TemporaryDirectory() as folder:
            return keyed.register(self.app, Path(folder))

    def send(self, assertion: str) -> TestResponse:
        form = GRANT | {"client_assertion": assertion, "client_assertion_type": keyed.TYPE}
        return self.post(data=form, auth=None)

    def send_of_platform(self, claims: dict[str, Any], **header: str) -> TestResponse:
        """Send the token of an issuer that the app trusts."""
        with tempfile.TemporaryDirectory() as name:
            platform, file = platform_in(Path(name))
            form = GRANT | {"client_assertion": platform.sign(claims, **header), "client_assertion_type": keyed.TYPE}
            return self.post(data=form, auth=None, app=self.new_app(file=file))

    def keys(self, **more: Any) -> TestResponse:
        headers = {"Host": "127.0.0.1:8000", "Origin": ISSUER} | more.pop("headers", {})
        return self.post("/playground/keys", data=None, auth=None, headers=headers, **more)


def refused_by(check: str) -> Callable[[Refusal], Refusal]:
    def add(refusal: Refusal) -> Refusal:
        REFUSALS[refusal.__name__] = check, refusal
        return refusal

    return add


@refused_by("body_complete")
def a_body_shorter_than_announced(place: Place) -> TestResponse:
    return place.post(environ_overrides={"CONTENT_LENGTH": "100"})


@refused_by("not_compressed")
def a_compressed_body(place: Place) -> TestResponse:
    return place.post(headers={"Content-Encoding": "gzip"})


@refused_by("form_parameters")
def a_form_of_101_parameters(place: Place) -> TestResponse:
    return place.post(data="&".join(["a=b"] * 101), content_type=FORM)


@refused_by("utf8")
def a_body_that_is_not_utf8(place: Place) -> TestResponse:
    return place.post(data=b"grant_type=\xff", content_type=FORM)


@refused_by("percent_encoding")
def percent_encoded_bytes_that_are_not_utf8(place: Place) -> TestResponse:
    return place.post(data="grant_type=%ff", content_type=FORM)


@refused_by("url_parameters")
def a_url_of_101_parameters(place: Place) -> TestResponse:
    return place.post("/oauth/token?" + "&".join(["a=b"] * 101))


@refused_by("address")
def a_doubled_slash(place: Place) -> TestResponse:
    return RecordingClient(place.app, place.app.response_class).get(
        "/", environ_overrides={"PATH_INFO": "//admin/logs"}
    )


@refused_by("https")
def plain_http_in_production(place: Place) -> TestResponse:
    return place.post(app=place.in_production())


@refused_by("demo_allowed")
def a_demo_client_in_production(place: Place) -> TestResponse:
    return place.post(app=place.in_production(), headers={"X-Forwarded-Proto": "https"})


@refused_by("secret_not_ended")
def a_secret_that_has_ended(place: Place) -> TestResponse:
    machine = place.operator.register("rotated", "--scope", "read:logs")
    place.operator.run("clients", "rotate-secret", "rotated", "--overlap", "0")
    return place.token_of(machine)


@refused_by("client_not_disabled")
def a_disabled_client(place: Place) -> TestResponse:
    machine = place.operator.register("disabled", "--scope", "read:logs")
    place.operator.run("clients", "disable", "disabled")
    return place.token_of(machine)


@refused_by("method")
def a_method_that_the_client_is_not_registered_for(place: Place) -> TestResponse:
    options = ("--scope", "read:logs", "--auth-method", "client_secret_post")
    return place.token_of(place.operator.register("strict", *options))


@refused_by("platform_header")
def a_platforms_token_of_another_type(place: Place) -> TestResponse:
    return place.send_of_platform({}, typ="at+jwt")


@refused_by("platform_key")
def a_platforms_token_of_an_unknown_key(place: Place) -> TestResponse:
    return place.send_of_platform({}, kid="unknown")


@refused_by("platform_aud")
def a_platforms_token_for_another_server(place: Place) -> TestResponse:
    return place.send_of_platform({"aud": "https://other.example"})


@refused_by("platform_times")
def a_platforms_token_of_a_week(place: Place) -> TestResponse:
    return place.send_of_platform({"exp": now() + 7 * 86_400})


@refused_by("platform_trust")
def a_platforms_token_that_no_client_expects(place: Place) -> TestResponse:
    return place.send_of_platform({})


@refused_by("assertion_aud")
def an_assertion_for_another_server(place: Place) -> TestResponse:
    client = place.keyed()
    return place.send(client.make(aud="https://other.example"))


@refused_by("assertion_times")
def an_assertion_that_has_expired(place: Place) -> TestResponse:
    client = place.keyed()
    return place.send(client.make(exp=now() - 100))


@refused_by("assertion_once")
def an_assertion_that_is_sent_twice(place: Place) -> TestResponse:
    assertion = place.keyed().make()
    place.send(assertion)
    return place.send(assertion)


@refused_by("grant_allowed")
def a_client_without_a_grant(place: Place) -> TestResponse:
    return place.token_of(demo(place.app, "demo-shipments"))


@refused_by("limit")
def one_request_too_many(place: Place) -> TestResponse:
    app = place.new_app(limit_requests="1/hour")
    place.post(app=app)
    return place.post(app=app)


@refused_by("signing_key")
def no_key_that_signs(place: Place) -> TestResponse:
    app = place.new_app()
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("DELETE FROM signing_keys"))
    return place.post(app=app)


@refused_by("extensions")
def a_token_with_an_extension(place: Place) -> TestResponse:
    return place.get("/inventory", forging.with_header(place.app, header(place.app, crit=[])))


@refused_by("typ")
def a_token_of_another_type(place: Place) -> TestResponse:
    return place.get("/inventory", forging.with_our_key(place.app, forging.claims(), typ="JWT"))


@refused_by("alg")
def a_token_without_a_signature(place: Place) -> TestResponse:
    return place.get("/inventory", forging.unsigned(place.app))


@refused_by("kid")
def a_token_of_an_unknown_key(place: Place) -> TestResponse:
    return place.get("/inventory", forging.with_our_key(place.app, forging.claims(), kid="unknown"))


@refused_by("signature")
def a_token_of_a_foreign_key(place: Place) -> TestResponse:
    return place.get("/inventory", forging.with_a_foreign_key(place.app))


@refused_by("payload")
def a_payload_that_is_not_json(place: Place) -> TestResponse:
    return place.get("/inventory", forging.with_our_key(place.app, b"no JSON"))


@refused_by("claims")
def a_claim_that_is_missing(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, jti=forging.LEFT_OUT))


@refused_by("iss")
def a_token_of_another_issuer(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, iss="https://auth.example.com"))


@refused_by("lifetime")
def a_token_of_a_week(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, exp=now() + 7 * 86_400))


@refused_by("claim_forms")
def a_scope_that_is_a_number(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, scope=5))


@refused_by("claim_forms")
def a_generation_that_is_no_number(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, gen="5"))


@refused_by("nbf_iat")
def a_token_from_the_future(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, nbf=now() + 3_600))


@refused_by("token_client_known")
def a_token_of_a_client_that_was_deleted(place: Place) -> TestResponse:
    return place.get("/inventory", forged(place.app, client_id="ktc_nobody"))


@refused_by("token_client_enabled")
def a_token_of_a_client_that_was_disabled(place: Place) -> TestResponse:
    token = demo(place.app, "demo-admin").token()
    place.operator.run("clients", "disable", "demo-admin")
    return place.get("/inventory", token)


@refused_by("generation")
def a_token_of_an_earlier_generation(place: Place) -> TestResponse:
    token = demo(place.app, "demo-admin").token()
    place.operator.run("tokens", "revoke", "--client", "demo-admin")
    return place.get("/inventory", token)


@refused_by("key_in_use")
def a_token_of_a_key_that_another_worker_withdrew_just_now(place: Place) -> TestResponse:
    token = demo(place.app, "demo-admin").token()
    Operator(place.new_app()).run("keys", "withdraw", kid_of(token))
    return place.get("/inventory", token)


@refused_by("stored")
def an_opaque_token_that_is_unknown(place: Place) -> TestResponse:
    return place.get("/inventory", "kta_unknown")


@refused_by("fault")
def a_fault_that_does_not_exist(place: Place) -> TestResponse:
    return place.post(auth=("fault-nothing", "x"))


@refused_by("on_this_machine")
def keys_changed_over_another_address(place: Place) -> TestResponse:
    return place.keys(json={"action": "rotate"}, environ_overrides={"SERVER_NAME": "192.0.2.1"})


@refused_by("from_this_page")
def keys_changed_from_another_page(place: Place) -> TestResponse:
    return place.keys(json={"action": "rotate"}, headers={"Origin": "https://attacker.example"})


@refused_by("key_action")
def an_action_that_does_not_exist(place: Place) -> TestResponse:
    return place.keys(json={"action": "publish"})


def header(app: Flask, **more: Any) -> dict[str, Any]:
    return {"alg": "RS256", "kid": forging.our_kid(app), "typ": "at+jwt"} | more


def forged(app: Flask, **changes: Any) -> str:
    return forging.with_our_key(app, forging.claims(**changes))


@pytest.mark.parametrize(("check", "refusal"), [pytest.param(*row, id=name) for name, row in REFUSALS.items()])
def test_a_refusal_shows_the_check_that_failed(
    app: Flask, new_app: Callable[..., Flask], check: str, refusal: Refusal
) -> None:
    response = refusal(Place(app, new_app))

    assert response.status_code in (400, 401, 403, 404, 413, 429, 503), response.text
    assert failed(response) == [check]
    assert checks_of(response)[-1] == (check, False)


def test_a_limit_of_failures_fails_after_the_check_of_the_credentials(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="1/hour")
    page = RecordingClient(app, app.response_class)

    responses = [page.post("/oauth/token", data=GRANT, auth=("demo-admin", "wrong")) for _ in range(2)]

    assert [response.status_code for response in responses] == [401, 429]
    assert [failed(response) for response in responses] == [["secret"], ["secret", "failures"]]


def test_a_database_that_fails_is_shown_after_the_check_that_needed_it(app: Flask, page: FlaskClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE client_secrets"))

    response = page.post("/oauth/token", data=GRANT, auth=ADMIN)

    assert response.status_code == 503
    assert failed(response) == ["credentials", "database"] or failed(response)[-1] == "database"


def test_no_check_is_dead_each_fails_in_some_request_here() -> None:
    seen = {*FAILS.values(), *(check for check, _ in REFUSALS.values()), "failures", "database"}

    assert seen == DECLARED.keys()


def test_a_check_is_declared_in_the_file_that_makes_it() -> None:
    declared: list[str] = []
    for file in FILES:
        source = file.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "Check(" in ast.unparse(node):
                name = node.targets[0].id
                assert re.search(rf"making\.now\.check = {name}\b", source) or name in ELSEWHERE, (file, name)
                declared += re.findall(r"Check\('(\w+)'", ast.unparse(node))

    assert sorted(declared) == sorted(DECLARED)


# The token endpoint passes control to Authlib, and a file of the guide's declares nothing that it can import.
ELSEWHERE = {"GRANT_SUPPORTED"}


def test_a_check_has_one_name_a_sentence_and_a_source() -> None:
    for name, check in DECLARED.items():
        assert re.fullmatch("[a-z0-9_]{3,24}", name)
        assert re.fullmatch(r"[A-Z].+\.", check.sentence), check
        assert re.match(r"RFC \d{4}, (section \d|sections \d|appendix [A-Z])|our own$", check.source), check
    with pytest.raises(ValueError, match="two checks have the name https"):
        Check("https", "Another one.", "our own")


def test_a_jwt_is_verified_anew_when_its_checks_are_recorded(page: FlaskClient, admin: Machine) -> None:
    token = admin.token()
    assert admin.get("/inventory", token).status_code == 200

    lists = [
        [name for name, _ in checks_of(page.get("/inventory", headers={"Authorization": f"Bearer {token}"}))]
        for _ in range(2)
    ]

    assert "signature" in lists[0]
    assert lists[0] == lists[1]


def test_a_check_that_is_made_again_becomes_the_last_one() -> None:
    record = Record()

    for name in ("jwt", "typ", "jwt"):
        record.check = DECLARED[name]
    record.has_failed = True

    assert [(check.name, passed) for check, passed in record.passed.items()] == [("typ", True), ("jwt", False)]


def test_every_mark_is_a_plain_assignment() -> None:
    plain = re.compile(
        r"making\.now\.(check = [A-Z0-9_]+(\[name\])?|has_failed = True)(  # .+)?"
        r"|making\.now = making\.unrecorded  # .+"
    )
    marks = [
        line.strip()
        for file in FILES
        if room_of(file) not in ("checks", "playground", "metrics")  # the last two only read it
        for line in file.read_text().splitlines()
        if "making.now" in line and "is_recorded" not in line and "`" not in line
    ]

    assert len(marks) > len(DECLARED)
    assert [line for line in marks if not plain.fullmatch(line)] == []


def test_a_mark_calls_no_function() -> None:
    called: list[str] = []

    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    making.now = making.unrecorded
    making.now.check = DECLARED["https"]
    making.now.has_failed = True
    sys.setprofile(None)

    assert called == []


def test_two_requests_at_once_do_not_mix(app: Flask, admin: Machine) -> None:
    inside, other_has_ended = threading.Event(), threading.Event()

    @app.get("/slow")
    @require_oauth("read:logs")
    def slow() -> dict[str, str]:
        inside.set()
        assert other_has_ended.wait(30)
        return {}

    token = admin.token()
    with ThreadPoolExecutor(1) as pool:
        page = RecordingClient(app, app.response_class)
        recorded = pool.submit(page.get, "/slow", headers={"Authorization": f"Bearer {token}"})
        assert inside.wait(30)
        plain = admin.request_token(scope="unknown")
        other_has_ended.set()
        response = recorded.result(30)

    assert HEADER not in plain.headers
    names = [name for name, _ in checks_of(response)]
    assert (names[0], names[-1], failed(response)) == ("url_parameters", "route", [])
    assert not {"grant_type", "client_known", "scope_declared"} & set(names)


def test_two_recorded_requests_at_once_each_have_their_own_checks(app: Flask) -> None:
    both = threading.Barrier(2)

    @app.before_request
    def wait() -> None:
        both.wait(30)

    def send(path: str) -> list[str]:
        page = RecordingClient(app, app.response_class)
        return [name for name, _ in checks_of(page.post(path, data={"token": "x", **GRANT}, auth=ADMIN))]

    with ThreadPoolExecutor(2) as pool:
        issued, introspected = pool.map(send, ("/oauth/token", "/oauth/introspect"))

    assert ("grant_type" in issued, "resource_server" in issued) == (True, False)
    assert ("grant_type" in introspected, "resource_server" in introspected) == (False, True)


def test_a_view_that_fails_ends_its_record(app: Flask, page: FlaskClient, admin: Machine) -> None:
    @app.get("/broken")
    @require_oauth("read:logs")
    def broken() -> None:
        raise LookupError

    response = page.get("/broken", headers={"Authorization": f"Bearer {admin.token()}"})

    assert response.status_code == 500
    assert checks_of(response)[-1] == ("route", True)  # it was refused by no check
    assert making.now is making.unrecorded
    assert HEADER not in admin.request_token().headers


def test_a_record_that_never_ended_has_no_effect_on_the_next_request(app: Flask, page: FlaskClient) -> None:
    @app.get("/ends")
    def ends() -> None:
        raise SystemExit  # as in a worker that gunicorn ends

    with pytest.raises(SystemExit):
        page.get("/ends")
    left = making.now

    response = app.test_client().get("/.well-known/jwks.json")

    assert isinstance(left, Record)
    assert HEADER not in response.headers
    assert making.now is making.unrecorded
    assert [check.name for check in left.passed] == ["url_parameters", "address"]  # of its own request only


def test_a_rule_of_a_view_without_a_guard_is_no_check(app: Flask, page: FlaskClient) -> None:
    @app.get("/open")
    def refuses() -> tuple[str, int]:
        return "no", 409

    response = page.get("/open")

    assert (response.status_code, checks_of(response)) == (409, [("url_parameters", True), ("address", True)])


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(value=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=60))
def test_no_value_of_the_header_ends_in_a_500_or_changes_a_response(app: Flask, value: str) -> None:
    client = app.test_client()

    for path in ("/oauth/token", "/inventory", "/nowhere", "/.well-known/jwks.json"):
        response = client.get(path, headers={HEADER: value})
        assert response.status_code in (200, 401, 404, 405)
        assert (HEADER in response.headers) == (value.strip() == "record" and value == "record")


def test_production_has_nothing_of_it(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    page = RecordingClient(app, app.response_class)

    responses = [page.post("/oauth/token", data=GRANT), page.get("/nowhere"), page.get("/.well-known/jwks.json")]

    assert [HEADER in response.headers for response in responses] == [False] * 3
    named = {room_of(file) for file in FILES if HEADER.lower() in file.read_text().lower().replace("_", "-")}
    # In the docstring and the table of the second; the others are of development too.
    assert named == {"playground", "checks", "journal", "faults"}


def test_the_checks_are_shown_over_a_socket(live: Callable[..., LiveServer]) -> None:
    import urllib.request

    request = urllib.request.Request(f"{live().url}/.well-known/jwks.json", headers={HEADER: "record"})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.loads(response.headers[HEADER]) == [["url_parameters", True], ["address", True]]


def test_the_page_names_each_check_with_its_sentence_and_source(app: Flask) -> None:
    found = app.test_client().get("/playground/data.json").json["checks"]

    assert found["media_type"] == {
        "title": "media type",
        "sentence": "The parameters are sent as a form.",
        "source": "RFC 6749, section 4.4.2",
    }
    assert found.keys() == DECLARED.keys()
