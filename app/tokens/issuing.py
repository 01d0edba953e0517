"""How an access token is made: a JWT (RFC 9068) or an opaque one.

The client's registration says which of the two; everything else is the same.
"""

from __future__ import annotations

import secrets
from typing import Any

from app.audit import trail
from app.clients.client import Client
from app.keys import keystore
from app.logs import unlike_a_secret
from app.settings import current_settings
from app.tokens import stored_token
from app.tokens.access_token import with_generation
from app.tokens.granted import Granted

JTI_BYTES = 12  # 96 random bits, behind the prefix that the row of the audit trail has too


def generate(*, client: Client, scope: str | None, **_: Any) -> dict[str, str | int]:
    """The token response (RFC 6749, section 5.1): `token_type`, `access_token`, `expires_in`, `scope`.

    Authlib's own generator drops scopes that the client may not have, issues tokens of this grant for ten days,
    and makes the client the audience.

    Raises:
        ScopeError: If the scope cannot be granted.
        NoSigningKeyError: For a JWT, if there is no key to sign with, or it cannot be decrypted.
        DBAPIError: For an opaque token, if the database does not store it.
        TooManyWaitError: For an opaque token, if too many threads wait for the database already.
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
    client, signer = granted.client, keystore.signer()
    issue = trail.begin_issue(client_id=client.client_id, scope=granted.scope)
    issue.kid = signer.kid
    issue.jti = unlike_a_secret(lambda: issue.prefix + secrets.token_urlsafe(JTI_BYTES))
    claims = {
        **client.claims,
        "iss": current_settings().issuer,
        "aud": granted.audience,
        "sub": client.client_id,
        "client_id": client.client_id,
        "iat": granted.issued_at,
        "exp": granted.issued_at + granted.lifetime,
        "jti": issue.jti,
        "scope": granted.scope,
    }
    return signer.sign(with_generation(claims, client.generation))
