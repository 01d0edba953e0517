"""Introspection (RFC 7662): who may introspect which tokens; inactive tokens cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from flask import Flask

from app.clock import now
from tests.conftest import ISSUER, Machine, Operator, demo, kid_of

SHIPMENTS = "http://127.0.0.1:8001"
INACTIVE = {"active": False}


@pytest.fixture
def api(app: Flask) -> Machine:
    return demo(app, "demo-shipments")


@pytest.fixture(params=["demo-partner", "demo-opaque"])
def shipments_token(request: pytest.FixtureRequest, app: Flask) -> str:
    return demo(app, request.param).token(scope="shipments:read")


def test_R086_only_a_resource_server_may_introspect(admin: Machine, api: Machine, shipments_token: str) -> None:
    refused = admin.introspect(shipments_token)

    assert (refused.status_code, refused.json["error"]) == (403, "unauthorized_client")
    assert api.introspect(shipments_token).json["active"] is True


def test_R086_R092_bad_credentials_are_401_in_either_way(app: Flask, api: Machine, shipments_token: str) -> None:
    wrong = Machine(app, api.client_id, "kts_wrong").introspect(shipments_token)
    none = app.test_client().post("/oauth/introspect", data={"token": shipments_token})
    data = {"token": shipments_token, "client_id": api.client_id, "client_secret": api.secret}
    in_form = app.test_client().post("/oauth/introspect", data=data)

    assert [(each.status_code, each.json["error"]) for each in (wrong, none)] == [(401, "invalid_client")] * 2
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    assert in_form.json["active"] is True


def test_R088_R089_each_resource_server_sees_its_own_tokens_only(
    operator: Operator, api: Machine, partner: Machine, shipments_token: str
) -> None:
    samples = operator.register("samples-api", "--resource-server", ISSUER)
    sample_token = partner.token()

    assert samples.introspect(sample_token).json["client_id"] == "demo-partner"
    assert api.introspect(sample_token).json == samples.introspect(shipments_token).json == INACTIVE


def test_R088_inactive_tokens_get_one_response_and_nothing_more(api: Machine, admin: Machine) -> None:
    responses = [api.introspect(token) for token in ("garbage", admin.token(), "kta_unknown")]

    assert {response.data for response in responses} == {b'{"active": false}'}
    assert {response.headers["Cache-Control"] for response in responses} == {"no-store"}


def test_the_reason_why_a_token_is_inactive_is_in_the_trail(api: Machine, admin: Machine) -> None:
    api.introspect(admin.token())
    response = api.introspect("kta_unknown")

    unknown, foreign = admin.events(event="token_inactive")
    assert foreign["reason"] == "inactive: the token is meant for another API, not the one that introspects it"
    assert "unknown" in unknown["reason"]
    assert unknown["client_id"] == "demo-shipments"
    assert unknown["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
def test_R091_a_hint_changes_nothing(api: Machine, shipments_token: str, hint: str) -> None:
    assert api.introspect(shipments_token, token_type_hint=hint).json["active"] is True
    assert api.introspect("garbage", token_type_hint=hint).json == INACTIVE


@pytest.mark.parametrize("form", [{"token": ""}, {"token_type_hint": "access_token"}])
def test_R087_a_missing_token_is_invalid_request(api: Machine, form: dict[str, str]) -> None:
    response = api.post("/oauth/introspect", **form)

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert "token" in response.json["error_description"]


def test_R087_only_a_form_by_post_is_accepted(app: Flask, api: Machine) -> None:
    auth = (api.client_id, api.secret)

    assert app.test_client().get("/oauth/introspect?token=x", auth=auth).status_code == 405
    assert app.test_client().post("/oauth/introspect", json={"token": "x"}, auth=auth).status_code == 415
    assert app.test_client().post("/oauth/introspect?token=x", data={"token": "x"}, auth=auth).status_code == 400


def test_R002_production_refuses_plain_http_here_as_well(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)

    for path in ("/oauth/introspect", "/oauth/revoke"):
        response = app.test_client().post(path, data={"token": "x"})
        assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_a_disabled_resource_server_may_no_longer_introspect(
    operator: Operator, api: Machine, shipments_token: str
) -> None:
    operator.run("clients", "disable", "demo-shipments")

    assert api.introspect(shipments_token).status_code == 401


def test_a_resource_server_gets_no_token_unless_it_is_registered_with_a_scope(operator: Operator, api: Machine) -> None:
    both = operator.register("billing-api", "--resource-server", SHIPMENTS, "--scope", "read:logs")

    assert api.request_token().json["error"] == "unauthorized_client"
    assert both.request_token().status_code == 200
    assert both.introspect("garbage").json == INACTIVE


def test_a_resource_server_of_no_declared_audience_is_refused(operator: Operator) -> None:
    output = operator.is_refused("clients", "create", "billing-api", "--resource-server", SHIPMENTS + "/")

    assert SHIPMENTS in output


@pytest.mark.parametrize("name", ["demo-partner", "demo-opaque"])
def test_a_token_of_a_client_that_was_deleted_is_inactive(operator: Operator, api: Machine, name: str) -> None:
    token = demo(operator.app, name).token(scope="shipments:read")

    operator.run("clients", "delete", name)

    assert api.introspect(token).json == INACTIVE
    assert api.get("/inventory", token).status_code == 401


def test_a_token_of_a_withdrawn_key_is_inactive(operator: Operator, api: Machine, partner: Machine) -> None:
    token = partner.token(scope="shipments:read")

    operator.run("keys", "withdraw", kid_of(token))

    assert api.introspect(token).json == INACTIVE


def test_a_client_that_is_registered_again_under_its_id_does_not_revive_old_tokens(
    operator: Operator, api: Machine, partner: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = partner.token(scope="shipments:read")
        operator.run("clients", "delete", "demo-partner")
        clock.shift(1)
        assert operator.app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0

        assert api.introspect(token).json == INACTIVE
        assert api.introspect(partner.token(scope="shipments:read")).json["active"] is True
