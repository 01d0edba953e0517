"""The public keys of a key set from elsewhere (RFC 7517, section 5).

A key that cannot be used is left out, as others may be of another kind; a set without any is refused. Nothing of a
key that is private is stored: whoever publishes one has lost it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from joserfc.errors import JoseError

from app.clients.key_set import KID, MAX_RSA_BITS, MIN_RSA_BITS, PRIVATE, imported, size
from app.remote_keys.key_source import KeySetError

MAX_KEYS = 100
NEEDED = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
OF_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("Ed25519", "EdDSA")}


class PublicKey(NamedTuple):
    """A public key: its `kid`, or else its thumbprint (RFC 7638); its `alg`, if it has one; its JWK as text."""

    kid: str
    alg: str | None
    jwk: str
    algorithms: tuple[str, ...]

    def fits(self, alg: str) -> bool:
        """Whether a signature of this algorithm may be checked with it."""
        return alg in self.algorithms


def read(text: str | bytes, source: str) -> tuple[PublicKey, ...]:
    """The keys of a key set that can be used.

    Args:
        text: The key set.
        source: Where it is from, for the sentence of an error.

    Raises:
        KeySetError: If it is no key set, has more than MAX_KEYS keys, or none that can be used.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeySetError("not_a_key_set", source=source, why="it is not JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise KeySetError("not_a_key_set", source=source, why="it has no list `keys`")
    if len(keys) > MAX_KEYS:
        raise KeySetError("too_large", source=source, most=f"{MAX_KEYS} keys")
    found = tuple(key for each in keys if (key := usable(each)))
    if not found:
        raise KeySetError("no_usable_key", source=source, count=len(keys))
    return found


def written(keys: tuple[PublicKey, ...]) -> str:
    """The keys as a key set, with the members that they need and no other."""
    named = (json.loads(each.jwk) | {"kid": each.kid} | ({"alg": each.alg} if each.alg else {}) for each in keys)
    return json.dumps({"keys": list(named)}, separators=(",", ":"))


def usable(members: object) -> PublicKey | None:
    """A key of a set, reduced to what a check of a signature needs; None if it is not for one, or not supported."""
    if not isinstance(members, dict) or PRIVATE & members.keys() or not is_for_signatures(members):
        return None
    algorithms = algorithms_of(members)
    alg = members.get("alg")
    if not algorithms or alg not in (None, *algorithms):
        return None
    jwk = json.dumps({name: members.get(name) for name in NEEDED[members["kty"]]}, separators=(",", ":"))
    try:
        kid = members.get("kid", imported(jwk).thumbprint())
    except (JoseError, ValueError, TypeError):
        return None
    is_named = isinstance(kid, str) and KID.fullmatch(kid)
    return PublicKey(kid, alg, jwk, (alg,) if alg else algorithms) if is_named else None


def is_for_signatures(members: Mapping[str, Any]) -> bool:
    """RFC 7517, sections 4.2 and 4.3."""
    operations = members.get("key_ops", ["verify"])
    return members.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def algorithms_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """The algorithms that a key is good for, by its kind alone; none if it is not supported."""
    kty, curve = members.get("kty"), members.get("crv")
    if kty == "RSA":
        return OF_RSA if MIN_RSA_BITS <= size(members.get("n")) <= MAX_RSA_BITS else ()
    is_of_kind = isinstance(curve, str) and kty == ("OKP" if curve == "Ed25519" else "EC")
    return OF_CURVE.get(str(curve), ()) if is_of_kind else ()
