"""The faults of a token: each turns a good token into a bad one, signed by the active key where possible."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from joserfc import jwk, jwt
from werkzeug import Response

from app.clock import now
from app.faults.fault_id import UnknownFaultError
from app.keys import keystore

ELSEWHERE = "https://another-{}.example"
SECONDS = 600


@dataclass
class Jwt:
    """A JWT, taken apart."""

    header: dict[str, Any]
    claims: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Jwt:
        """A JWT of our own, which needs no check.

        Raises:
            UnknownFaultError: If it is an opaque token.
        """
        if "." not in text:
            raise UnknownFaultError("only a JWT can have this fault, and this client has opaque tokens")
        header, claims, _ = text.split(".")
        return cls(decoded(header), decoded(claims))

    def signed(self, key: jwk.Key | None = None) -> str:
        """The JWT, signed by a key; by default by the one that is active."""
        return jwt.encode(self.header, self.claims, key or keystore.signer().key, algorithms=[self.header["alg"]])

    def unsigned(self) -> str:
        """Header and claims, as they are signed (RFC 7515, section 7.1)."""
        return f"{encoded(json.dumps(self.header).encode())}.{encoded(json.dumps(self.claims).encode())}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def from_issuer(token: Jwt, issuer: str) -> str:
    token.claims["iss"] = issuer
    return token.signed()


def expired(token: Jwt) -> str:
    life = token.claims["exp"] - token.claims["iat"]
    token.claims |= {"iat": now() - SECONDS - life, "exp": now() - SECONDS}
    return token.signed()


def not_yet_valid(token: Jwt) -> str:
    begin = now() + SECONDS
    token.claims |= {"nbf": begin, "exp": begin + SECONDS}
    return token.signed()


def wrong_audience(token: Jwt) -> str:
    token.claims["aud"] = ELSEWHERE.format("api")
    return token.signed()


def wrong_issuer(token: Jwt) -> str:
    return from_issuer(token, ELSEWHERE.format("issuer"))


@lru_cache(maxsize=2)
def never_published(key_type: str) -> jwk.Key:
    """A key of this process alone."""
    return jwk.RSAKey.generate_key(2048) if key_type == "RSA" else jwk.ECKey.generate_key("P-256")


def unknown_kid(token: Jwt) -> str:
    key = never_published(keystore.signer().key.key_type)
    token.header["kid"] = key.thumbprint()
    return token.signed(key)


def wrong_typ(token: Jwt) -> str:
    token.header["typ"] = "JWT"
    return token.signed()


def no_scope(token: Jwt) -> str:
    token.claims.pop("scope", None)
    return token.signed()


def alg_none(token: Jwt) -> str:
    token.header["alg"] = "none"
    return token.unsigned() + "."


def hmac_with_public_key(token: Jwt) -> str:
    token.header["alg"] = "HS256"
    key: Any = keystore.signer().key
    return f"{token.unsigned()}.{encoded(hmac.digest(key.as_pem(private=False), token.unsigned().encode(), 'sha256'))}"


def bad_signature(token: Jwt) -> str:
    start, _, signature = token.signed().rpartition(".")
    return f"{start}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


MAKERS: dict[str, Callable[[Jwt], str]] = {
    "expired": expired,
    "not-yet-valid": not_yet_valid,
    "wrong-audience": wrong_audience,
    "wrong-issuer": wrong_issuer,
    "unknown-kid": unknown_kid,
    "wrong-typ": wrong_typ,
    "no-scope": no_scope,
    "alg-none": alg_none,
    "hmac": hmac_with_public_key,
    "bad-signature": bad_signature,
}


def with_token(response: Response, make: Callable[[Jwt], str]) -> Response:
    """The token response with another token."""
    members = json.loads(response.get_data())
    response.set_data(json.dumps(members | {"access_token": make(Jwt.parse(members["access_token"]))}))
    return response
