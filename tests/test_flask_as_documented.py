"""Routes that anyone adds: what Flask documents works, and a failure is reported as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import current_token
from authlib.integrations.flask_oauth2.signals import token_authenticated
from flask import Flask, abort, make_response, redirect, url_for
from werkzeug.datastructures import WWWAuthenticate

from app.api.guard import require_oauth
from tests.conftest import LiveServer, Machine, Operator, build_app, close, demo
from tests.support.calling import FORM, call
from tests.support.work import counted


@pytest.fixture
def extended(app: Flask) -> Flask:
    """An app with added routes, as in docs/protect-your-api.md."""

    @app.get("/invoices/")
    def invoices() -> str:
        return url_for("invoices", _external=True)

    @app.get("/async")
    @require_oauth("read:logs")
    async def asynchronous() -> dict[str, str]:
        return {"client_id": current_token.client_id}

    @app.get("/async/open")
    async def asynchronous_and_open() -> str:
        return "open"

    @app.get("/any-token")
    @require_oauth
    async def any_token() -> str:
        return "any"

    @app.get("/moved")
    def moved() -> Any:
        return redirect("/invoices/")

    @app.get("/own-response")
    def own_response() -> Any:
        abort(make_response("mine", 418))

    @app.get("/cached")
    @require_oauth("read:logs")
    def cached() -> Any:
        return "cached", 200, {"Cache-Control": "private, max-age=60"}

    return app


@pytest.mark.parametrize("prefix", ["", "/below"])
def test_a_path_without_its_trailing_slash_is_redirected_and_urls_are_whole(extended: Flask, prefix: str) -> None:
    environ = {"SCRIPT_NAME": prefix, "HTTP_HOST": "keyturn.internal:8000"}

    moved = extended.test_client().get("/invoices", environ_overrides=environ)
    page = extended.test_client().get("/invoices/", environ_overrides=environ)

    assert moved.status_code == 308
    assert moved.headers["Location"] == f"http://keyturn.internal:8000{prefix}/invoices/" == page.text


def test_an_async_view_works_and_is_guarded(extended: Flask) -> None:
    admin = demo(extended, "demo-admin")

    assert extended.test_client().get("/async").status_code == 401
    assert admin.get("/async", admin.token()).json == {"client_id": "demo-admin"}
    assert admin.get("/async", admin.token(scope="write:logs")).status_code == 403
    assert extended.test_client().get("/async/open").text == "open"
    assert extended.test_client().get("/any-token").status_code == 401
    assert admin.get("/any-token", admin.token()).text == "any"


def test_the_guard_sends_the_signal_that_authlib_documents(admin: Machine) -> None:
    seen: list[str] = []

    def note(_: object, token: Any) -> None:
        seen.append(token.client_id)

    with token_authenticated.connected_to(note):
        admin.get("/inventory", admin.token())

    assert seen == ["demo-admin"]


def test_what_is_no_error_is_left_as_it_is(extended: Flask) -> None:
    client = extended.test_client()

    assert (client.get("/moved").status_code, client.get("/moved").headers["Location"]) == (302, "/invoices/")
    assert (client.get("/own-response").status_code, client.get("/own-response").text) == (418, "mine")


def test_no_guarded_response_is_stored_unless_its_route_says_so(extended: Flask) -> None:
    admin = demo(extended, "demo-admin")
    token = admin.token()

    for path in ("/admin/logs", "/inventory", "/internal/reports", "/async"):
        assert admin.get(path, token).headers["Cache-Control"] == "no-store"
    assert admin.get("/cached", token).headers["Cache-Control"] == "private, max-age=60"


def test_no_response_is_taken_for_another_type(extended: Flask) -> None:
    admin = demo(extended, "demo-admin")

    responses = [
        admin.request_token(),
        admin.get("/inventory", admin.token()),
        admin.get("/nowhere", "x"),
        admin.request_token(scope="x"),
    ]
    responses += [extended.test_client().get(path) for path in ("/.well-known/jwks.json", "/openapi.json", "/errors/")]

    assert {response.headers["X-Content-Type-Options"] for response in responses} == {"nosniff"}


def forgets_to_return() -> None:
    {"a": 1}  # noqa: B018, the most common slip


def raises() -> str:
    raise KeyError("kts_not-for-the-caller")


FAILING: list[tuple[Callable[[], Any], int, str, str]] = [
    (forgets_to_return, 500, "server_error", "The server failed."),
    (raises, 500, "server_error", "The server failed."),
    (lambda: abort(500), 500, "server_error", "The server failed."),
    (lambda: abort(502, "The bank is away."), 502, "server_error", "The bank is away."),
    (lambda: abort(503), 503, "temporarily_unavailable", "The server cannot"),
    (lambda: abort(429, "Slowly."), 429, "temporarily_unavailable", "Slowly."),
    (lambda: abort(400, 'a "quantity"\nis missing'), 400, "invalid_request", "a 'quantity''is missing"),
    (lambda: abort(403, "It is another's."), 403, "access_denied", "It is another's."),
    (lambda: abort(401), 401, "invalid_token", "Unauthorized"),
    (lambda: abort(404, "No such invoice."), 404, "not_found", "No such invoice."),
    (lambda: abort(409), 409, "invalid_request", "Conflict"),
    (lambda: abort(409, "It is paid."), 409, "invalid_request", "It is paid."),
    (lambda: abort(418), 418, "invalid_request", "I'm a teapot"),
]


@pytest.fixture(scope="module", params=["development", "production"])
def failing(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> Iterator[Flask]:
    """An app with all these views."""
    app = build_app(database_url=prepared("sqlite"), env=request.param, issuer="https://auth.example.com")
    for n, (view, *_) in enumerate(FAILING):
        app.add_url_rule(f"/mine/{n}", f"mine-{n}", view)
    yield app
    close(app)


@pytest.mark.parametrize("n", range(len(FAILING)))
def test_R061_a_view_that_fails_or_aborts_gets_its_code_and_its_text(failing: Flask, n: int) -> None:
    _, status, error, description = FAILING[n]

    response = failing.test_client().get(f"/mine/{n}")

    assert (response.status_code, response.json["error"]) == (status, error)
    assert response.json["error_description"].startswith(description)
    assert "kts_" not in response.text
    challenge = response.headers.get("WWW-Authenticate", "")
    assert challenge.startswith("Bearer ") == (status == 401)


def test_R022_a_challenge_that_a_view_names_is_sent(app: Flask) -> None:
    challenge = WWWAuthenticate("digest", {"realm": "mine"})
    app.add_url_rule("/mine", "mine", lambda: abort(401, www_authenticate=challenge))

    assert app.test_client().get("/mine").headers.get_all("WWW-Authenticate") == ['Digest realm="mine"']


def test_a_failure_of_ours_is_in_the_log_with_its_traceback(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    app.add_url_rule("/mine", "mine", forgets_to_return)

    app.test_client().get("/mine")

    (record,) = [record for record in caplog.records if "unexpected failure" in record.message]
    assert "did not return a valid response" in str(record.exc_info)
    events = demo(app, "demo-admin").events(event="request_failed")
    assert [event["reason"].partition(" did not")[0] for event in events] == [
        "server_error: The view function for 'mine'"
    ]


@pytest.fixture(scope="module")
def plain(prepared: Callable[[str], str]) -> Iterator[Flask]:
    """An app for requests that are refused before any statement."""
    app = build_app(database_url=prepared("sqlite"))
    yield app
    close(app)


@pytest.mark.parametrize(
    "path", ["//oauth/token", "///oauth/token", "//admin/logs", "//", "//nowhere", "/oauth//token"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_with_a_doubled_slash_leads_nowhere(plain: Flask, path: str, method: str) -> None:
    """A proxy's rule for /admin/ does not match //admin/."""
    admin = demo(plain, "demo-admin")
    with counted(plain) as work:
        response = plain.test_client().open(
            method=method,
            data={"grant_type": "client_credentials"},
            auth=(admin.client_id, admin.secret),
            environ_overrides={"PATH_INFO": path},
        )

    assert (response.status_code, response.json["error"]) == (404, "not_found")
    assert work.done == []


def test_a_doubled_slash_reaches_the_app_as_it_was_sent(live: Callable[..., LiveServer]) -> None:
    server = live()
    body = "grant_type=client_credentials&client_id=demo-admin&client_secret=kts_demo-admin-is-for-learning-only"

    paths = ("/oauth/token", "//oauth/token", "///oauth/token")
    assert [call(server, "POST", path, body, **FORM)[0] for path in paths] == [200, 404, 404]


@pytest.mark.parametrize(
    "host", ["", "a b", "\u00e4", "x" * 64, "x" * 300, "a..b", "[::1", "a:b:c", "%", "@", "/", "\x7f"]
)
def test_no_host_header_ends_in_a_500(plain: Flask, host: str) -> None:
    admin = demo(plain, "demo-admin")

    response = plain.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(admin.client_id, admin.secret),
        environ_overrides={"HTTP_HOST": host},
    )

    assert response.status_code in (200, 400)
    guarded = plain.test_client().get("/inventory?a=b", environ_overrides={"HTTP_HOST": host})
    assert guarded.status_code in (401, 400)


def test_what_a_guarded_route_refuses_by_its_own_rule_is_recorded_as_access_refused(app: Flask) -> None:
    @app.get("/forbidden")
    @require_oauth("read:logs")
    def forbidden() -> None:
        abort(403, "Not on Sundays.")

    admin = demo(app, "demo-admin")

    refused = admin.get("/forbidden", admin.token())

    assert (refused.status_code, refused.json["error"]) == (403, "access_denied")
    (event,) = Operator(app).run("explain", refused.headers["X-Request-Id"])["events"]
    assert event["event"] == "access_refused"


def test_a_guarded_route_has_a_limit_of_its_own(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_api="2/minute")
    admin, partner = demo(app, "demo-admin"), demo(app, "demo-partner")
    tokens = [admin.token(), admin.token(), admin.token()]

    assert [admin.get("/inventory", token).status_code for token in tokens] == [200, 200, 429]
    refused = admin.get("/admin/logs", tokens[0])
    assert (refused.json["error"], 1 <= int(refused.headers["Retry-After"]) <= 60) == ("temporarily_unavailable", True)
    assert "KEYTURN_LIMIT_API" in refused.json["hint"]
    (event,) = Operator(app).run("explain", refused.headers["X-Request-Id"])["events"]
    assert event["event"] == "access_refused"
    assert partner.get("/inventory", partner.token()).status_code == 200
    assert admin.get("/inventory", "x").status_code == 401
    assert admin.request_token().status_code == 200
