"""Which key must have signed an assertion, and whether it did; the keys are stored here, or where the client says.

There is one check of a signature for every assertion, also for an unknown client: then with a key that nobody has,
so that the time does not tell whether the client exists (R024). What differs: an RSA key of more than 2,048 bits
takes longer, and the first assertion after a worker's start parses the key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from difflib import get_close_matches

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64encode

from app.authentication.assertion import REGISTRY, Assertion, refuse
from app.authentication.client_secret import UNKNOWN
from app.clients.client import Client
from app.clients.client_key import KnownKey
from app.clients.credential import has_ended
from app.clients.key_set import imported
from app.clock import duration, now
from app.logs import shown_name
from app.refusals import hints
from app.refusals.errors import RefusedError
from app.remote_keys import key_sets
from app.remote_keys.key_source import KeySetError, KeySource

PUBLISHED = 0  # the row of a key that is not stored here
MAX_KIDS = 3  # in a sentence
MAX_COMPARED = 8  # with a kid that nobody has, as many as a client has stored keys


def number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


# Nobody has a private key for this number; the point is the curve's base point, and what it verifies is refused.
MODULUS = 1 << 2_047 | int.from_bytes(hashlib.shake_256(b"nobody's key").digest(250), "big") | 1
BASE_X = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
BASE_Y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
NOBODYS = {
    "RS256": json.dumps({"kty": "RSA", "n": number(MODULUS), "e": "AQAB"}),
    "ES256": json.dumps({"kty": "EC", "crv": "P-256", "x": number(BASE_X), "y": number(BASE_Y)}),
}


def find_key(client: Client | None, sent: Assertion) -> KnownKey:
    """The key that must have signed an assertion.

    Raises:
        RefusedError: `invalid_client`, if there is none.
    """
    if client is None:
        raise RefusedError("invalid_client", reason=UNKNOWN + hints.odd_id(sent.client_id))
    keys = fetched(client.jwks_uri, sent) if client.jwks_uri else client.keys
    if not keys:
        refuse("no_key")
    key = named(keys, sent.kid, sent.alg) if sent.kid is not None else only_one(keys, sent.alg)
    if key.alg != sent.alg:
        refuse("key_algorithm", alg=sent.alg, kid=key.kid, wanted=key.alg)
    return key


def fetched(jwks_uri: str, sent: Assertion) -> list[KnownKey]:
    """The keys that a client publishes, as if they were stored here; one without `alg` is for what was sent.

    Raises:
        RefusedError: If they cannot be had; that counts towards no limit.
    """
    try:
        found = key_sets.find(KeySource(jwks_uri), sent.kid)
    except KeySetError as error:
        refuse(error.cause, **error.words)
    return [
        KnownKey(PUBLISHED, each.kid, sent.alg if each.fits(sent.alg) else each.algorithms[0], each.jwk, None, None)
        for each in found
    ]


def named(keys: Sequence[KnownKey], kid: str, alg: str) -> KnownKey:
    """The key with a `kid`; of those that a client publishes, several may have one (RFC 7517, section 4.5)."""
    found = [each for each in keys if each.kid == kid]
    if not found:
        kids = [each.kid for each in keys]
        near = get_close_matches(kid[:128], kids[:MAX_COMPARED], n=1)
        known = f"did you mean {near[0]}?" if near else f"it has {listed(kids)}"
        refuse("kid_unknown", kid=shown_name(kid), known=known)
    return next((each for each in found if each.alg == alg), found[0])


def only_one(keys: Sequence[KnownKey], alg: str) -> KnownKey:
    alive = [each for each in keys if not has_ended(each)] or keys[:1]
    fitting = [each for each in alive if each.alg == alg] or alive
    if len(fitting) > 1:
        refuse("kid_missing", count=len(fitting), known=listed([each.kid for each in fitting]))
    return fitting[0]


def listed(kids: Sequence[str]) -> str:
    more = f" and {len(kids) - MAX_KIDS} more" if len(kids) > MAX_KIDS else ""
    return ", ".join(kids[:MAX_KIDS]) + more


def check_signature(client: Client | None, sent: Assertion) -> KnownKey:
    """The key that signed an assertion.

    Raises:
        RefusedError: `invalid_client`, if no key of the client did, or it has ended.
    """
    try:
        key = find_key(client, sent)
    except RefusedError:
        is_signed(sent.signed, NOBODYS[sent.alg], REGISTRY)
        raise
    if not is_signed(sent.signed, key.jwk, REGISTRY):
        refuse("wrong_key", kid=key.kid)
    if has_ended(key):
        # An end that an operator ordered may be in the future on this machine's clock.
        refuse("key_ended", kid=key.kid, ago=duration(max(0, now() - (key.not_after or now()))))
    return key


def is_signed(signed: jws.CompactSignature, jwk: str, registry: jws.JWSRegistry) -> bool:
    try:
        return jws.validate_compact(signed, imported(jwk), registry=registry)
    except (JoseError, ValueError):
        return False
