"""Hints for unknown addresses: a newcomer's first error names what was meant."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from flask import Flask

from tests.conftest import ISSUER

METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: nothing here touches the database."""
    return prepared("sqlite")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (
            "/oauth/token/",
            "there is nothing at /oauth/token/, which has a slash too many; did you mean POST /oauth/token?",
        ),
        (
            "/oauth//token",
            "there is nothing at /oauth//token, which has a slash too many; did you mean POST /oauth/token?",
        ),
        ("/token", "there is nothing at /token; did you mean POST /oauth/token?"),
        ("/oauth2/token", "there is nothing at /oauth2/token; did you mean POST /oauth/token?"),
        ("/OAuth/Token", "there is nothing at /OAuth/Token; did you mean POST /oauth/token?"),
        ("/oauth/introspection", "there is nothing at /oauth/introspection; did you mean POST /oauth/introspect?"),
        (
            "/realms/x/protocol/openid-connect/token",
            "there is nothing at /realms/x/protocol/openid-connect/token; did you mean POST /oauth/token?",
        ),
        ("/oauth/token_info", "there is nothing at /oauth/token_info; did you mean POST /oauth/introspect?"),
        ("/certs", "there is nothing at /certs; did you mean /.well-known/jwks.json?"),
        ("/.well-known/jwks", "there is nothing at /.well-known/jwks; did you mean /.well-known/jwks.json?"),
        (
            "/oauth/authorize",
            "there is nothing at /oauth/authorize: nobody logs in here, and a client requests its token directly; "
            f"the metadata is at {METADATA}",
        ),
        (
            "/connect/register",
            "there is nothing at /connect/register: an operator registers clients with flask clients create; "
            f"the metadata is at {METADATA}",
        ),
        ("/jwks.json", "there is nothing at /jwks.json; did you mean /.well-known/jwks.json?"),
        ("/health", "there is nothing at /health; did you mean /health/live?"),
        ("/version", f"there is nothing at /version; the metadata is at {METADATA}"),
        (
            "/.well-known/openid-configuration",
            "there is nothing at /.well-known/openid-configuration: "
            f"this is not an OpenID provider, and its metadata is at {METADATA}",
        ),
    ],
)
def test_a_404_names_the_address_and_the_one_that_was_meant(
    app: Flask, caplog: pytest.LogCaptureFixture, path: str, hint: str
) -> None:
    caplog.set_level(logging.INFO)
    response = app.test_client().get(path)

    assert (response.status_code, response.json["error"], response.json["hint"]) == (404, "not_found", hint)
    assert response.json["error_description"] == "There is nothing at this address."
    assert f"not_found: {hint}" in [record.fields["reason"] for record in caplog.records if hasattr(record, "fields")]


def test_below_the_path_of_an_issuer_the_metadata_is_named_where_it_is(new_app: Callable[..., Flask]) -> None:
    app = new_app(issuer=f"{ISSUER}/auth/eu")

    hints = [app.test_client().get(path).json["hint"] for path in ("/oauth/token", "/auth/eu/openid-configuration")]

    assert hints[0].endswith("did you mean POST /auth/eu/oauth/token?")
    assert hints[1].endswith(f"its metadata is at {METADATA}/auth/eu")


@pytest.mark.parametrize("path", ["/nothing/kts_half-a-secret", "/" + "x" * 3_000, "/a/b/c/d/e/f", "/%22%5C%0A", "/ä"])
def test_a_path_of_another_shape_is_not_repeated(app: Flask, caplog: pytest.LogCaptureFixture, path: str) -> None:
    caplog.set_level(logging.INFO)

    response = app.test_client().get(path)

    assert response.status_code == 404
    assert "half-a-secret" not in response.text + caplog.text
    assert "x" * 33 not in response.text + caplog.text


def test_production_gives_no_hint(new_app: Callable[..., Flask]) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)

    response = app.test_client().get("/oauth/token/", headers={"X-Forwarded-Proto": "https"})

    assert (response.status_code, sorted(response.json)) == (404, ["error", "error_description", "error_uri"])


def test_an_address_is_named_with_its_method_unless_the_request_has_it(app: Flask) -> None:
    client = app.test_client()

    assert client.post("/token").json["hint"].endswith("did you mean /oauth/token?")
    assert client.post("/jwks").json["hint"].endswith("did you mean GET /.well-known/jwks.json?")
    assert "/.well-known/jwks.json?" in client.get("/jwks").json["hint"]
    assert client.head("/jwks").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/oauth/token", "GET is not supported at /oauth/token; use POST"),
        ("PATCH", "/admin/logs", "PATCH is not supported at /admin/logs; use GET or POST"),
        ("kts_0123456789ABCDEFGHIJKLMNOP", "/oauth/token", "[redacted] is not supported at /oauth/token; use POST"),
    ],
)
def test_a_405_names_the_methods_that_the_address_has(app: Flask, method: str, path: str, hint: str) -> None:
    response = app.test_client().open(path, method=method)

    assert response.status_code == 405
    assert response.json["hint"] == hint.replace("[", "?").replace("]", "?") or response.json["hint"] == hint
