"""This file is how an access token is made: a JWT as RFC 9068 describes it, or an opaque one.

Which one it is stands in the client's registration; all else about it is the same.
"""

from __future__ import annotations

import secrets
from typing import Any

from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import KeySet

import config
from app.clients import scope as scopes
from app.clients.client import RegisteredClient
from app.keys import keystore
from app.tokens import issued_token


class AccessTokenGenerator(JWTBearerTokenGenerator):
    """Makes one token with one key: a generator that lived longer could meet a key of another algorithm."""

    def __init__(self, alg: str, key: KeySet) -> None:
        # Without `expires_generator` a token of this grant lives ten days.
        super().__init__(config.current().issuer, alg=alg, expires_generator=lifetime)
        self.key = key

    def get_jwks(self) -> KeySet:
        return self.key  # parsed: Authlib would import anything else again for every token, in 40 ms

    def get_audiences(self, client: RegisteredClient, user: None, scope: str) -> str:
        # Authlib's default is the client's own id. `scopes.choose` has seen to it that there is one audience.
        (audience,) = scopes.audiences(scope)
        return audience

    def get_jti(self, client: RegisteredClient, grant_type: str, user: None, scope: str) -> str:
        return secrets.token_urlsafe(16)

    def get_extra_claims(self, client: RegisteredClient, grant_type: str, user: None, scope: str) -> dict[str, str]:
        return client.claims


def lifetime(client: RegisteredClient, _: str) -> int:
    """Seconds for which a token of this client lives."""
    return client.access_token_seconds or config.current().access_token_seconds


def generate(*, client: RegisteredClient, **asked: Any) -> dict[str, Any]:
    """The token answer (RFC 6749, section 5.1); a JWT is signed with the one key that signs now."""
    if client.token_format == "opaque":
        generator = BearerTokenGenerator(issued_token.generate, expires_generator=lifetime)
    else:
        row, key = keystore.signing_key()
        generator = AccessTokenGenerator(row.alg, key)
    answer: dict[str, Any] = generator(client=client, **asked)
    return answer
