"""The flow with both token formats: a client sees no difference except the length."""

from __future__ import annotations

import re

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.clock import now
from app.storage.database import db
from app.tokens.stored_token import IssuedToken, digest
from tests.conftest import ISSUER, Machine, Operator, demo

FORMATS = {"jwt": r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "opaque": r"kta_[A-Za-z0-9_-]{51}"}
SHIPMENTS = "http://127.0.0.1:8001"


@pytest.fixture(params=FORMATS)
def token_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(operator: Operator, token_format: str) -> Machine:
    """A client with tokens of this format for two APIs, with its own lifetime and a claim."""
    options = ["--scope", "inventory:read inventory:write shipments:read", "--default-scope", "inventory:read"]
    options += ["--format", token_format, "--lifetime", "60", "--claim", "org_id=acme"]
    return operator.register("shop", *options)


def test_R044_R051_R052_R056_the_response_is_the_same_but_for_the_token(shop: Machine, token_format: str) -> None:
    response = shop.request_token()

    body = dict(response.json)
    assert re.fullmatch(FORMATS[token_format], body.pop("access_token"))
    assert body == {"token_type": "Bearer", "expires_in": 60, "scope": "inventory:read"}
    assert response.headers["Cache-Control"] == "no-store"


def test_R098_it_opens_the_routes_of_its_scope(shop: Machine) -> None:
    token = shop.token(scope="inventory:read inventory:write")

    assert shop.send("PUT", "/inventory/pallet", token, json={"quantity": 3}).status_code == 200
    assert {"sku": "pallet", "quantity": 3} in shop.get("/inventory", token).json["items"]


def test_R101_a_scope_that_it_lacks_is_403_with_the_same_challenge(shop: Machine) -> None:
    response = shop.send("PUT", "/inventory/pallet", shop.token(), json={"quantity": 3})

    assert (response.status_code, response.json["error"]) == (403, "insufficient_scope")
    assert response.headers["WWW-Authenticate"].endswith('scope="inventory:write"')


def test_R043_R050_the_rules_of_scope_are_the_same(shop: Machine) -> None:
    assert shop.request_token(scope="inventory:read read:logs").json["error"] == "invalid_scope"
    assert shop.request_token(scope="inventory:read shipments:read").json["error"] == "invalid_scope"


def test_R103_it_opens_one_api_only(shop: Machine) -> None:
    response = shop.get("/inventory", shop.token(scope="shipments:read"))

    assert (response.status_code, response.json["error"]) == (401, "invalid_token")


def test_R069_it_ends_with_its_life(shop: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = shop.token()
        clock.shift(59)
        assert shop.get("/inventory", token).status_code == 200
        clock.shift(1)
        assert shop.get("/inventory", token).status_code == 401


def test_R047_R049_R090_introspection_says_the_same_of_both(shop: Machine) -> None:
    with time_machine.travel(now(), tick=False):
        response = demo(shop.app, "demo-shipments").introspect(shop.token(scope="shipments:read")).json
        moment = now()

    assert re.fullmatch(r"[\w-]{24}", response.pop("jti"))
    assert response == {
        "active": True,
        "token_type": "Bearer",
        "scope": "shipments:read",
        "client_id": shop.client_id,
        "sub": shop.client_id,
        "aud": SHIPMENTS,
        "iss": ISSUER,
        "iat": moment,
        "exp": moment + 60,
        "org_id": "acme",
    }


def test_R055_two_tokens_differ(shop: Machine) -> None:
    api = demo(shop.app, "demo-shipments")
    tokens = [shop.token(scope="shipments:read") for _ in range(2)]

    assert len(set(tokens)) == len({api.introspect(token).json["jti"] for token in tokens}) == 2


def test_R108_issuing_is_recorded_in_the_same_way(shop: Machine) -> None:
    shop.token()

    (event,) = shop.events(client_id=shop.client_id, event="token_issued")
    assert event["scope"] == "inventory:read"


def test_R026_R056_an_opaque_token_is_stored_as_one_row_and_a_jwt_is_not_stored(app: Flask) -> None:
    demo(app, "demo-admin").token()
    token = demo(app, "demo-opaque").token()

    with app.app_context():
        (row,) = db.session.scalars(select(IssuedToken)).all()
    assert row.digest == digest(token)
    assert token not in str({column.name: getattr(row, column.name) for column in IssuedToken.__table__.columns})


def test_a_format_that_is_none_is_refused(operator: Operator) -> None:
    assert "jwt, opaque" in operator.is_refused("clients", "create", "shop", "--scope", "read:logs", "--format", "saml")
