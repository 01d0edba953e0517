"""The tokens of the mocks: signed, good until 2100, and the same each time they are made.

The key that signs them is no secret: it is computed from a sentence in this file. So `make docs` makes the same tokens
on every machine, and no private key is stored. Nothing but a mock may trust it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256, shake_256
from typing import Any

from joserfc import jwk

from app.faults.bad_tokens import ELSEWHERE, Jwt, encoded
from app.settings.keyturn_file import declared
from tests.support.house import ROOT

ISSUER = "http://127.0.0.1:8080"  # where WireMock is by default
BEGIN = 1_767_225_600  # 2026-01-01
END = 4_102_444_800  # 2100-01-01
YEAR = 31_536_000
RESOURCES = declared(str(ROOT / "keyturn.toml")).resources
# What is added to a number, so that it is prime: the search takes seconds, and joserfc checks the result.
TO_A_PRIME = {"published": (148, 276), "never published": (2220, 64)}
SENTENCE = "Keyturn's mocks, the key that is {}: {}"
# WireMock's templates for the time of a response, in seconds since the epoch.
NOW = "{{now format='unix'}}"
LATER = "{{{{now offset='{} seconds' format='unix'}}}}"
# Of a token whose payload WireMock writes, and which therefore nobody can sign.
NOT_SIGNED = encoded(b"this is not a signature")


@cache
def key(which: str = "published") -> jwk.RSAKey:
    """A key of the mocks, from its sentence."""
    exponent = 65_537
    p, q = (
        (int.from_bytes(shake_256(SENTENCE.format(which, name).encode()).digest(128)) | 3 << 1022 | 1) + more
        for name, more in zip("pq", TO_A_PRIME[which], strict=True)
    )
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = {"n": p * q, "e": exponent, "d": d, "p": p, "q": q}
    numbers |= {"dp": d % (p - 1), "dq": d % (q - 1), "qi": pow(q, -1, p)}
    texts = {name: encoded(number.to_bytes((number.bit_length() + 7) // 8)) for name, number in numbers.items()}
    return jwk.RSAKey.import_key({"kty": "RSA", **texts})


def jwks(which: str = "published") -> dict[str, Any]:
    public = key(which)
    return {"keys": [public.as_dict(private=False) | {"use": "sig", "alg": "RS256", "kid": public.thumbprint()}]}


def audience_of(scope: str) -> str:
    """The audience of the resource that a scope belongs to."""
    first = scope.partition(" ")[0]
    return next(each.audience for each in RESOURCES if first in each.scopes) or ISSUER


def subsets(scope: str) -> list[str]:
    """Every scope that a client registered for `scope` may request; of one request, all belong to one resource."""
    found = []
    for resource in RESOURCES:
        words = [word for word in scope.split() if word in resource.scopes]
        for chosen in range(1, 2 ** len(words)):
            found.append(" ".join(word for place, word in enumerate(words) if chosen >> place & 1))
    return found


def identifier(text: str) -> str:
    return encoded(sha256(text.encode()).digest()[:18])


def jwt(client_id: str, scope: str, **claims: Any) -> Jwt:
    """The token of a client, as this server issues it, except that it is valid until 2100."""
    header = {"typ": "at+jwt", "alg": "RS256", "kid": key().thumbprint()}
    usual = {"iss": ISSUER, "aud": audience_of(scope), "sub": client_id, "client_id": client_id}
    times = {"iat": BEGIN, "exp": END, "jti": identifier(f"{client_id} {scope} {claims}"), "scope": scope}
    return Jwt(header, usual | times | claims)


@cache
def token(client_id: str, scope: str, issuer: str = ISSUER) -> str:
    return jwt(client_id, scope, iss=issuer).signed(key())


def opaque(client_id: str, scope: str) -> str:
    digest = sha256(f"{client_id} {scope}".encode()).digest()
    return "kta_" + encoded(digest[:6]) + encoded(digest)


def living(client_id: str, scope: str, seconds: int) -> str:
    """A token for WireMock's templates: its times are those of the response, so its signature is none.

    Base64 of these characters has neither `+` nor `/`.
    """
    made = jwt(client_id, scope)
    payload = json.dumps(made.claims)
    payload = payload.replace(str(BEGIN), NOW).replace(str(END), LATER.format(seconds))
    header = made.unsigned().partition(".")[0]
    return f"{header}.{{{{#base64 padding=false}}}}{payload}{{{{/base64}}}}.{NOT_SIGNED}"


def by_another_key(made: Jwt) -> str:
    made.header["kid"] = key("never published").thumbprint()
    return made.signed(key("never published"))


def by_hmac(made: Jwt) -> str:
    made.header["alg"] = "HS256"
    public = key().as_pem(private=False)
    return f"{made.unsigned()}.{encoded(hmac.digest(public, made.unsigned().encode(), 'sha256'))}"


def without_signature(made: Jwt) -> str:
    made.header["alg"] = "none"
    return made.unsigned() + "."


def with_another_character(made: Jwt) -> str:
    start, _, signature = made.signed(key()).rpartition(".")
    return f"{start}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def with_claims(**claims: Any) -> Callable[[Jwt], str]:
    def make(made: Jwt) -> str:
        made.claims = {name: value for name, value in (made.claims | claims).items() if value is not None}
        return made.signed(key())

    return make


def with_another_typ(made: Jwt) -> str:
    made.header["typ"] = "JWT"
    return made.signed(key())


# The faults of a token, by their names in app/faults/table.py.
BAD: dict[str, Callable[[Jwt], str]] = {
    "expired": with_claims(iat=BEGIN - 3600, exp=BEGIN),
    "not-yet-valid": with_claims(nbf=END - YEAR),
    "wrong-audience": with_claims(aud=ELSEWHERE.format("api")),
    "wrong-issuer": with_claims(iss=ELSEWHERE.format("issuer")),
    "unknown-kid": by_another_key,
    "wrong-typ": with_another_typ,
    "no-scope": with_claims(scope=None),
    "alg-none": without_signature,
    "hmac": by_hmac,
    "bad-signature": with_another_character,
}
