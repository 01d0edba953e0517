"""Unexpected behaviour of Authlib and other libraries: for each trap, a test that it is avoided here.

Each test is named after the trap; the line of ours that avoids it has a comment. A test that also shows the
trap itself fails when a newer version has closed it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask
from joserfc import jwk, jwt

from app.api.guard import AccessTokenValidator, require_oauth
from app.clients import secret
from app.clients.client import Client
from app.oauth.grant import ClientCredentialsGrant
from app.oauth.server import current_server
from app.storage.database import db
from tests.conftest import Machine, Operator, kid_of
from tests.support import forging
from tests.support.work import counted

FORM = {"grant_type": "client_credentials"}


def test_trap_tokens_of_this_grant_live_ten_days_without_an_expires_generator(admin: Machine) -> None:
    assert BearerTokenGenerator.GRANT_TYPES_EXPIRES_IN["client_credentials"] == 864_000

    assert admin.request_token().json["expires_in"] == 3_600


def test_trap_two_keys_sign_at_random_and_a_bare_key_writes_no_kid(operator: Operator, admin: Machine) -> None:
    key = jwk.RSAKey.generate_key(2048)
    assert "kid" not in jwt.decode(jwt.encode({"alg": "RS256"}, {}, key), key).header

    operator.run("keys", "rotate", "--now")
    assert len({kid_of(admin.token()) for _ in range(20)}) == 1


def test_trap_a_key_that_is_not_parsed_is_imported_again_for_every_token(admin: Machine) -> None:
    admin.get("/admin/logs", admin.token())

    with counted(admin.app) as work:
        assert admin.get("/admin/logs", admin.token()).status_code == 200

    assert work.take("import") == []


def test_trap_the_default_audience_is_the_clients_own_id(admin: Machine) -> None:
    client = Client(
        client_id="someone",
        scope="",
        default_scope="",
        access_token_seconds=None,
        token_endpoint_auth_method=None,
        grant_types="",
        claims_json="{}",
        token_format="jwt",
        resource_server=None,
        disabled_at=None,
        generation=0,
        secrets=[],
    )
    assert JWTBearerTokenGenerator.get_audiences(None, client, None, "") == "someone"

    payload = json.loads(jwk_payload(admin.token()))
    assert payload["aud"] != admin.client_id


def jwk_payload(token: str) -> bytes:
    import base64

    payload = token.split(".")[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def test_trap_an_unknown_client_and_a_wrong_secret_get_different_responses(admin: Machine) -> None:
    responses = [Machine(admin.app, client_id, "kts_wrong").request_token() for client_id in ("nobody", "demo-admin")]

    assert responses[0].status_code == responses[1].status_code
    assert responses[0].json["error_description"] == responses[1].json["error_description"]
    assert "[" not in responses[0].json["error_description"]


def test_trap_parameters_in_the_url_and_in_multipart_are_read(admin: Machine) -> None:
    auth = (admin.client_id, admin.secret)
    client = admin.app.test_client()

    assert client.post("/oauth/token?grant_type=client_credentials", data={"x": "y"}, auth=auth).status_code == 400
    assert client.post("/oauth/token", data=FORM, content_type="multipart/form-data", auth=auth).status_code == 415


def test_trap_of_a_parameter_sent_twice_the_first_wins(admin: Machine) -> None:
    twice = {"grant_type": "client_credentials", "scope": ["read:logs", "write:logs"]}

    response = admin.app.test_client().post("/oauth/token", data=twice, auth=(admin.client_id, admin.secret))

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_trap_basic_and_a_secret_in_the_form_are_accepted_together(admin: Machine) -> None:
    for more in ({"client_secret": admin.secret}, {"client_id": "demo-partner"}):
        response = admin.app.test_client().post("/oauth/token", data=FORM | more, auth=(admin.client_id, admin.secret))

        assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_trap_scopes_are_dropped_silently(partner: Machine) -> None:
    assert partner.request_token(scope="read:logs").json["error"] == "invalid_scope"
    assert partner.request_token(scope="inventory:read read:logs").json["error"] == "invalid_scope"
    assert partner.request_token().json["scope"] == "inventory:read inventory:write"


def test_trap_authlib_logs_the_bearer_token_at_debug(admin: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    token = admin.token()

    assert token not in caplog.text
    assert token.split(".")[1] not in caplog.text


def test_trap_the_protector_keeps_the_first_validator_and_ignores_later_ones() -> None:
    protector = ResourceProtector()
    first, second = AccessTokenValidator(), AccessTokenValidator()
    protector.register_token_validator(first)
    protector.register_token_validator(second)
    assert protector.get_token_validator("bearer") is first

    assert vars(require_oauth.get_token_validator("bearer")) == {"realm": None, "extra_attributes": {}}


def test_trap_a_server_at_module_level_carries_grants_from_app_to_app(new_app: Callable[..., Flask]) -> None:
    one, other = (current_server.of(new_app()) for _ in range(2))

    assert one is not other
    assert [len(each._token_grants) for each in (one, other)] == [1, 1]


def test_trap_a_jwt_without_typ_is_accepted(admin: Machine) -> None:
    token = forging.with_our_key(admin.app, forging.claims(), typ=forging.LEFT_OUT)

    assert admin.get("/admin/logs", token).status_code == 401


def test_trap_403_has_no_challenge_and_a_missing_token_an_error_of_no_rfc(admin: Machine) -> None:
    forbidden = admin.get("/internal/reports", admin.token(scope="read:logs"))
    missing = admin.app.test_client().get("/admin/logs")

    assert forbidden.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "error" not in missing.headers["WWW-Authenticate"]
    assert "error" not in missing.json


def test_trap_scopes_in_a_list_mean_or_and_in_one_string_and(app: Flask, admin: Machine) -> None:
    @app.get("/both")
    @require_oauth("read:logs write:logs")
    def both() -> str:
        return "both"

    @app.get("/either")
    @require_oauth(["read:logs", "write:logs"])
    def either() -> str:
        return "either"

    token = admin.token(scope="write:logs")

    assert (admin.get("/both", token).status_code, admin.get("/either", token).status_code) == (403, 200)
    assert admin.get("/both", admin.token()).status_code == 200


def test_trap_bytes_that_are_not_utf8_in_basic_are_a_500(app: Flask) -> None:
    response = app.test_client().post("/oauth/token", data=FORM, headers={"Authorization": "Basic /w=="})

    assert response.status_code == 401


@pytest.mark.parametrize("plaintext", ["ä", "\ud800", "\U0001f600", "\x00"])
def test_trap_a_secret_that_is_not_ascii_is_a_500(admin: Machine, plaintext: str) -> None:
    assert secret.find_matching([], plaintext) is None
    in_form = FORM | {"client_id": admin.client_id, "client_secret": plaintext.encode("utf-8", "replace").decode()}
    assert admin.app.test_client().post("/oauth/token", data=in_form).status_code == 401


def test_trap_a_nul_byte_in_a_client_id_is_an_error_of_postgresql(admin: Machine) -> None:
    assert Machine(admin.app, "demo\x00admin", "x").request_token().status_code == 401


def test_trap_no_error_handler_sees_what_authlib_refuses_itself(admin: Machine) -> None:
    response = admin.request_token(scope="nonsense")

    assert "X-Request-Id" in response.headers
    assert admin.events(event="token_refused")[0]["reason"].startswith("invalid_scope")


def test_trap_only_basic_is_allowed_unless_told_otherwise(admin: Machine) -> None:
    in_form = FORM | {"client_id": admin.client_id, "client_secret": admin.secret}

    assert admin.app.test_client().post("/oauth/token", data=in_form).status_code == 200
    assert set(ClientCredentialsGrant.TOKEN_ENDPOINT_AUTH_METHODS) == {
        "client_secret_basic",
        "client_secret_post",
        "federated_jwt",
        "private_key_jwt",
    }


def test_trap_json_a_missing_grant_type_and_get_are_all_unsupported_grant_type(admin: Machine) -> None:
    client, auth = admin.app.test_client(), (admin.client_id, admin.secret)

    responses = [
        client.post("/oauth/token", json=FORM, auth=auth),
        client.post("/oauth/token", data={"scope": "read:logs"}, auth=auth),
        client.get("/oauth/token", query_string=FORM, auth=auth),
    ]

    assert [(response.status_code, response.json["error"]) for response in responses] == [
        (415, "invalid_request"),
        (400, "invalid_request"),
        (405, "invalid_request"),
    ]


def test_R002_trap_plain_http_on_a_host_that_is_not_loopback_is_a_500(admin: Machine) -> None:
    response = admin.app.test_client().post(
        "/oauth/token", data=FORM, auth=(admin.client_id, admin.secret), base_url="http://keyturn.internal:8000"
    )

    assert response.status_code == 200


def test_trap_a_secret_past_its_end_still_authenticates(operator: Operator, admin: Machine) -> None:
    operator.run("clients", "rotate-secret", "demo-admin", "--overlap", "0")

    assert admin.request_token().status_code == 401


def test_trap_a_scope_that_is_a_number_is_a_500(admin: Machine) -> None:
    token = forging.with_our_key(admin.app, forging.claims(scope=5))

    assert admin.get("/admin/logs", token).status_code == 401


def test_trap_flask_answers_options_by_itself_and_lists_it_in_allow(app: Flask) -> None:
    response = app.test_client().options("/oauth/token")

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_trap_sqlalchemy_errors_print_the_values_of_their_statement(app: Flask) -> None:
    with app.app_context():
        assert db.engine.hide_parameters


def test_trap_a_sqlite_transaction_that_reads_and_then_writes_fails_at_once(
    prepared: Callable[[str], str],
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tests.conftest import build_app, close

    app = build_app(database_url=prepared("sqlite"))

    def rotate(n: int) -> int:
        return int(
            app.test_cli_runner().invoke(args=["clients", "rotate-secret", f"demo-{n}", "--overlap", "0"]).exit_code
        )

    names = ["partner", "reporting", "admin", "brief"]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rotate, names * 3)) == [0] * 12
    close(app)


def test_trap_alembics_file_config_silences_every_logger(app: Flask) -> None:
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0

    assert not logging.getLogger("keyturn").disabled
