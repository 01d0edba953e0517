"""How an access token is made: a JWT as RFC 9068 describes it, or an opaque one.

The client's registration says which of the two; everything else about it is the same.
"""

from __future__ import annotations

import secrets
from typing import Any

from app.clients.client import Client
from app.keys import keystore
from app.settings import current_settings
from app.tokens import stored_token
from app.tokens.access_token import with_generation
from app.tokens.granted import Granted


def generate(*, client: Client, scope: str | None, **_: Any) -> dict[str, str | int]:
    """The token response (RFC 6749, section 5.1).

    Authlib's own generator drops what the client may not have, lets a token of this grant live ten days, and
    makes its client the audience.

    Raises:
        ScopeError: If the scope cannot be granted.
        NoSigningKeyError: If there is no key to sign with, or it cannot be opened.
    """
    granted = Granted.to(client, scope or "")
    make = stored_token.issue if client.token_format == "opaque" else sign
    token = make(granted)
    return {
        "token_type": "Bearer",
        "access_token": token,
        "expires_in": granted.lifetime,
        "scope": granted.scope,
    }


def sign(granted: Granted) -> str:
    """A JWT with the claims of RFC 9068, section 2.2."""
    client = granted.client
    claims = {
        **client.claims,
        "iss": current_settings().issuer,
        "aud": granted.audience,
        "sub": client.client_id,
        "client_id": client.client_id,
        "iat": granted.issued_at,
        "exp": granted.issued_at + granted.lifetime,
        "jti": secrets.token_urlsafe(16),
        "scope": granted.scope,
    }
    return keystore.signer().sign(with_generation(claims, client.generation))
