"""The one grant of this server: client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import grants

from app.authentication import limits
from app.clients.client import SECRET_METHODS, Client


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    # Authlib's default is Basic only.
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS

    def authenticate_token_endpoint_client(self) -> Client:
        client: Client = super().authenticate_token_endpoint_client()
        limits.count_request(client.client_id)
        return client
