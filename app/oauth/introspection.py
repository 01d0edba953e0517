"""`POST /oauth/introspect` (RFC 7662): an API introspects a token.

Only a client that is registered as a resource server may introspect, and only tokens for its own API.
"""

from __future__ import annotations

from typing import Any

from authlib.oauth2 import rfc7662
from flask import Flask, Response, g

from app.audit import trail
from app.audit.event import Event
from app.authentication import limits
from app.checks import Check, making
from app.clients.client import AUTH_METHODS, Client
from app.oauth.form_request import FormRequest
from app.oauth.request_rules import required
from app.oauth.server import current_server
from app.oauth.token_endpoint import blueprint
from app.refusals.errors import RefusedError
from app.refusals.rendering import refused_as
from app.tokens import checking
from app.tokens.access_token import AccessToken, InvalidTokenError

RESOURCE_SERVER = Check("resource_server", "The client is registered as a resource server.", "RFC 7662, section 2.1")
OWN_AUDIENCE = Check("own_audience", "The token is for the API that introspects it.", "RFC 7662, section 2.2")

NO_RESOURCE_SERVER = "This client is not registered as a resource server, and may not introspect tokens."


class IntrospectionEndpoint(rfc7662.IntrospectionEndpoint):
    # Authlib's default is Basic only.
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def check_params(self, request: FormRequest, client: Client) -> None:
        # Authlib's check refuses an unknown token_type_hint; RFC 7662, section 2.1 permits ignoring it.
        making.now.check = RESOURCE_SERVER
        if client.resource_server is None:
            raise RefusedError("unauthorized_client", NO_RESOURCE_SERVER, status=403)
        limits.count_introspection(client.client_id)
        required("token")

    def query_token(self, text: str, _: str | None) -> AccessToken | None:
        try:
            return checking.check(text)
        except InvalidTokenError as error:
            record_inactive(str(error), error.token)
            return None

    def check_permission(self, token: AccessToken, client: Client, request: FormRequest) -> bool:
        making.now.check = OWN_AUDIENCE
        if client.resource_server in token.audience:
            return True
        record_inactive("the token is meant for another API, not the one that introspects it", token)
        return False

    def create_introspection_payload(self, token: AccessToken | None) -> dict[str, Any]:
        """RFC 7662, section 2.2: for a token that is not active, `active` is the only member."""
        return {"active": False} if token is None else {"active": True, "token_type": "Bearer", **token.claims}


def record_inactive(reason: str, token: AccessToken | None) -> None:
    """The response does not say why; the audit trail does, and the log which token of ours it is."""
    making.now.has_failed = True
    g.inactive, g.token = reason, token
    trail.record_soon(Event.TOKEN_INACTIVE, client_id=g.get("client_id"), reason=f"inactive: {reason}")


def init_app(app: Flask) -> None:
    current_server.of(app).register_endpoint(IntrospectionEndpoint)


@blueprint.post("/oauth/introspect")
@refused_as(Event.INTROSPECTION_REFUSED)
def introspection() -> Response:
    response: Response = current_server().create_endpoint_response(IntrospectionEndpoint.ENDPOINT_NAME)
    return response
