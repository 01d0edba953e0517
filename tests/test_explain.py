"""`flask explain REQUEST_ID`: for each kind of refusal it shows the operator the true reason."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.audit import trail
from app.clock import duration, now
from app.journal.journal_file import Journal, current_journal
from app.operations import remedies
from app.refusals.codes import CODES
from app.storage.database import db
from tests.conftest import Machine, Operator, demo
from tests.support import forging

DAY = 86_400
FORM = {"grant_type": "client_credentials"}


def in_form(app: Flask, **form: str) -> TestResponse:
    return app.test_client().post("/oauth/token", data=FORM | form)


def basic_to_a_client_of_the_form(app: Flask) -> TestResponse:
    return (
        Operator(app).register("billing", "--scope", "read:logs", "--auth-method", "client_secret_post").request_token()
    )


def a_secret_with_a_newline(app: Flask) -> TestResponse:
    admin = demo(app, "demo-admin")
    return in_form(app, client_id=admin.client_id, client_secret=admin.secret + "\n")


def a_secret_in_quotes(app: Flask) -> TestResponse:
    admin = demo(app, "demo-admin")
    return in_form(app, client_id=admin.client_id, client_secret=f'"{admin.secret}"')


def a_secret_encoded_twice(app: Flask) -> TestResponse:
    admin = demo(app, "demo-admin")
    return in_form(app, client_id=admin.client_id, client_secret=quote(admin.secret.replace("_", "%5F"), safe="%"))


def an_old_secret(app: Flask) -> TestResponse:
    operator = Operator(app)
    operator.register("billing", "--scope", "read:logs")
    blue = operator.run("clients", "rotate-secret", "billing", "--name", "blue", "--overlap", "0")
    operator.run("clients", "rotate-secret", "billing", "--overlap", "60")
    with time_machine.travel(now() + 60 + 3 * DAY, tick=False):
        return Machine(app, blue["client_id"], blue["client_secret"]).request_token()


def a_misspelt_scope(app: Flask) -> TestResponse:
    return demo(app, "demo-reporting").request_token(scope="reports:raed")


def a_foreign_scope(app: Flask) -> TestResponse:
    return demo(app, "demo-reporting").request_token(scope="read:logs")


def json_for_a_form(app: Flask) -> TestResponse:
    admin = demo(app, "demo-admin")
    return app.test_client().post("/oauth/token", json=FORM, auth=(admin.client_id, admin.secret))


def a_clock_that_is_ahead(app: Flask) -> TestResponse:
    with time_machine.travel(now(), tick=False):
        token = forging.with_our_key(app, forging.claims(nbf=now() + 70))
        return demo(app, "demo-admin").get("/admin/logs", token)


def an_expired_token(app: Flask) -> TestResponse:
    token = forging.with_our_key(app, forging.claims(exp=now() - 2 * 3_600 - 60))
    return demo(app, "demo-admin").get("/admin/logs", token)


def an_unknown_client(app: Flask) -> TestResponse:
    return Machine(app, "ktc_0123456789012345678901", "kts_x").request_token()


def id_and_secret_swapped(app: Flask) -> TestResponse:
    admin = demo(app, "demo-admin")
    return Machine(app, admin.secret, admin.client_id).request_token()


def a_wrong_secret(app: Flask) -> TestResponse:
    return Machine(app, "demo-admin", "kts_wrong").request_token()


def a_disabled_client(app: Flask) -> TestResponse:
    machine = Operator(app).register("billing", "--scope", "read:logs")
    Operator(app).run("clients", "disable", "billing")
    return machine.request_token()


def another_clients_token(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").revoke(demo(app, "demo-partner").token())


def a_client_that_is_no_api(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").introspect("x")


def scopes_with_commas(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").request_token(scope="read:logs,write:logs")


def a_body_that_is_not_utf8(app: Flask) -> TestResponse:
    body = b"grant_type=client_credentials&scope=read:logs\xe9"
    return app.test_client().post("/oauth/token", data=body, content_type="application/x-www-form-urlencoded")


def a_parameter_twice(app: Flask) -> TestResponse:
    return app.test_client().post("/oauth/token", data={"grant_type": ["client_credentials"] * 2})


def an_unknown_parameter_twice(app: Flask) -> TestResponse:
    data = FORM | {"a-secret-perhaps": ["1", "2"], "another": ["1", "2"], "scope": ["1", "2"]}
    return app.test_client().post("/oauth/token", data=data)


def another_grant(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").request_token(grant_type="urn:ietf:params:oauth:grant-type:token-exchange")


def a_grant_with_a_newline(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").request_token(grant_type="client_credentials\n")


def a_scope_that_may_be_a_secret(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").request_token(scope="Zm9vOmJhcmJhei1xdXV4Cg")


def another_media_type(app: Flask) -> TestResponse:
    return app.test_client().post("/oauth/token", data=b"x", content_type="text/plain; charset=utf-8")


def a_media_type_that_is_none(app: Flask) -> TestResponse:
    return app.test_client().post("/oauth/token", data=b"x", content_type="Zm9v/OmJh/cmJhei1xdXV4Cg")


def json_labelled_as_a_form(app: Flask) -> TestResponse:
    body = b'{"grant_type": "client_credentials"}'
    return app.test_client().post("/oauth/token", data=body, content_type="application/x-www-form-urlencoded")


def an_assertion(app: Flask) -> TestResponse:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    form = FORM | {"client_id": "demo-admin", "client_assertion_type": kind, "client_assertion": "x"}
    return app.test_client().post("/oauth/token", data=form)


def no_credentials(app: Flask) -> TestResponse:
    return app.test_client().post("/oauth/token", data=FORM)


def a_client_without_a_grant(app: Flask) -> TestResponse:
    return demo(app, "demo-shipments").request_token()


def a_body_that_is_too_long(app: Flask) -> TestResponse:
    return app.test_client().post("/oauth/token", data=FORM | {"x": "x" * 17_000})


def another_method(app: Flask) -> TestResponse:
    return app.test_client().get("/oauth/token")


def a_bad_parameter(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").get("/admin/logs?limit=many", demo(app, "demo-admin").token())


def garbage_for_a_token(app: Flask) -> TestResponse:
    return demo(app, "demo-admin").get("/admin/logs", "garbage")


REFUSALS: dict[Callable[[Flask], TestResponse], tuple[str, str]] = {
    basic_to_a_client_of_the_form: (
        "invalid_client",
        "the client is registered for client_secret_post, Basic was sent",
    ),
    a_secret_with_a_newline: ("invalid_client", "the secret ends with a newline"),
    a_secret_in_quotes: ("invalid_client", "the secret is in quotes"),
    a_secret_encoded_twice: ("invalid_client", "the secret would match after percent-decoding"),
    an_old_secret: ("invalid_client", "the secret blue expired 3 days ago"),
    an_unknown_client: ("invalid_client", "the client is unknown"),
    id_and_secret_swapped: ("invalid_client", "the client is unknown, its id looks like a secret"),
    a_wrong_secret: ("invalid_client", "the secret is wrong"),
    a_disabled_client: ("invalid_client", "the client is disabled"),
    scopes_with_commas: ("invalid_scope", "the words of the scope are separated by commas, not by spaces"),
    a_body_that_is_not_utf8: ("invalid_request", "The body is not UTF-8."),
    a_parameter_twice: ("invalid_request", "twice: grant_type"),
    an_unknown_parameter_twice: ("invalid_request", "twice: an unknown parameter scope"),
    another_grant: (
        "unsupported_grant_type",
        "the grant type urn:ietf:params:oauth:grant-type:token-exchange is not supported",
    ),
    a_grant_with_a_newline: ("unsupported_grant_type", "client_credentials ends with a newline"),
    a_scope_that_may_be_a_secret: ("invalid_scope", "the scope [redacted] is unknown"),
    another_media_type: ("invalid_request", "text/plain was sent, a form is required"),
    a_media_type_that_is_none: ("invalid_request", "an unknown media type was sent, a form is required"),
    json_labelled_as_a_form: (
        "invalid_request",
        "the parameter grant_type is missing: JSON was sent, labelled as a form",
    ),
    an_assertion: (
        "invalid_client",
        "the assertion is not a JWT: it must have three parts, and has 1",
    ),
    no_credentials: ("invalid_client", "neither Basic, nor a secret in the form, nor a signed assertion was sent"),
    a_client_without_a_grant: ("unauthorized_client", "the client was registered without a grant"),
    a_body_that_is_too_long: ("invalid_request", "the body is longer than 16384 bytes (KEYTURN_MAX_BODY_BYTES)"),
    another_method: ("invalid_request", "GET is not supported at /oauth/token; use POST"),
    a_bad_parameter: ("invalid_request", "The parameter limit must be a whole number from 1 to 200."),
    garbage_for_a_token: ("invalid_token", "the token is not a JWT, or is incomplete"),
    a_misspelt_scope: ("invalid_scope", "the scope reports:raed is unknown; did you mean reports:read?"),
    a_foreign_scope: ("invalid_scope", "the client is not registered for the scope read:logs"),
    json_for_a_form: ("invalid_request", "JSON was sent, a form is required"),
    a_clock_that_is_ahead: ("invalid_token", "clock: nbf is 70 seconds ahead"),
    an_expired_token: ("invalid_token", "the token expired 2 hours ago"),
    another_clients_token: (
        "unauthorized_client",
        "The token was issued to another client: only its own client can revoke it.",
    ),
    a_client_that_is_no_api: (
        "unauthorized_client",
        "This client is not registered as a resource server, and may not introspect tokens.",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.__name__)
def test_the_operator_sees_the_true_reason(app: Flask, refusal: Callable[[Flask], TestResponse]) -> None:
    error, reason = REFUSALS[refusal]

    response = refusal(app)
    (event,) = Operator(app).run("explain", response.headers["X-Request-Id"])["events"]

    assert (response.json["error"], event["error"], event["reason"]) == (error, error, reason)
    assert event["meaning"] == CODES[error].meaning
    assert response.json["hint"] == reason  # in development the caller gets it too


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("demo-admin\n", "its id ends with a newline"),
        (" demo-admin", "there is white space around its id"),
        ('"demo-admin"', "its id is in quotes"),
        ("'ktc_0123456789012345678901'", "its id is in quotes"),
        ("\ufeffdemo-admin", "its id begins with a byte order mark"),
        ("Demo-Admin", "its id is in another case than a demo client's"),
        ("KTC_0123456789012345678901", "its id is in another case than ktc_"),
        ("demo%2Dadmin", "its id is percent-encoded once too often"),
        ("kts_0123456789", "its id looks like a secret"),
        ("", "client_id is missing or empty"),
    ],
)
@pytest.mark.parametrize("by", ["basic", "form"])
def test_an_id_that_is_nearly_right_is_recognized_by_its_shape(app: Flask, written: str, why: str, by: str) -> None:
    secret = demo(app, "demo-admin").secret
    encoded = quote(written, safe="")
    pair = b64encode(f"{encoded}:{secret}".encode()).decode()
    form = {"client_id": written, "client_secret": secret} if by == "form" else {}

    response = app.test_client().post(
        "/oauth/token", data=FORM | form, headers={"Authorization": f"Basic {pair}"} if by == "basic" else {}
    )

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    assert response.json["hint"] == f"the client is unknown, {why}"


def test_in_production_the_operator_sees_the_reason_and_the_caller_does_not(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    machine = Operator(app).register("billing", "--scope", "read:logs")
    form = FORM | {"client_id": machine.client_id, "client_secret": machine.secret + "\n"}

    response = app.test_client().post("/oauth/token", data=form, headers={"X-Forwarded-Proto": "https"})

    assert response.json == {
        "error": "invalid_client",
        "error_description": CODES["invalid_client"].description,
        "error_uri": "https://auth.example.com/errors/invalid_client",
    }
    (event,) = Operator(app).run("explain", response.headers["X-Request-Id"])["events"]
    assert event["reason"] == "the secret ends with a newline"


def test_the_log_line_of_every_refusal_has_its_method_and_path(
    new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    machine, client = Operator(app).register("billing", "--scope", "read:logs"), app.test_client()
    https, basic = {"X-Forwarded-Proto": "https"}, (machine.client_id, machine.secret)
    token = client.post("/oauth/token", data=FORM, auth=basic, headers=https).json["access_token"]
    bearer = https | {"Authorization": f"Bearer {token}"}
    caplog.set_level("INFO")
    caplog.clear()
    for status, method, path, more in (
        (400, "POST", "/oauth/token", {"data": FORM}),  # plain http
        (401, "POST", "/oauth/token", {"data": FORM, "headers": https}),
        (400, "POST", "/oauth/token", {"data": FORM | {"scope": "x"}, "headers": https, "auth": basic}),
        (403, "POST", "/oauth/introspect", {"data": {"token": "x"}, "headers": https, "auth": basic}),
        (401, "POST", "/oauth/revoke", {"data": {"token": "x"}, "headers": https}),
        (415, "POST", "/oauth/token", {"json": {}, "headers": https}),
        (401, "GET", "/admin/logs", {"headers": https}),
        (401, "GET", "/admin/logs", {"headers": https | {"Authorization": "Bearer x"}}),
        (403, "POST", "/admin/logs", {"headers": bearer, "json": {"message": "x"}}),
        (400, "GET", "/admin/logs", {"headers": bearer, "query_string": "limit=x"}),
        (404, "GET", "/tokn", {"headers": https}),
        (405, "PATCH", "/oauth/token", {"headers": https}),
        (413, "POST", "/oauth/token", {"headers": https, "data": b"x" * 20_000}),
    ):
        caplog.clear()
        response = client.open(path, method=method, **more)

        assert response.status_code == status
        lines = [record.fields for record in caplog.records if record.levelname == "INFO"]
        assert [(line["method"], line["path"]) for line in lines] == [(method, path)], lines


@pytest.fixture
def recorded(new_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    """An app whose journal is in a folder of the test."""
    app = new_app(journal="on")
    current_journal.set(app, Journal(tmp_path / "requests.jsonl"))
    return app


def test_in_development_it_shows_what_was_sent_too(recorded: Flask) -> None:
    response = a_misspelt_scope(recorded)

    output = recorded.test_cli_runner().invoke(args=["explain", response.headers["X-Request-Id"]]).stdout

    lines = dict(line.split(None, 1) for line in output.splitlines())
    assert (lines["request"], lines["status"], lines["scope"]) == ("POST /oauth/token", "400", "reports:raed")
    assert (lines["sent"], lines["what"]) == ("HTTP Basic, accepted", "token_refused")
    assert lines["because"].endswith("did you mean reports:read?")
    assert lines["do"] == "The metadata lists all: `scopes_supported`."


def test_a_404_is_explained_in_development(recorded: Flask) -> None:
    response = recorded.test_client().get("/.well-known/openid-configuration")

    (found,) = Operator(recorded).run("explain", response.headers["X-Request-Id"])["events"]

    assert (found["request"], found["status"]) == ("GET /.well-known/openid-configuration", 404)
    assert "not an OpenID provider" in found["reason"]
    assert found["do"] == "Configure it to read the OAuth metadata (RFC 8414) at the address below."
    assert found["error_uri"].endswith("/errors/not_found")


def test_the_last_requests_need_no_id(recorded: Flask) -> None:
    assert "no requests yet" in Operator(recorded).is_refused("explain", "--last")
    recorded.test_client().get("/admin/logs")
    a_misspelt_scope(recorded)

    (last,) = Operator(recorded).run("explain", "--last")["events"]
    both = Operator(recorded).run("explain", "--last", "5")["events"]

    assert (last["error"], last["client_id"]) == ("invalid_scope", "demo-reporting")
    assert [each["error"] for each in both] == ["no_token", "invalid_scope"]
    assert both[0]["do"].startswith("This needs an access token.")


def test_an_id_or_last_is_needed_and_not_both(recorded: Flask) -> None:
    for arguments in ([], ["0123456789abcdef", "--last", "1"], ["--last", "0"]):
        assert recorded.test_cli_runner().invoke(args=["explain", *arguments]).exit_code == 2


def test_every_cause_that_a_reason_is_about_is_in_the_table_of_codes() -> None:
    causes = [cause for code in CODES.values() for cause, _ in code.causes]

    assert [of for _, of in remedies.CAUSES if not any(re.search(of, cause) for cause in causes)] == []


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.__name__)
def test_a_remedy_is_one_of_its_own_code(refusal: Callable[[Flask], TestResponse]) -> None:
    error, reason = REFUSALS[refusal]

    found = remedies.for_reason(error, reason)

    assert found in {None, *(remedy for _, remedy in CODES[error].causes)}
    assert (found is None) == (refusal in WITHOUT_REMEDY)


# Their reason says what to do, or the table has no cause for them.
WITHOUT_REMEDY = {
    a_wrong_secret,
    an_unknown_client,
    another_grant,
    another_media_type,
    a_media_type_that_is_none,
    a_body_that_is_too_long,
    a_bad_parameter,
    another_method,
}


def test_for_people_it_is_a_few_lines(app: Flask) -> None:
    response = a_misspelt_scope(app)

    output = app.test_cli_runner().invoke(args=["explain", response.headers["X-Request-Id"]]).stdout

    lines = dict(line.split(None, 1) for line in output.splitlines())
    assert lines["what"] == "token_refused"
    assert lines["client"] == "demo-reporting"
    assert lines["because"].endswith("did you mean reports:read?")
    assert lines["page"].endswith("/errors/invalid_scope")
    assert lines["when"].endswith("Z")


def test_another_worker_finds_it_too(new_app: Callable[..., Flask]) -> None:
    here, there = new_app(), new_app()
    response = a_wrong_secret(here)
    with here.app_context():
        trail.current_batch().write()

    assert Operator(there).run("explain", response.headers["X-Request-Id"])["events"]


@pytest.mark.parametrize("request_id", ["0123456789abcdef", "", "\x00", "x" * 500, "\udcff"])
def test_an_unknown_request_id_is_reported(operator: Operator, request_id: str) -> None:
    assert "no event with this request id" in operator.is_refused("explain", request_id)


def test_a_failure_of_the_database_is_explained_too(app: Flask) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE client_secrets RENAME TO elsewhere"))

    response = demo(app, "demo-admin").request_token()

    (event,) = Operator(app).run("explain", response.headers["X-Request-Id"])["events"]
    assert (response.status_code, event["event"], event["error"]) == (503, "request_failed", "temporarily_unavailable")


def test_what_a_service_has_written_is_not_taken_for_a_refusal(admin: Machine) -> None:
    entry = {"message": "invalid_client: the secret is wrong"}
    response = admin.send("POST", "/admin/logs", admin.token(), json=entry)

    (event,) = Operator(admin.app).run("explain", response.headers["X-Request-Id"])["events"]
    assert "error" not in event


def test_a_change_of_state_is_explained_as_it_is(admin: Machine) -> None:
    response = admin.send("POST", "/admin/logs", admin.token(), json={"message": "note: all is well"})

    (event,) = Operator(admin.app).run("explain", response.headers["X-Request-Id"])["events"]

    assert (event["event"], event["reason"]) == ("entry_added", "note: all is well")
    assert "error" not in event


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (70, "70 seconds"),
        (7_199, "119 minutes"),
        (7_200, "2 hours"),
        (3 * DAY, "3 days"),
    ],
)
def test_a_duration_is_said_in_the_largest_fitting_unit(seconds: int, words: str) -> None:
    assert duration(seconds) == words
