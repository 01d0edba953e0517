"""This file is the authorization server: Authlib's, with what this server is made of.

The guide initializes its server with a model. Here the model's parts are named one by one: how a
client is found and proves itself, which grant there is, how a token is made and what is kept of it.
"""

from __future__ import annotations

from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from flask import Flask, Request, Response, request

from app.audit import trail
from app.audit.event import Event
from app.authentication import client_secret
from app.clients import registry
from app.oauth.grant import ClientCredentialsGrant
from app.per_app import PerApp
from app.settings import current_settings
from app.tokens import issuing, stored_token


class FormRequest(OAuth2Request):
    """A request as Authlib sees it: the parameters are those of the body, an empty one is none (RFC 6749, 3.2).

    Authlib's own request also reads the query string, where a secret would end in every log on the way.
    """

    def __init__(self, flask_request: Request) -> None:
        # Our own address, not the one the client used: Authlib raises for plain http that is not loopback.
        super().__init__(flask_request.method, current_settings().issuer + flask_request.path)
        self.headers = flask_request.headers
        self.payload = BasicOAuth2Payload({name: value for name, value in flask_request.form.items() if value})

    @property
    def form(self) -> dict[str, str]:
        parameters: dict[str, str] = self.payload.data
        return parameters


class KeyturnServer(AuthorizationServer):
    def create_oauth2_request(self, _: None) -> FormRequest:
        return FormRequest(request._get_current_object())  # type: ignore[attr-defined]  # itself, not its proxy

    def handle_error_response(self, _: FormRequest, error: OAuth2Error) -> Response:
        # Authlib catches its own errors, so that no error handler of Flask would see them: hand them on.
        raise error


current_server = PerApp[KeyturnServer]("authorization_server")


def save_token(token: dict[str, Any], oauth_request: FormRequest) -> None:
    """Nothing of a JWT is kept but the event: it needs no row to be checked. An opaque token is one."""
    if oauth_request.client.token_format == "opaque":
        stored_token.keep(token, oauth_request.client)
    trail.note(Event.TOKEN_ISSUED, client_id=oauth_request.client.client_id, scope=token["scope"])


def init_app(app: Flask) -> None:
    # One server per app: it keeps its grants, and one for all apps would mix theirs.
    server = KeyturnServer(app, query_client=registry.find_client, save_token=save_token)
    server.register_client_auth_method("client_secret_basic", client_secret.client_secret_basic)
    server.register_client_auth_method("client_secret_post", client_secret.client_secret_post)
    server.register_grant(ClientCredentialsGrant)
    # "default" is Authlib's word for: whatever the grant.
    server.register_token_generator("default", issuing.generate)
    current_server.set(app, server)
