"""The one grant of this server: client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import grants

from app.authentication import limits
from app.checks import Check, making
from app.clients.client import AUTH_METHODS, Client
from app.oauth import resource_indicators

GRANT_ALLOWED = Check("grant_allowed", "The client is registered for this grant.", "RFC 6749, section 5.2")


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    # Authlib's default is Basic only.
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def authenticate_token_endpoint_client(self) -> Client:
        client: Client = super().authenticate_token_endpoint_client()
        limits.count_request(client.client_id)
        making.now.check = GRANT_ALLOWED  # by Authlib, next
        return client

    def validate_requested_scope(self) -> None:
        """Narrow the scope to the resource that is named; `app/clients/scope.py` checks it.

        Authlib compares it with a list for all clients, which there is not.
        """
        if self.request.names_an_api:
            resource_indicators.apply(self.request, self.request.client)
