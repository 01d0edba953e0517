"""A client's key set as an operator gives it: JSON Web Keys (RFC 7517), public ones only.

Nothing of the file is repeated in a message: it may be a private key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from joserfc import jwk
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from app.clients.client_key import MAX_KEYS
from app.clients.registration_rules import RegistrationError

ALGORITHMS = ("RS256", "ES256")
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 4_096
MAX_CHARACTERS = 65_536
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
NEEDED = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
KINDS: dict[str, type[jwk.RSAKey | jwk.ECKey]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey}
KID = re.compile(r"(?!kt[a-z]_|eyJ)[A-Za-z0-9._~:/+=@-]{1,128}")
FORM = 'a JSON Web Key Set, as {"keys": [{"kty": …}]}, or one JSON Web Key (RFC 7517)'
IMPORTED_KEYS = 1_024  # some 2 kB each


class PrivateKeyError(RegistrationError):
    """A key that is not public; the text says which, and nothing of it was stored."""


class NewKey(NamedTuple):
    """A checked public key that is not stored yet."""

    kid: str
    alg: str
    jwk: str


def read(text: str) -> list[NewKey]:
    """The keys of a key set.

    Raises:
        RegistrationError: If one cannot be used; the text says which and why, and repeats nothing of a key.
    """
    try:
        document = json.loads(text[:MAX_CHARACTERS])
    except (ValueError, RecursionError) as error:
        raise RegistrationError(f"the file must be {FORM}; it is not JSON{pem_hint(text)}") from error
    keys = document.get("keys", [document]) if isinstance(document, dict) else document
    if not isinstance(keys, list) or not keys or not all(isinstance(each, dict) for each in keys):
        raise RegistrationError(f"the file must be {FORM}")
    return checked_all(keys, "the file")


def checked_all(keys: Sequence[dict[str, Any]], where: str) -> list[NewKey]:
    """The keys of a list.

    Args:
        keys: The members of each.
        where: What has them, for messages.

    Raises:
        RegistrationError: As `read`.
    """
    if len(keys) > MAX_KEYS:
        raise RegistrationError(f"{where} has {len(keys)} keys: a client has at most {MAX_KEYS}")
    found = []
    for number, each in enumerate(keys, 1):
        try:
            found.append(checked(each, f"key {number} of {where}"))
        except RegistrationError as error:
            error.at = ("keys", str(number))
            raise
    refuse_repeated(found, where)
    return found


def pem_hint(text: str) -> str:
    if "PRIVATE KEY" in text:
        return ". It is a private key: it stays with the client, and nothing of it was stored"
    return ": a PEM file has no kid; write the public key as a JWK" if "BEGIN" in text else ""


def checked(members: dict[str, Any], which: str) -> NewKey:
    """One key, reduced to the members that a check of a signature needs."""
    if PRIVATE & members.keys():
        what = "a secret of an HMAC" if members.get("kty") == "oct" else "a private key"
        raise PrivateKeyError(f"{which} is {what}: give the public part alone. Nothing of it was stored")
    operations = members.get("key_ops", ["verify"])
    if members.get("use", "sig") != "sig" or not (isinstance(operations, list) and "verify" in operations):
        raise RegistrationError(f"{which} is not for signatures: `use` is sig, or `key_ops` has verify")
    kty, alg = str(members.get("kty")), members.get("alg")
    usual = "ES256" if kty == "EC" and members.get("crv") == "P-256" else "RS256" if kty == "RSA" else None
    if usual is None or alg not in (None, usual):
        raise RegistrationError(f"{which} must be an RSA key for RS256, or an EC key on P-256 for ES256")
    if kty == "RSA" and not MIN_RSA_BITS <= (bits := size(members.get("n"))) <= MAX_RSA_BITS:
        raise RegistrationError(f"{which} has {bits} bits: RSA keys have 2048 to 4096")
    try:
        key = in_one_form(KINDS[kty], {name: members.get(name, "") for name in NEEDED[kty]})
    except (JoseError, ValueError, TypeError) as error:
        raise RegistrationError(f"{which} is not a valid {kty} key") from error
    found = key.as_dict(private=False)
    needed = json.dumps({name: found[name] for name in NEEDED[kty]}, separators=(",", ":"))
    return NewKey(checked_kid(members.get("kid", key.thumbprint()), which), usual, needed)


def in_one_form(kind: type[jwk.RSAKey | jwk.ECKey], members: dict[str, Any]) -> jwk.RSAKey | jwk.ECKey:
    """The key of a JWK, with its numbers as RFC 7518, sections 6.2.1 and 6.3.1, writes them.

    Some programs write zero octets before a number, and a key that has ended must not work again in another form.
    """
    return kind.import_key(kind.import_key(members).as_der(private=False))


def size(modulus: object) -> int:
    """How many bits a number in Base64url has; 0 if it is none."""
    try:
        return int.from_bytes(urlsafe_b64decode(str(modulus).encode()), "big").bit_length()
    except ValueError:
        return 0


def checked_kid(kid: object, which: str) -> str:
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        raise RegistrationError(f"the kid of {which} is not 1 to 128 letters, digits and ._~:/+=@-, or looks secret")
    return kid


def refuse_repeated(found: Iterable[NewKey], where: str) -> None:
    kids = [each.kid for each in found]
    if len(set(kids)) < len(kids):
        raise RegistrationError(f"two keys of {where} have one kid: an assertion names its key by it")


@lru_cache(maxsize=IMPORTED_KEYS)
def imported(text: str) -> jwk.Key:
    """The key of a JWK, parsed once per worker: RSA keys are checked for a millisecond."""
    return jwk.import_key(json.loads(text))


def of_public(key: jwk.Key) -> NewKey:
    """A key that was generated just now, under its thumbprint."""
    return checked(dict(key.as_dict(private=False)), "the generated key")
