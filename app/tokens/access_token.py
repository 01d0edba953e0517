"""An access token that has been checked: whatever has an `AccessToken` may trust what it says.

Only a check makes one: `jwt_check` of what a JWT itself shows, and `checking`, which also looks whether it
was revoked. It is shared by requests, so nothing of it can be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# Our private claim (RFC 7519, section 4.3): the client's generation when the token was issued. A token
# without it has generation 0, as every token of a client whose tokens were never revoked all at once.
GENERATION = "gen"


class InvalidTokenError(Exception):
    """A token that is not one of ours, or no longer; the text says why, without the token."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a checked token says. Moments are in whole seconds since the epoch.

    `kid` is the id of the key that signed it; an opaque token has none.
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
        """What the claims of RFC 9068, section 2.2 say, once they have been checked."""
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


def with_generation(claims: dict[str, Any], generation: int) -> dict[str, Any]:
    """The claims of a token that is issued at this generation of its client, and of no other."""
    claims.pop(GENERATION, None)  # a client that an earlier release registered may have a claim of this name
    return claims | {GENERATION: generation} if generation else claims
