"""The server's metadata (RFC 8414): the server does what its metadata says."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from flask import Flask

from tests.conftest import ISSUER, Machine, demo

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def test_R078_R079_the_metadata_is_where_the_rfc_puts_it_and_the_issuer_is_ours(app: Flask) -> None:
    response = app.test_client().get(WELL_KNOWN, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})

    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert response.json["issuer"] == ISSUER
    assert "evil" not in response.text


def test_R078_R083_with_a_path_in_the_issuer_everything_is_where_the_metadata_says(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(issuer="http://127.0.0.1:8000/auth/eu")
    metadata = app.test_client().get(WELL_KNOWN + "/auth/eu").json
    data = {"grant_type": "client_credentials"}

    machine = demo(app, "demo-admin")
    issued = app.test_client().post(
        urlsplit(metadata["token_endpoint"]).path, data=data, auth=(machine.client_id, machine.secret)
    )
    keys = app.test_client().get(urlsplit(metadata["jwks_uri"]).path)

    assert metadata["issuer"] == "http://127.0.0.1:8000/auth/eu"
    assert (issued.status_code, keys.status_code) == (200, 200)
    assert machine.get("/auth/eu/admin/logs", issued.json["access_token"]).status_code == 200
    assert app.test_client().get(WELL_KNOWN).status_code == 404


def test_R080_R081_R083_members_are_there_or_left_out_as_the_rfc_says(app: Flask) -> None:
    metadata = app.test_client().get(WELL_KNOWN).json

    assert "authorization_endpoint" not in metadata
    assert metadata["grant_types_supported"] == ["client_credentials"]
    assert [name for name, value in metadata.items() if value == []] == ["response_types_supported"]


def test_trap_authlib_takes_the_empty_list_that_R080_wants_for_a_missing_member(app: Flask) -> None:
    metadata = app.test_client().get(WELL_KNOWN).json

    assert metadata["response_types_supported"] == []
    with pytest.raises(ValueError, match='"response_types_supported" is required'):
        AuthorizationServerMetadata(metadata).validate_response_types_supported()


def test_R082_R083_R084_what_the_metadata_lists_works(admin: Machine) -> None:
    metadata = admin.app.test_client().get(WELL_KNOWN).json
    path = urlsplit(metadata["token_endpoint"]).path
    form = {"grant_type": metadata["grant_types_supported"][0]}
    in_form = form | {"client_id": admin.client_id, "client_secret": admin.secret}

    responses = {
        "client_secret_basic": admin.app.test_client().post(path, data=form, auth=(admin.client_id, admin.secret)),
        "client_secret_post": admin.app.test_client().post(path, data=in_form),
    }

    listed = set(metadata["token_endpoint_auth_methods_supported"])
    assert {response.status_code for response in responses.values()} == {200}
    assert listed - responses.keys() == {"private_key_jwt"}  # test_rfc7523.py
    assert admin.app.test_client().get(urlsplit(metadata["jwks_uri"]).path).status_code == 200
    assert set(responses["client_secret_basic"].json["scope"].split()) <= set(metadata["scopes_supported"])


@pytest.mark.parametrize("name", ["token", "introspection", "revocation"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_R082_each_method_that_is_listed_works_at_each_endpoint(app: Flask, name: str, method: str) -> None:
    metadata = app.test_client().get(WELL_KNOWN).json
    machine = demo(app, "demo-shipments" if name == "introspection" else "demo-partner")
    form = {"grant_type": "client_credentials", "token": "x"}
    in_form = {"client_id": machine.client_id, "client_secret": machine.secret}

    response = app.test_client().post(
        urlsplit(metadata[f"{name}_endpoint"]).path,
        data=form | in_form if method == "client_secret_post" else form,
        auth=None if method == "client_secret_post" else (machine.client_id, machine.secret),
    )

    assert method in metadata[f"{name}_endpoint_auth_methods_supported"]
    assert response.status_code == 200


@pytest.mark.parametrize("issuer", [ISSUER, "http://127.0.0.1:8000/auth/eu"])
def test_R083_every_address_that_is_listed_responds(new_app: Callable[..., Flask], issuer: str) -> None:
    app = new_app(issuer=issuer)
    metadata = app.test_client().get(WELL_KNOWN + urlsplit(issuer).path).json

    addresses = {name: urlsplit(value).path for name, value in metadata.items() if str(value).startswith("http")}
    del addresses["issuer"]

    statuses = {name: app.test_client().get(path).status_code for name, path in addresses.items()}
    assert {name: status for name, status in statuses.items() if status not in (200, 405)} == {}
    assert sorted(statuses) == [
        *("introspection_endpoint", "jwks_uri", "revocation_endpoint", "service_documentation", "token_endpoint"),
    ]


HEADS = [WELL_KNOWN, "/.well-known/jwks.json", "/.well-known/oauth-protected-resource", "/errors/", "/openapi.json"]


@pytest.mark.parametrize("path", HEADS)
def test_R106_HEAD_works_where_GET_does(app: Flask, path: str) -> None:
    head, get = app.test_client().head(path), app.test_client().get(path)

    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
