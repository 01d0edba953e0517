"""The check of a JWT (RFC 9068, section 4): its signature, its claims, its times."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from flask import Flask
from joserfc import jws
from joserfc.errors import DecodeError, JoseError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

import config
from app.checks import Check, making
from app.clients.secret import digest
from app.clock import LEEWAY_SECONDS, duration, now
from app.keys import keystore
from app.per_app import PerApp
from app.settings import current_settings
from app.tokens.access_token import GENERATION, AccessToken, InvalidTokenError

JWT = Check("jwt", "The token is a JWT: three parts in Base64url.", "RFC 7515, section 7.1")
EXTENSIONS = Check("extensions", "The token needs no extension of the format.", "RFC 7515, section 4.1.11")
TYPE = Check("typ", "The token is an access token: its typ is at+jwt.", "RFC 9068, section 4")
ALGORITHM = Check("alg", "The algorithm is one of ours, and a key is named.", "RFC 8725, section 3.1")
KEY = Check("kid", "The key is published, and is for this algorithm.", "RFC 9068, section 4")
SIGNATURE = Check("signature", "The signature fits the key, the header and the claims.", "RFC 7515, section 5.2")
OBJECT = Check("payload", "The payload is a JSON object.", "RFC 7519, section 7.2")
CLAIMS = Check("claims", "No claim is missing, and times are numbers.", "RFC 9068, section 2.2")
ISSUER = Check("iss", "The token was issued by this server.", "RFC 9068, section 4")
LIFETIME = Check("lifetime", "The lifetime is not longer than any that is issued here.", "our own")
FORMS = Check("claim_forms", "Each claim has the type that it must have.", "RFC 9068, section 2.2")
EXPIRY = Check("exp", "The token has not expired.", "RFC 7519, section 4.1.4")
BEGINNING = Check("nbf_iat", "The token is not from the future.", "RFC 7519, sections 4.1.5 and 4.1.6")

ALGORITHMS = ("RS256", "ES256")
TYPES = ("at+jwt", "application/at+jwt")
MAX_MOMENT = 2**53
REMEMBERED_TOKENS = 2_048  # some 3 kB each
NEEDED_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")  # RFC 9068, section 2.2


class VerifiedJwts:
    """The JWTs that this worker has verified: their SHA-256 and their contents. One per app.

    A verified signature stays valid, so it is verified once: 0.28 of the 0.54 ms of a guarded request. Times,
    key and revocation are checked each time. The tokens themselves are not stored; the oldest entry goes first.
    """

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, AccessToken] = OrderedDict()

    def verify(self, text: str) -> AccessToken:
        """Verify what time does not change: the signature, and that the claims are those of a token of ours.

        Raises:
            InvalidTokenError: If it is not a JWT as this server issues them.
        """
        name = digest(text)
        # A request whose checks are recorded verifies it anew: nothing would be seen of a check that was made before.
        if (found := self._tokens.get(name)) and not making.now.is_recorded:
            return found
        token = verify(text)
        self._tokens[name] = token
        if len(self._tokens) > REMEMBERED_TOKENS:
            self._tokens.popitem(last=False)
        return token


current_verified_jwts = PerApp[VerifiedJwts]("verified_jwts")


def init_app(app: Flask) -> None:
    current_verified_jwts.set(app, VerifiedJwts())


def verify(text: str) -> AccessToken:
    making.now.check = JWT
    try:
        signed = jws.extract_compact(text.encode("ascii"))
        check_signature(signed)
        making.now.check = OBJECT
        claims = json.loads(signed.payload or b"")
        check_claims(claims)
        return AccessToken.from_claims(claims, kid=signed.headers()["kid"])
    except DecodeError as error:
        raise InvalidTokenError("the token is not a JWT, or is incomplete") from error
    # RecursionError: thousands of brackets in a row are JSON too. OverflowError: so is 1e999, which is infinite.
    except (JoseError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidTokenError(f"the token is malformed: {type(error).__name__}") from error


def check_signature(signed: jws.CompactSignature) -> None:
    """The header decides only which of our keys to try (RFC 8725, sections 3.1 and 3.11)."""
    header = signed.headers()
    making.now.check = EXTENSIONS
    # joserfc lets an empty list pass; RFC 7515, section 4.1.11 does not, and we support no extension anyway.
    if "crit" in header:
        raise InvalidTokenError("the token has critical extensions")
    typ, alg, kid = (header.get(name) for name in ("typ", "alg", "kid"))
    making.now.check = TYPE
    # Authlib lets a token without `typ` pass; RFC 9068, section 4 does not.
    if not isinstance(typ, str) or typ.lower() not in TYPES:
        raise InvalidTokenError("the token's typ is not at+jwt")
    making.now.check = ALGORITHM
    if alg not in ALGORITHMS or not isinstance(kid, str):
        raise InvalidTokenError("the token has no kid, or an algorithm that is not allowed")
    making.now.check = KEY
    found = keystore.find_public(kid)
    if found is None or found[0].alg != alg:
        raise InvalidTokenError("the token's kid names none of the published keys")
    making.now.check = SIGNATURE
    if not jws.validate_compact(signed, found[1], algorithms=[alg]):
        raise InvalidTokenError("the token's signature is wrong")


def check_claims(claims: Any) -> None:
    if not isinstance(claims, dict):
        raise InvalidTokenError("the token's payload is not an object")
    making.now.check = CLAIMS
    needed: dict[str, ClaimsOption] = {name: {"essential": True} for name in NEEDED_CLAIMS}
    # Here only check that the times are numbers: `check_moments` compares them, at every request.
    JWTClaimsRegistry(now, MAX_MOMENT, **needed).validate(claims)
    making.now.check = ISSUER
    if claims["iss"] != current_settings().issuer:
        raise InvalidTokenError("the token is from another issuer")
    making.now.check = LIFETIME
    if claims["exp"] > min(claims["iat"] + config.MAX_ACCESS_TOKEN_SECONDS, MAX_MOMENT):
        raise InvalidTokenError("the token's lifetime is longer than any that is issued here")
    making.now.check = FORMS
    if type(claims.get(GENERATION, 0)) is not int:
        raise InvalidTokenError("the token's generation is not a number")
    # Authlib splits `scope` whatever its type, and a number would end in AttributeError and HTTP 500. The database
    # raises for a `jti` with a NUL byte or half a surrogate pair.
    for name in ("client_id", "jti", "scope"):
        if not isinstance(text := claims.get(name, ""), str) or not (name == "scope" or text.isprintable()):
            raise InvalidTokenError(f"the token's {name} is not text, or not printable")


def check_moments(claims: Mapping[str, Any]) -> None:
    """Compare the times with the clock (RFC 7519, section 4.1), and say by how much one is off."""
    moment = now()
    making.now.check = EXPIRY
    # No leeway here: a token of two seconds would be valid for a minute.
    if claims["exp"] <= moment:
        raise InvalidTokenError(f"the token expired {duration(moment - int(claims['exp']))} ago")
    making.now.check = BEGINNING
    for name in ("nbf", "iat"):
        if claims.get(name, 0) > moment + LEEWAY_SECONDS:
            raise InvalidTokenError(f"clock: {name} is {duration(int(claims[name]) - moment)} ahead")
