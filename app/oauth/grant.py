"""The one grant of this server: client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import grants

from app.authentication import limits
from app.checks import Check, making
from app.clients.client import SECRET_METHODS, Client

GRANT_ALLOWED = Check("grant_allowed", "The client is registered for this grant.", "RFC 6749, section 5.2")


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    # Authlib's default is Basic only.
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS

    def authenticate_token_endpoint_client(self) -> Client:
        client: Client = super().authenticate_token_endpoint_client()
        limits.count_request(client.client_id)
        making.now.check = GRANT_ALLOWED  # by Authlib, next
        return client
