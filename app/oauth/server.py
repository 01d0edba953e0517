"""The authorization server: Authlib's, put together from named parts.

The guide initializes its server with a model. Here the model's parts are passed one by one: how a client
is found and authenticated, which grant there is, how a token is made and what is stored of it.
"""

from __future__ import annotations

from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from flask import Flask, Response

from app.audit import trail
from app.authentication import client_secret, federated_jwt, private_key_jwt
from app.clients import registry
from app.oauth.form_request import FormRequest
from app.oauth.grant import ClientCredentialsGrant
from app.per_app import PerApp
from app.tokens import issuing

current_server = PerApp["KeyturnServer"]("authorization_server")


def init_app(app: Flask) -> None:
    # One server per app: Authlib stores the grants on it, and one for all apps would mix theirs.
    server = KeyturnServer(app, query_client=registry.find_client, save_token=save_token)
    server.register_client_auth_method("client_secret_basic", client_secret.client_secret_basic)
    server.register_client_auth_method("client_secret_post", client_secret.client_secret_post)
    server.register_client_auth_method("federated_jwt", federated_jwt.federated_jwt)
    server.register_client_auth_method("private_key_jwt", private_key_jwt.private_key_jwt)
    server.register_grant(ClientCredentialsGrant)
    # In Authlib, "default" means any grant.
    server.register_token_generator("default", issuing.generate)
    current_server.set(app, server)


def save_token(_: dict[str, Any], __: FormRequest) -> None:
    """Record the event: an opaque token is stored already, and a JWT needs no row."""
    trail.record_issued()


class KeyturnServer(AuthorizationServer):
    """Authlib's server, with our request and our responses to errors."""

    def create_oauth2_request(self, _: None) -> FormRequest:
        return FormRequest()

    def handle_error_response(self, _: FormRequest, error: OAuth2Error) -> Response:
        # Authlib catches its own errors, so Flask's error handlers would not see them: raise them again.
        raise error
