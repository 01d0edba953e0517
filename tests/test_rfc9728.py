"""The sample API's own metadata (RFC 9728), and how a client finds it from the API alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests.conftest import ISSUER, demo

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def test_R085_the_api_says_where_its_tokens_come_from(app: Flask) -> None:
    response = app.test_client().get(WELL_KNOWN, headers={"Host": "evil.example"})

    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert response.json == {
        "resource": ISSUER,
        "authorization_servers": [ISSUER],
        "scopes_supported": [
            *("read:logs", "write:logs", "reports:read", "inventory:read", "inventory:write", "read:all_data"),
        ],
        "bearer_methods_supported": ["header"],
    }
    assert "max-age" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("issuer", "audience", "address"),
    [
        ("http://127.0.0.1:8000/auth/eu", "", f"http://127.0.0.1:8000{WELL_KNOWN}/auth/eu"),
        (ISSUER, "https://api.example.com", f"https://api.example.com{WELL_KNOWN}"),
        (ISSUER, "https://api.example.com/v1", f"https://api.example.com{WELL_KNOWN}/v1"),
    ],
)
def test_R085_a_401_leads_to_the_metadata_and_the_metadata_to_a_token(
    new_app: Callable[..., Flask], issuer: str, audience: str, address: str
) -> None:
    app = new_app(issuer=issuer, audience=audience)
    path = urlsplit(issuer).path

    for headers in ({}, {"Authorization": "Bearer x"}):
        challenge = app.test_client().get(f"{path}/inventory", headers=headers).headers["WWW-Authenticate"]
        (found,) = re.findall(r'resource_metadata="([^"]*)"', challenge)
        assert found == address
    described = app.test_client().get(urlsplit(address).path).json
    (server,) = described["authorization_servers"]
    known = app.test_client().get("/.well-known/oauth-authorization-server" + urlsplit(server).path).json

    assert described["resource"] == (audience or issuer)
    assert urlsplit(known["token_endpoint"]).path == f"{path}/oauth/token"


def test_R085_an_audience_that_is_no_address_has_no_metadata(new_app: Callable[..., Flask]) -> None:
    app = new_app(audience="urn:example:api")

    assert app.test_client().get(WELL_KNOWN).status_code == 404
    assert app.test_client().get("/inventory").headers["WWW-Authenticate"] == 'Bearer realm="keyturn"'


def test_R085_a_403_does_not_send_the_client_elsewhere(app: Flask) -> None:
    response = demo(app, "demo-reporting").get("/inventory", demo(app, "demo-reporting").token())

    assert response.status_code == 403
    assert "resource_metadata" not in response.headers["WWW-Authenticate"]
