"""KEYTURN_SAMPLE_API: when it is off, the sample API does not exist, and everything else works."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from app.operations.startup import welcome
from app.settings import current_settings
from tests.conftest import LiveServer, demo

SAMPLES = [
    ("GET", "/admin/logs"),
    ("POST", "/admin/logs"),
    ("GET", "/internal/reports"),
    ("GET", "/inventory"),
    ("PUT", "/inventory/pallet"),
    ("GET", "/.well-known/oauth-protected-resource"),
]


@pytest.fixture
def off(new_app: Callable[..., Flask]) -> Flask:
    return new_app(sample_api="off")


@pytest.mark.parametrize(("method", "path"), SAMPLES)
def test_switched_off_its_routes_are_404_with_and_without_a_token(
    off: Flask, app: Flask, method: str, path: str
) -> None:
    admin = demo(off, "demo-admin")

    with_token = admin.send(method, path, admin.token())
    without = off.test_client().open(path, method=method)

    assert app.test_client().open(path, method=method).status_code in (200, 401)
    for response in (with_token, without):
        assert (response.status_code, response.json["error"]) == (404, "not_found")


def test_switched_off_the_description_has_exactly_the_routes_that_are_there(off: Flask) -> None:
    document = off.test_client().get("/openapi.json").json

    rules = [rule for rule in off.url_map.iter_rules() if not rule.endpoint.startswith("playground.")]
    assert set(document["paths"]) == {re.sub(r"<(\w+)>", r"{\1}", rule.rule).removesuffix("/") for rule in rules}
    assert [tag["name"] for tag in document["tags"]] == ["oauth", "descriptions", "health"]


def test_switched_off_no_description_names_an_address_that_is_not_there(off: Flask) -> None:
    metadata = off.test_client().get("/.well-known/oauth-authorization-server").json

    for name, address in metadata.items():
        if name.endswith(("_endpoint", "_uri", "_documentation")) and not name.startswith("token_endpoint_auth"):
            path = address.removeprefix(metadata["issuer"])
            assert off.test_client().get(path).status_code in (200, 405), name


def test_switched_off_tokens_are_issued_introspected_and_revoked(off: Flask) -> None:
    partner, api = demo(off, "demo-partner"), demo(off, "demo-shipments")
    token = partner.token(scope="shipments:read")

    assert api.introspect(token).json["active"] is True
    assert partner.revoke(token).status_code == 200
    assert api.introspect(token).json == {"active": False}


def test_switched_off_what_is_printed_at_start_names_no_route_of_it(off: Flask, app: Flask) -> None:
    with off.app_context():
        output = welcome(current_settings())
    with app.app_context():
        usual = welcome(current_settings())

    assert "demo-admin" in output
    assert "/oauth/token" in output
    assert "/admin/logs" not in output
    assert "/admin/logs" in usual


def test_switched_off_the_server_starts(live: Callable[..., LiveServer]) -> None:
    server = live(KEYTURN_SAMPLE_API="off")

    assert server.process.poll() is None
    assert "/admin/logs" not in server.log.read_text()
