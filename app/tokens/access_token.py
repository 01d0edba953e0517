"""An access token that has been checked: whoever holds an `AccessToken` may trust what it says.

Only a check makes one: `jwt_check` of what a JWT itself shows, and `checking`, which also looks whether it
was revoked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class InvalidTokenError(Exception):
    """A token that is not one of ours, or no longer; the text says why, without the token."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a checked token says. Moments are in whole seconds since the epoch."""

    jti: str
    client_id: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    issued_at: int
    expires_at: int
    claims: Mapping[str, Any]

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> AccessToken:
        """What the claims of RFC 9068, section 2.2 say, once they have been checked."""
        audience = claims["aud"]
        return cls(
            jti=claims["jti"],
            client_id=claims["client_id"],
            audience=(audience,) if isinstance(audience, str) else tuple(audience),
            scope=tuple(claims.get("scope", "").split(" ")),
            issued_at=int(claims["iat"]),
            expires_at=int(claims["exp"]),
            claims=claims,
        )
