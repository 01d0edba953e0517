"""This file is an access token that has been checked, and the check (RFC 9068, section 4).

Who holds an `AccessToken` may trust what is in it: only a check makes one, `check_jwt` here or
`live_token`, which asks in addition whether it was withdrawn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

import config
from app.clock import now
from app.explanations.causes import duration
from app.keys import keystore
from app.keys.signing_key import LEEWAY_SECONDS

ALGORITHMS = ("RS256", "ES256")
TYPES = ("at+jwt", "application/at+jwt")
MAX_MOMENT = 2**53  # beyond it a number is no whole second any more
NEEDED_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")  # RFC 9068, section 2.2


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


def check_jwt(text: str) -> AccessToken:
    """Check everything that a JWT itself shows, but whether its audience is the one who asks.

    Raises:
        InvalidTokenError: If anything about it is not as this server would have made it.
    """
    try:
        signed = jws.extract_compact(text.encode("ascii"))
        check_signature(signed)
        claims = json.loads(signed.payload or b"")
        check_claims(claims)
    # RecursionError: thousands of brackets in a row are JSON too.
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTokenError(f"the token is malformed: {type(error).__name__}") from error
    return AccessToken.from_claims(claims)


def check_signature(signed: jws.CompactSignature) -> None:
    """The header decides nothing but which of our keys to try (RFC 8725, sections 3.1 and 3.11)."""
    header = signed.headers()
    # joserfc lets an empty list pass; RFC 7515, section 4.1.11 does not, and we know no extension anyway.
    if "crit" in header:
        raise InvalidTokenError("the token has critical extensions")
    typ, alg, kid = (header.get(name) for name in ("typ", "alg", "kid"))
    # Authlib lets a token without `typ` pass; RFC 9068, section 4 does not.
    if not isinstance(typ, str) or typ.lower() not in TYPES:
        raise InvalidTokenError("the token's typ is not at+jwt")
    if alg not in ALGORITHMS or not isinstance(kid, str):
        raise InvalidTokenError("the token has no kid, or an algorithm that is not allowed")
    found = keystore.find_public(kid)
    if found is None or found[0].alg != alg:
        raise InvalidTokenError("the token's kid names none of the published keys")
    if not jws.validate_compact(signed, found[1], algorithms=[alg]):
        raise InvalidTokenError("the token's signature is wrong")


def check_claims(claims: Any) -> None:
    if not isinstance(claims, dict):
        raise InvalidTokenError("the token's payload is not an object")
    check_moments(claims)
    needed: dict[str, ClaimsOption] = {name: {"essential": True} for name in NEEDED_CLAIMS}
    JWTClaimsRegistry(now, LEEWAY_SECONDS, **needed).validate(claims)
    if claims["iss"] != config.current().issuer:
        raise InvalidTokenError("the token is another issuer's")
    # Authlib splits whatever `scope` is, and a number ends in AttributeError and HTTP 500. The database raises
    # for a `jti` with a NUL byte or half a surrogate pair.
    for name in ("client_id", "jti", "scope"):
        if not isinstance(text := claims.get(name, ""), str) or not (name == "scope" or text.isprintable()):
            raise InvalidTokenError(f"the token's {name} is not text, or not printable")


def check_moments(claims: dict[str, Any]) -> None:
    """Say how far a clock is off (RFC 7519, section 4.1); what is no moment at all the registry refuses."""
    moment = now()
    known = {n: int(at) for n, at in claims.items() if type(at) in (int, float) and abs(at) < MAX_MOMENT}
    # No leeway here: a token of two seconds would live for a minute.
    if known.get("exp", moment + 1) <= moment:
        raise InvalidTokenError(f"the token expired {duration(moment - known['exp'])} ago")
    for name in ("nbf", "iat"):
        if known.get(name, 0) > moment + LEEWAY_SECONDS:
            raise InvalidTokenError(f"clock: {name} lies {duration(known[name] - moment)} ahead")
