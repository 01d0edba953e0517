"""RFC 8707, resource indicators: the client names the API that its token is for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.conftest import ISSUER, Machine, Operator, demo

SHIPMENTS = "http://127.0.0.1:8001"


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


@pytest.fixture
def shop(operator: Operator) -> Machine:
    """A client of both APIs, whose default scope is that of the sample API."""
    both = "inventory:read inventory:write shipments:read"
    return operator.register("shop", "--scope", both, "--default-scope", "inventory:read")


@pytest.mark.parametrize(
    ("form", "scope", "audience"),
    [
        pytest.param({"resource": SHIPMENTS}, "shipments:read", SHIPMENTS, id="outside-the-default-scope"),
        pytest.param({"resource": ISSUER}, "inventory:read", ISSUER, id="within-the-default-scope"),
        pytest.param(
            {"resource": ISSUER, "scope": "shipments:read inventory:write"}, "inventory:write", ISSUER, id="narrowed"
        ),
        pytest.param({"resource": "", "scope": "shipments:read"}, "shipments:read", SHIPMENTS, id="empty-is-absent"),
    ],
)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_R047_R048_the_token_is_for_the_resource_and_introspection_says_so(
    shop: Machine, operator: Operator, form: dict[str, str], scope: str, audience: str, kind: str
) -> None:
    operator.run("clients", "update", "shop", "--format", kind)
    api = operator.register("api", "--resource-server", audience)

    issued = shop.request_token(**form).json
    shown = api.introspect(issued["access_token"]).json

    assert issued["scope"] == scope
    assert (shown["active"], shown["scope"], shown["aud"]) == (True, scope, audience)
    if kind == "jwt":
        assert claims_of(issued["access_token"])["aud"] == audience


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("shipments", "is not an absolute URI without a fragment"),
        ("//127.0.0.1:8001", "is not an absolute URI without a fragment"),
        (f"{SHIPMENTS}#", "is not an absolute URI without a fragment"),
        (f"{SHIPMENTS}\n", "is not an absolute URI without a fragment"),
        (f"{SHIPMENTS}/", f"did you mean {SHIPMENTS}?"),
        ("HTTP://127.0.0.1:8001", "the resource is unknown"),
        ("urn:elsewhere", f"the client has: {ISSUER} {SHIPMENTS}"),
    ],
)
def test_R045_R046_a_resource_is_compared_as_it_is(shop: Machine, resource: str, reason: str) -> None:
    response = shop.request_token(resource=resource)

    assert (response.status_code, response.json["error"]) == (400, "invalid_target")
    assert reason in response.json["hint"]


@pytest.mark.parametrize("scope", ["nonsense", "read:logs", "inventory:read  shipments:read"])
def test_R043_what_is_not_the_clients_is_never_narrowed_away(shop: Machine, scope: str) -> None:
    response = shop.request_token(scope=f"{scope} inventory:read", resource=ISSUER)

    assert (response.status_code, response.json["error"]) == (400, "invalid_scope")


def test_R046_a_client_without_scopes_of_a_resource_may_not_name_it(app: Flask) -> None:
    response = demo(app, "demo-reporting").request_token(resource=SHIPMENTS)

    assert response.json["error"] == "invalid_target"
    assert response.json["hint"] == f"the client has no scope of the resource {SHIPMENTS}"


def test_R046_in_production_the_response_names_no_resource(
    new_app: Callable[..., Flask], operator: Operator, shop: Machine
) -> None:
    operator.run("clients", "delete", "demo-partner")
    production = new_app(env="production", issuer="https://auth.example.com", audience=ISSUER)
    response = production.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "resource": "urn:elsewhere"},
        auth=(shop.client_id, shop.secret),
        base_url="https://auth.example.com",
    )

    assert response.json["error"] == "invalid_target"
    assert set(response.json) == {"error", "error_description", "error_uri"}


def test_a_client_without_a_grant_is_refused_for_that_and_not_for_its_resource(app: Flask) -> None:
    assert demo(app, "demo-shipments").request_token(resource="urn:x").json["error"] == "unauthorized_client"


def test_audience_has_no_effect_and_in_development_the_response_says_what_has(shop: Machine) -> None:
    with_audience = shop.request_token(audience=SHIPMENTS).json
    without = shop.request_token().json

    assert with_audience["scope"] == without["scope"] == "inventory:read"
    assert "name the API with resource" in with_audience["hint"]
    assert "hint" not in without
    assert "hint" not in shop.request_token(audience=SHIPMENTS, resource=SHIPMENTS).json


def test_R047_the_metadata_of_the_api_names_the_resource_that_the_token_endpoint_accepts(app: Flask) -> None:
    document = app.test_client().get("/.well-known/oauth-protected-resource").json
    partner = demo(app, "demo-partner")

    token = partner.token(resource=document["resource"])

    assert claims_of(token)["aud"] == document["resource"]
    assert partner.get("/inventory", token).status_code == 200
