"""The token endpoint (RFC 6749): what the table of cases cannot show, since it needs time, storage or settings."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import pytest
import time_machine
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.authentication.client_secret import parse_basic
from app.clients import scope as scopes
from app.clients import secret
from app.clients.client_row import ClientRow
from app.clock import now
from app.oauth.request_rules import OAUTH_PARAMETERS
from app.refusals import hints
from app.refusals.errors import RefusedError
from app.request_body import FORM, MAX_PARAMETERS
from app.storage.database import db, transaction
from tests.conftest import ISSUER, Machine, Operator, build_app, close, demo
from tests.support.work import counted

ERROR_CHARACTERS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
CODES = {"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}


def request_in_form(machine: Machine, **form: str) -> TestResponse:
    fields = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.secret}
    return machine.app.test_client().post("/oauth/token", data=fields | form)


@pytest.fixture
def production(new_app: Callable[..., Flask]) -> Flask:
    unlimited = {"limit_failures": "", "limit_address": ""}
    return new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1, **unlimited)


HTTPS = {"X-Forwarded-Proto": "https"}


def test_R002_production_refuses_plain_http_and_the_log_names_the_setting(
    production: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    response = production.test_client().post("/oauth/token", data={"grant_type": "client_credentials"})

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert "KEYTURN_TRUSTED_PROXIES" in caplog.text


def test_R002_production_accepts_https_behind_the_proxy(production: Flask) -> None:
    response = production.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=HTTPS)

    assert response.json["error"] == "invalid_client"


def test_R104_a_proxy_that_is_not_trusted_changes_nothing(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=0)

    response = app.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=HTTPS)

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_R001_only_post_is_allowed_even_with_a_good_secret(admin: Machine, method: str) -> None:
    response = admin.app.test_client().open(
        "/oauth/token",
        method=method,
        data={"grant_type": "client_credentials"},
        auth=(admin.client_id, admin.secret),
    )

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert b"access_token" not in response.data


@pytest.mark.parametrize("body", [b"scope=read:logs\xe9", b"\xff=1", b"x=\xed\xa0\x80", b"x=%FF", b"%ED%A0%80="])
def test_R003_a_form_that_is_not_utf8_is_refused(admin: Machine, body: bytes) -> None:
    response = admin.app.test_client().post(
        "/oauth/token",
        data=b"grant_type=client_credentials&" + body,
        content_type=FORM,
        auth=(admin.client_id, admin.secret),
    )

    assert (response.status_code, response.json["error_description"]) == (400, "The body is not UTF-8.")


@pytest.mark.parametrize(
    "header", [{"Content-Encoding": "gzip"}, {"Content-Encoding": "br"}, {"Transfer-Encoding": "gzip, chunked"}]
)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/admin/logs"])
def test_a_compressed_body_is_refused_and_the_coding_is_named(app: Flask, path: str, header: dict[str, str]) -> None:
    form = gzip.compress(b"grant_type=client_credentials&token=x")

    response = app.test_client().post(
        path, data=form, content_type=FORM, headers=header, environ_overrides={"wsgi.input_terminated": True}
    )

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert response.json["error_description"].startswith("The body is compressed. Send it without a Content-Encoding")


def test_a_body_whose_coding_is_identity_is_read(admin: Machine) -> None:
    response = admin.app.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Content-Encoding": "identity"},
        auth=(admin.client_id, admin.secret),
    )

    assert response.status_code == 200


def test_R003_every_character_of_utf8_may_be_sent_even_the_replacement_character(admin: Machine) -> None:
    for sent in ("\ufffd", "\u20ac", "\U0001f600"):
        for body in (f"unknown={sent}".encode(), f"unknown={quote_plus(sent)}".encode()):
            response = admin.app.test_client().post(
                "/oauth/token",
                data=b"grant_type=client_credentials&" + body,
                content_type=FORM,
                auth=(admin.client_id, admin.secret),
            )

            assert response.status_code == 200


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/admin/logs"])
@pytest.mark.parametrize("where", ["data", "query_string"])
def test_R107_attack_more_parameters_than_any_request_needs_are_refused(app: Flask, path: str, where: str) -> None:
    for count, status in ((MAX_PARAMETERS, 401), (MAX_PARAMETERS + 1, 400)):
        form = "grant_type=client_credentials&token=x"
        many = "&".join([form if where == "data" else "a=b&c=d", *(f"n{n}" for n in range(count - 2))])

        response = app.test_client().post(path, **{"data": form, "content_type": FORM, where: many})

        assert response.status_code == status
        if status == 400:
            assert response.json["error_description"] == f"The request has more than {MAX_PARAMETERS} parameters."


@pytest.mark.parametrize("parts", [MAX_PARAMETERS + 1, 400])
def test_R107_attack_a_multipart_form_of_many_parts_is_refused(app: Flask, parts: int) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * parts + b"--b--\r\n"

    response = app.test_client().post("/admin/logs", data=body, content_type="multipart/form-data; boundary=b")

    assert (response.status_code, response.json["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "token", "scope", "unknown"])
def test_R005_no_parameter_may_be_sent_twice(admin: Machine, path: str, name: str) -> None:
    form = {"grant_type": "client_credentials", "token": "x", name: ["x", "x"]}
    auth = None if name.startswith("client") else (admin.client_id, admin.secret)

    response = admin.app.test_client().post(path, data=form, auth=auth)

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_R106_no_page_of_a_browser_may_call_the_endpoints(admin: Machine) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke", "/admin/logs"):
        for method in ("OPTIONS", "POST"):
            response = admin.app.test_client().open(path, method=method, headers=origin)
            assert [name for name, _ in response.headers if name.startswith("Access-Control")] == []


@pytest.mark.parametrize("body", [b"", b"grant_type=client_credentials"])
@pytest.mark.parametrize("media_type", ["", "multipart/form-data; boundary=b", "text/plain", "application/xml"])
def test_R003_any_other_media_type_is_refused(app: Flask, media_type: str, body: bytes) -> None:
    response = app.test_client().post("/oauth/token", data=body, content_type=media_type or None)

    assert response.status_code == 415
    assert "application/x-www-form-urlencoded" in response.json["error_description"]


def test_R003_a_media_type_may_have_parameters(admin: Machine) -> None:
    response = admin.app.test_client().post(
        "/oauth/token",
        data=b"grant_type=client_credentials",
        content_type="Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        auth=(admin.client_id, admin.secret),
    )

    assert response.status_code == 200


@pytest.mark.parametrize("name", sorted(OAUTH_PARAMETERS))
def test_R004_no_parameter_is_read_from_the_url(admin: Machine, name: str) -> None:
    response = admin.app.test_client().post(
        f"/oauth/token?{name}=x", data={"grant_type": "client_credentials"}, auth=(admin.client_id, admin.secret)
    )

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_R005_resource_may_be_repeated(admin: Machine) -> None:
    response = admin.app.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "resource": ["http://127.0.0.1:8000"] * 2},
        auth=(admin.client_id, admin.secret),
    )

    assert response.status_code == 200


def test_R006_an_empty_grant_type_is_missing(admin: Machine) -> None:
    response = admin.request_token(grant_type="")

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_R010_a_client_without_the_grant_is_unauthorized(operator: Operator) -> None:
    response = operator.register("billing", "--no-grant").request_token()

    assert (response.status_code, response.json["error"]) == (400, "unauthorized_client")


def test_R011_a_public_client_gets_no_token_whatever_its_row_says(app: Flask, admin: Machine) -> None:
    with app.app_context(), transaction():
        db.session.execute(update(ClientRow).values(token_endpoint_auth_method="none"))
    without_secret = {"grant_type": "client_credentials", "client_id": admin.client_id}

    responses = [
        admin.request_token(),
        request_in_form(admin),
        app.test_client().post("/oauth/token", data=without_secret),
    ]

    assert [response.status_code for response in responses] == [401, 401, 401]


@given(client_id=st.text(), plaintext=st.text())
def test_R013_R015_basic_credentials_are_form_decoded_after_the_first_colon(client_id: str, plaintext: str) -> None:
    pair = (client_id.encode("utf-8", "replace").decode(), plaintext.encode("utf-8", "replace").decode())
    encoded = f"{quote_plus(pair[0])}:{quote_plus(pair[1])}".encode()

    assert parse_basic("Basic " + base64.b64encode(encoded).decode()) == pair


def test_R015_colons_in_the_secret_survive() -> None:
    assert parse_basic("Basic " + base64.b64encode(b"id:a:b:c").decode()) == ("id", "a:b:c")


def test_R014_R026_secrets_are_256_random_bits_in_unreserved_characters() -> None:
    made = {secret.generate() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(re.fullmatch(r"kts_[A-Za-z0-9_-]{43}", each) for each in made)


@given(st.binary(max_size=64))
def test_R017_no_bytes_in_basic_end_in_anything_but_a_refusal(noise: bytes) -> None:
    header = "Basic " + base64.b64encode(noise).decode()

    with contextlib.suppress(RefusedError):
        assert len(parse_basic(header)) == 2


@pytest.mark.parametrize(
    "value", ["Basic AGE6Yg==", "Basic YQBiOmM=", "Basic", "Basic ", "Negotiate x", "Basic =", ":"]
)
def test_R017_malformed_credentials_are_refused(app: Flask, value: str) -> None:
    data = {"grant_type": "client_credentials"}

    response = app.test_client().post("/oauth/token", data=data, headers={"Authorization": value})

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
@pytest.mark.parametrize("env", ["production", "development"])
@pytest.mark.parametrize("in_form", [True, False])
def test_R024_an_unknown_client_and_a_wrong_secret_cannot_be_told_apart(
    new_app: Callable[..., Flask], path: str, env: str, in_form: bool
) -> None:
    app = new_app(env=env, issuer="https://auth.example.com", trusted_proxies=1)
    seen = []
    for client_id in ("demo-admin", "ktc_0123456789012345678901"):
        with counted(app) as work:
            data = {"grant_type": "client_credentials", "token": "x"}
            credentials = {"client_id": client_id, "client_secret": "kts_wrong"}
            response = app.test_client().post(
                path,
                data=data | credentials if in_form else data,
                auth=None if in_form else (client_id, "kts_wrong"),
                headers=HTTPS,
            )
        headers = sorted(header for header in response.headers if header[0] not in ("Date", "X-Request-Id"))
        if env == "development":  # except `hint`, and so the length
            headers = [header for header in headers if header[0] != "Content-Length"]
        body = {name: value for name, value in response.json.items() if name != "hint"}
        seen.append((response.status_code, headers, body, sorted(work.done)))

    assert seen[0] == seen[1]
    done = seen[0][3]
    assert done.count("compare") == secret.MAX_SECRETS * (1 + len(hints.nearly_the_secret("")))
    assert sum(each.startswith("SELECT") for each in done) == 1
    assert done.count("limit hit") == 2
    assert ("hint" in response.json) == (env == "development")


def test_R026_the_digest_of_a_secret_does_not_authenticate(admin: Machine) -> None:
    digest = hashlib.sha256(admin.secret.encode()).digest()

    for stolen in (digest.hex(), base64.b64encode(digest).decode()):
        assert Machine(admin.app, admin.client_id, stolen).request_token().status_code == 401


def test_R027_an_expired_secret_and_a_disabled_client_are_invalid(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    with time_machine.travel(now(), tick=False) as clock:
        operator.run("clients", "rotate-secret", "billing", "--overlap", "60")

        clock.shift(59)
        assert machine.request_token().status_code == 200
        clock.shift(1)
        assert machine.request_token().json["error"] == "invalid_client"
    operator.run("clients", "disable", "billing")
    assert machine.request_token().json["error"] == "invalid_client"
    operator.run("clients", "enable", "billing")
    assert machine.request_token().status_code == 200


def test_R028_both_secrets_work_during_a_rotation_and_the_old_one_ends_on_every_worker(
    operator: Operator, new_app: Callable[..., Flask]
) -> None:
    old = operator.register("billing", "--scope", "read:logs")
    other_worker = new_app()

    second = operator.run("clients", "rotate-secret", "billing", "--overlap", "600", "--name", "autumn")[
        "client_secret"
    ]
    for worker in (old.app, other_worker):
        assert Machine(worker, old.client_id, old.secret).request_token().status_code == 200
        assert Machine(worker, old.client_id, second).request_token().status_code == 200
    third = operator.run("clients", "rotate-secret", "billing", "--overlap", "0")["client_secret"]

    assert [
        Machine(other_worker, old.client_id, s).request_token().status_code for s in (old.secret, second, third)
    ] == [
        401,
        401,
        200,
    ]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_R029_a_client_registered_for_one_method_is_refused_with_any_other(operator: Operator, method: str) -> None:
    machine = operator.register("billing", "--scope", "read:logs", "--auth-method", method)

    statuses = {
        "client_secret_basic": machine.request_token().status_code,
        "client_secret_post": request_in_form(machine).status_code,
    }

    assert statuses.pop(method) == 200
    assert set(statuses.values()) == {401}


@given(st.lists(st.from_regex(r"[\x21\x23-\x5b\x5d-\x7e]+", fullmatch=True), min_size=1))
def test_R041_a_scope_is_words_with_single_spaces(words: list[str]) -> None:
    assert scopes.words(" ".join(words)) == list(dict.fromkeys(words))


@pytest.mark.parametrize("scope", [" a", "a ", "a  b", "a\tb", 'a"', "a\\", "ä", "a\nb", " ", "a\x7f"])
def test_R041_anything_else_is_no_scope(scope: str) -> None:
    with pytest.raises(ValueError, match="a scope is words"):
        scopes.words(scope)


def test_R041_a_malformed_scope_is_invalid_scope_at_the_endpoint(partner: Machine) -> None:
    for scope in (
        "inventory:read ",
        "inventory:read\x00",
        "inventory:read\\",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ):
        assert partner.request_token(scope=scope).json["error"] == "invalid_scope"


def test_R042_the_default_of_a_scope_in_two_resources_must_be_named(operator: Operator) -> None:
    refusal = operator.is_refused("clients", "create", "shop", "--scope", "inventory:read shipments:read")
    machine = operator.register(
        "billing", "--scope", "inventory:read shipments:read", "--default-scope", "shipments:read"
    )

    assert "name a default scope" in refusal
    assert machine.request_token().json["scope"] == "shipments:read"


def test_R043_a_scope_that_keyturn_toml_no_longer_declares_is_refused(
    new_app: Callable[..., Flask], admin: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "keyturn.toml"
    file.write_text('[resources.logs.scopes]\n"read:logs" = "Read"\n')
    app = new_app(file=file)

    assert Machine(app, admin.client_id, admin.secret).request_token().json["error"] == "invalid_scope"
    assert Machine(app, admin.client_id, admin.secret).request_token(scope="read:logs").status_code == 200


def test_R053_R055_two_tokens_differ_and_neither_can_be_refreshed(admin: Machine) -> None:
    first, second = admin.request_token().json, admin.request_token().json

    assert first["access_token"] != second["access_token"]
    assert list(first) == ["token_type", "access_token", "expires_in", "scope"]


def test_R054_no_response_with_tokens_or_errors_is_stored(admin: Machine) -> None:
    for response in (
        admin.request_token(),
        admin.request_token(scope="nonsense"),
        admin.get("/admin/logs", "nonsense"),
    ):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Pragma"] == "no-cache"


def test_R057_the_longest_token_stays_within_its_bound(new_app: Callable[..., Flask], tmp_path: Path) -> None:
    declared = "\n".join(f'"{n:03}:{"x" * 96}" = "d"' for n in range(10))
    (tmp_path / "long.toml").write_text(f"[resources.a.scopes]\n{declared}\n")
    longest = "https://example.com/" + "x" * 180
    app = new_app(issuer=longest, audience=longest, file=tmp_path / "long.toml", trusted_proxies=1)
    scope = " ".join(f"{n:03}:{'x' * 96}" for n in range(10))
    machine = Operator(app).register("billing", "--scope", scope, "--claim", f"note={'x' * 2_036}")

    data = {"grant_type": "client_credentials"}
    path = "/" + "x" * 180 + "/oauth/token"
    response = app.test_client().post(path, data=data, auth=(machine.client_id, machine.secret))

    assert 5_000 < len(response.json["access_token"]) < 6_144


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from(["grant_type", "scope", "client_id", "client_secret", "x"]), st.text(max_size=40)
    ),
    header=st.one_of(
        st.none(), st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=40)
    ),
)
def test_R058_R059_whatever_is_sent_nothing_of_it_comes_back_in_production(
    production: Flask, fields: dict[str, str], header: str | None
) -> None:
    marked = {name: value and f"{value}<mark>" for name, value in fields.items()}
    body = "&".join(f"{name}={quote_plus(value, errors='replace')}" for name, value in marked.items())
    headers = HTTPS | ({"Authorization": header} if header else {})

    response = production.test_client().post("/oauth/token", data=body, content_type=FORM, headers=headers)

    assert response.status_code in (400, 401)
    assert response.json["error"] in CODES
    assert response.json.keys() == {"error", "error_description", "error_uri"}
    assert ERROR_CHARACTERS.fullmatch(response.json["error_description"])
    assert "mark" not in response.text


def test_R059_the_hint_of_development_keeps_to_the_allowed_characters(admin: Machine) -> None:
    response = admin.app.test_client().post(
        "/oauth/token", data='grant_type="\\%0a', content_type='text/"\\plain', auth=(admin.client_id, admin.secret)
    )

    assert ERROR_CHARACTERS.fullmatch(response.json["hint"])


def test_R060_an_error_has_no_members_but_the_known_ones_and_its_uri_leads_to_its_page(admin: Machine) -> None:
    refused = admin.request_token(scope="x").json

    assert refused.keys() == {"error", "error_description", "error_uri", "hint"}
    assert refused["error_uri"] == f"{ISSUER}/errors/invalid_scope"
    assert "invalid_scope" in admin.app.test_client().get(urlsplit(refused["error_uri"]).path).text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/oauth", "/oauth/token/", "/static/x", "/.well-known/openid-configuration"]
)
def test_R061_an_unknown_address_is_a_404_in_json(app: Flask, path: str) -> None:
    response = app.test_client().get(path)

    assert (response.status_code, response.json["error"]) == (404, "not_found")


def test_R061_R062_a_failure_of_our_own_is_server_error_in_json(app: Flask) -> None:
    def fail() -> None:
        raise ZeroDivisionError("kts_this-must-not-be-seen")

    app.view_functions["jwks.jwks"] = fail
    response = app.test_client().get("/.well-known/jwks.json")

    assert (response.status_code, response.json["error"]) == (500, "server_error")
    assert "kts_" not in response.text
    assert "Traceback" not in response.text
    assert "ZeroDivision" not in response.json["error_description"]


@pytest.fixture
def unprepared(tmp_path: Path) -> Iterator[Flask]:
    app = build_app(database_url=f"sqlite:///{tmp_path}/empty.db")
    yield app
    close(app)


def test_R061_R062_an_unprepared_database_is_503_and_the_log_names_the_command(
    unprepared: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    admin = demo(unprepared, "demo-admin")
    with caplog.at_level(logging.ERROR):
        response = admin.request_token()

    assert (response.status_code, response.json["error"]) == (503, "temporarily_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert "SELECT" not in response.text
    assert "flask prepare" in caplog.text
    assert unprepared.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
    assert admin.request_token().status_code == 200


def test_R107_a_chunked_body_over_the_limit_is_refused(app: Flask) -> None:
    response = app.test_client().post(
        "/oauth/token",
        input_stream=io.BytesIO(b"grant_type=client_credentials&x=" + b"x" * 20_000),
        content_type="application/x-www-form-urlencoded",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == 413
