"""`[issuers.NAME]` of keyturn.toml: other issuers, whose tokens authenticate clients that trust them.

A fault is reported with its line, and an unknown key with the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from app.settings.toml_text import lines, unknown
from config import Issuer

NAME = re.compile(r"(?!kt[a-z]_)[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
# `iss` is compared byte for byte: a slash at its end is allowed, as some platforms have one.
URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/!$&'()*+,;=:@%-]*)?")
QUERY = re.compile(r"\?[A-Za-z0-9._~/?!$&'()*+,;=:@%-]*$")
# A member of the token, or with a slash a member within a member: a JSON Pointer of two parts or more (RFC 6901).
CLAIM = re.compile(r"(?!/)[^=]{1,128}|/([^=/~]|~[01]){1,128}(/([^=/~]|~[01]){1,128}){1,7}")
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
MAX_CHARACTERS = 200
MAX_IDENTITY_CLAIMS = 8
MAX_TOKEN_SECONDS = 86_400
# They are the same in every token of the issuer, or different in each.
UNTRUSTED = frozenset(("iss", "aud", "exp", "nbf", "iat", "jti"))

CLAIM_FORM = "a name, or as in /kubernetes.io/namespace a JSON Pointer to a claim within a claim, without `=`"

Fits = Callable[[Any], bool]


def is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_CHARACTERS and value.isprintable()


def is_url(value: object) -> bool:
    found = URL.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_CHARACTERS else None
    return found is not None and int((found[2] or ":0")[1:]) < 65_536


def is_key_set_url(value: object) -> bool:
    """Whether it is a URL, which may have a query."""
    return isinstance(value, str) and len(value) <= MAX_CHARACTERS and is_url(QUERY.sub("", value))


def is_claim(value: object) -> bool:
    """Whether a trust may expect a value of this claim."""
    if not is_text(value) or not CLAIM.fullmatch(str(value)):
        return False
    return str(value).lstrip("/").partition("/")[0] not in UNTRUSTED


def is_list(value: object, fits: Fits, *, most: int) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        return False
    return all(map(fits, value)) and len(set(value)) == len(value)


# Each key with what its value must be, in words and as a check.
KEYS: Mapping[str, tuple[str, Fits]] = {
    "issuer": (
        f"an http or https URL of at most {MAX_CHARACTERS} characters, as the `iss` of its tokens has it",
        is_url,
    ),
    "audience": ("the text that the `aud` of its tokens must be", is_text),
    "identity_claims": (
        f"a list of 1 to {MAX_IDENTITY_CLAIMS} claims, each {CLAIM_FORM}, and none of {', '.join(sorted(UNTRUSTED))}",
        lambda value: is_list(value, is_claim, most=MAX_IDENTITY_CLAIMS),
    ),
    "algorithms": (
        f"a list of {', '.join(ALGORITHMS)}",
        lambda value: is_list(value, lambda each: each in ALGORITHMS, most=len(ALGORITHMS)),
    ),
    "max_token_seconds": (
        f"a whole number from 1 to {MAX_TOKEN_SECONDS}",
        lambda value: type(value) is int and 1 <= value <= MAX_TOKEN_SECONDS,
    ),
    "jwks_uri": (f"an http or https URL of at most {MAX_CHARACTERS} characters", is_key_set_url),
    "jwks_file": ("the absolute path of a file", lambda value: is_text(value) and PurePath(value).is_absolute()),
    "private_network": ("true or false", lambda value: isinstance(value, bool)),
}
REQUIRED = ("issuer", "audience")


def declared_issuers(document: Mapping[str, Any], text: str) -> tuple[Issuer, ...]:
    """The issuers that a TOML file declares.

    Raises:
        ValueError: With the first thing that is wrong with them.
    """
    tables = document.get("issuers", {})
    if not isinstance(tables, dict):
        raise ValueError("issuers is not a table: write [issuers.NAME]")  # noqa: TRY004, a fault of the file
    numbers = lines(text)
    for name, table in tables.items():
        if wrong := table_fault(name, table):
            key, sentence = wrong
            number = numbers.get(("issuers", name, key)) or numbers.get(("issuers", name))
            raise ValueError((f"line {number}: " if number else "") + sentence)
    issuers = tuple(Issuer(name=name, **in_tuples(table)) for name, table in tables.items())
    refuse_repeated(issuers)
    return issuers


def table_fault(name: str, table: object) -> tuple[str, str] | None:
    """The key of a table at which something is wrong, and a sentence; None if nothing is."""
    if not NAME.fullmatch(name):
        return "", "an issuer's name is 1 to 48 letters, digits, dashes and underscores"
    if not isinstance(table, dict):
        return "", f"issuers.{name} is not a table"
    for key, value in table.items():
        if key not in KEYS:
            return key, unknown(key, KEYS)
        form, fits = KEYS[key]
        if not fits(value):
            return key, f"{key} of {name} must be {form}"
    missing = [key for key in REQUIRED if key not in table]
    if missing:
        return "", f"[issuers.{name}] has no {missing[0]}: {KEYS[missing[0]][0]}"
    if "jwks_uri" in table and "jwks_file" in table:
        return "jwks_file", f"the keys of {name} come from one place: jwks_uri or jwks_file"
    return None


def in_tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def refuse_repeated(issuers: tuple[Issuer, ...]) -> None:
    owners: dict[str, str] = {}
    for each in issuers:
        if each.issuer in owners:
            raise ValueError(f"the issuers {owners[each.issuer]} and {each.name} are one: each is declared once")
        owners[each.issuer] = each.name


def without_https(issuers: tuple[Issuer, ...]) -> str | None:
    """The first address of an issuer that is not https; None if all are."""
    addresses = (address for each in issuers for address in (each.issuer, each.jwks_uri))
    return next((address for address in addresses if address.startswith("http://")), None)
