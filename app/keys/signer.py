"""Signing of JWTs with a key that is parsed once, under a header that is encoded once.

joserfc would check the key, look up its algorithm and encode the same header for every token: twice the
work of an ES256 signature.
"""

from __future__ import annotations

from typing import Any

from joserfc import jwk
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64encode, urlsafe_b64encode


class Signer:
    def __init__(self, alg: str, kid: str, key: jwk.Key) -> None:
        self.alg = alg
        self.kid = kid
        self.key = key
        self._algorithm = JWSRegistry.algorithms[alg]
        # The kid too: given a bare key, joserfc writes none.
        self._header = json_b64encode({"alg": alg, "typ": "at+jwt", "kid": kid})

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a JWT in compact form (RFC 7515, section 7.1), of the type of RFC 9068, section 2.1."""
        signed = self._header + b"." + json_b64encode(claims)
        return (signed + b"." + urlsafe_b64encode(self._algorithm.sign(signed, self.key))).decode()
