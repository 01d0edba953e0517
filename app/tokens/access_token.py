"""An access token that has been checked: code that has an `AccessToken` may trust its contents.

Only a check creates one: `jwt_check` checks the JWT itself, and `checking` also whether it was revoked.
Requests share it, so it is immutable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# Our private claim (RFC 7519, section 4.3): the client's generation when the token was issued. A token
# without it has generation 0, like every token of a client whose tokens were never revoked all at once.
GENERATION = "gen"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The contents of a checked token. Times are in whole seconds since the epoch.

    `kid` is the id of the key that signed it; None for an opaque token.
    """

    jti: str
    client_id: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    issued_at: int
    expires_at: int
    generation: int
    claims: Mapping[str, Any]
    kid: str | None = None

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any], *, kid: str | None = None) -> AccessToken:
        """The token with these claims (RFC 9068, section 2.2), which have been checked."""
        audience = claims["aud"]
        return cls(
            jti=claims["jti"],
            client_id=claims["client_id"],
            audience=(audience,) if isinstance(audience, str) else tuple(audience),
            scope=tuple(claims.get("scope", "").split(" ")),
            issued_at=int(claims["iat"]),
            expires_at=int(claims["exp"]),
            generation=claims.get(GENERATION, 0),
            claims=MappingProxyType(dict(claims)),
            kid=kid,
        )


class InvalidTokenError(Exception):
    """A token that is not ours, or no longer valid; the text says why, without the token.

    `token` is the contents of a token that we have issued; None if it is not ours.
    """

    token: AccessToken | None = None


def with_generation(claims: dict[str, Any], generation: int) -> dict[str, Any]:
    """The claims, with the generation of the client at which the token is issued."""
    claims.pop(GENERATION, None)  # a client that an earlier release registered may have a claim of this name
    return claims | {GENERATION: generation} if generation else claims
