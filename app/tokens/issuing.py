"""How an access token is made: a JWT (RFC 9068) or an opaque one.

The client's registration says which of the two; everything else is the same.
"""

from __future__ import annotations

import secrets
from typing import Any

from authlib.oauth2.rfc6750 import BearerTokenGenerator

from app.clients import scope as scopes
from app.clients.client import Client
from app.clock import now
from app.keys import keystore
from app.settings import current_settings
from app.tokens import stored_token
from app.tokens.access_token import with_generation


def sign(client: Client, grant_type: str, scope: str, **_: None) -> str:
    """A JWT with the claims of RFC 9068, section 2.2; in Authlib's own the audience is the client's id.

    Raises:
        NoSigningKeyError: If there is no key, or it cannot be decrypted.
    """
    # `scopes.choose` has checked that there is one audience (RFC 9068, section 3).
    (audience,) = scopes.audiences(scope)
    moment = now()
    claims = {
        **client.claims,
        "iss": current_settings().issuer,
        "aud": audience,
        "sub": client.client_id,
        "client_id": client.client_id,
        "iat": moment,
        "exp": moment + lifetime(client, grant_type),
        "jti": secrets.token_urlsafe(16),
        "scope": scope,
    }
    return keystore.signer().sign(with_generation(claims, client.generation))


def lifetime(client: Client, _: str) -> int:
    """The lifetime of this client's tokens, in seconds."""
    return client.access_token_seconds or current_settings().access_token_seconds


# Without `expires_generator`, Authlib's tokens of this grant are valid for ten days.
GENERATORS = {
    "jwt": BearerTokenGenerator(sign, expires_generator=lifetime),
    "opaque": BearerTokenGenerator(stored_token.generate, expires_generator=lifetime),
}


def generate(*, client: Client, **requested: Any) -> dict[str, Any]:
    """The token response (RFC 6749, section 5.1): `access_token`, `token_type`, `expires_in`, `scope`.

    Raises:
        NoSigningKeyError: For a JWT, if there is no key, or it cannot be decrypted.
        ScopeError: If the requested scope cannot be granted.
    """
    return GENERATORS[client.token_format](client=client, **requested)  # type: ignore[no-any-return]
