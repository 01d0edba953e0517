"""The rules of trusts: which claims one expects, and whether a token has them.

A value is compared as text, a number and a boolean as JSON writes them. A `*` is one whole segment between `:` or
`/`, so that it never crosses either. A list and an object match nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from app.clients.client_trust import MAX_CLAIMS
from app.clients.registration_rules import RegistrationError
from app.logs import one_line
from app.settings import current_settings
from app.settings.issuer_tables import CLAIM_FORM, UNTRUSTED, is_claim
from config import Issuer

MAX_VALUE_CHARACTERS = 512
SEPARATOR = re.compile(r"([:/])")
LABEL = re.compile(r"^(system:serviceaccount|[^:/]*):")
Claims = Mapping[str, str]


class NewTrust(NamedTuple):
    """A checked trust that is not stored yet; `issuer_name` is the name of its issuer in keyturn.toml."""

    issuer_name: str
    issuer: str
    claims: dict[str, str]
    identity: str


def checked_trust(issuer_name: str, claims: Claims) -> NewTrust:
    """A trust in an issuer of keyturn.toml.

    Raises:
        RegistrationError: If the issuer is not declared, or a claim cannot be expected; the text says which.
    """
    issuer = get_issuer(issuer_name)
    if len(claims) > MAX_CLAIMS:
        raise RegistrationError(f"a trust has at most {MAX_CLAIMS} claims")
    for name, value in claims.items():
        refuse_claim(name)
        refuse_value(name, value)
    refuse_anyone(issuer, claims)
    return NewTrust(issuer.name, issuer.issuer, dict(claims), identity_of(issuer, claims))


def get_issuer(name: str) -> Issuer:
    """The issuer that keyturn.toml declares under this name.

    Raises:
        RegistrationError: If there is none; the text names one that is spelt nearly like it, or all of them.
    """
    declared = {each.name: each for each in current_settings().issuers}
    if name in declared:
        return declared[name]
    near = [each.name for each in declared.values() if each.issuer == name]
    near = near or get_close_matches(name[:64], list(declared), n=1)
    names = ", ".join(declared) or "no issuer"
    hint = f"did you mean {near[0]}?" if near else f"it declares {names}"
    raise RegistrationError(f"keyturn.toml declares no issuer named {one_line(name)[:64]}; {hint}")


def refuse_claim(name: str) -> None:
    if name in UNTRUSTED:
        raise RegistrationError(f"{name} identifies nobody: no trust can expect it ({', '.join(sorted(UNTRUSTED))})")
    if not is_claim(name):
        raise RegistrationError(f"the name of a claim is {CLAIM_FORM}")


def refuse_value(name: str, value: str) -> None:
    if not 1 <= len(value) <= MAX_VALUE_CHARACTERS or not value.isprintable():
        raise RegistrationError(f"the value of {name} is 1 to {MAX_VALUE_CHARACTERS} printable characters")
    if any("*" in segment and segment != "*" for segment in SEPARATOR.split(value)):
        raise RegistrationError(f"a * in the value of {name} must be a whole segment between : or /")


def refuse_anyone(issuer: Issuer, claims: Claims) -> None:
    """Refuse a trust that every token of its issuer could match: one claim must name an identity."""
    expected = [claims[name] for name in issuer.identity_claims if name in claims]
    names = " or ".join(issuer.identity_claims)
    if not expected:
        raise RegistrationError(f"a trust in {issuer.name} must expect a value of {names}: anyone may have its tokens")
    if not any(map(names_somebody, expected)):
        what = f"must expect more than * of {names}, and name somebody before the first *"
        raise RegistrationError(f"a trust in {issuer.name} {what}: this is anyone")


def names_somebody(value: str) -> bool:
    """Whether a value has more before its first `*` than a label: `repo:`, `spiffe:`, `system:serviceaccount:`."""
    before, star, _ = value.partition("*")
    return not star or bool(LABEL.sub("", before).strip(":/"))


def identity_of(issuer: Issuer, claims: Claims) -> str:
    """Its first exact identity claim as `name=value`, by which a trust is found; empty if each has a `*`."""
    exact = (f"{name}={claims[name]}" for name in issuer.identity_claims if name in claims and "*" not in claims[name])
    return next(exact, "")


def identities(issuer: Issuer, token: Mapping[str, Any]) -> list[str]:
    """What the `identity` of a trust may be that a token matches, without the empty one."""
    found = ((name, value_of(token, name)) for name in issuer.identity_claims)
    # The database raises for half a surrogate pair and for NUL, which are not printable, as no expected value is.
    return [f"{name}={value}" for name, value in found if value is not None and value.isprintable()]


def value_of(token: Mapping[str, Any], name: str) -> str | None:
    """The value of a claim as text; None if the token has none, or if it is a list or an object."""
    found = member(token, name)
    if isinstance(found, bool | int | float):
        return json.dumps(found)
    return found if isinstance(found, str) else None


def member(token: Mapping[str, Any], name: str) -> Any:
    """What a claim is; None if the token lacks it."""
    if not name.startswith("/"):
        return token.get(name)
    found: Any = token
    for part in name[1:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


@lru_cache(maxsize=1_024)
def pattern(expected: str) -> re.Pattern[str]:
    parts = ("[^:/]+" if part == "*" else re.escape(part) for part in SEPARATOR.split(expected))
    return re.compile("".join(parts), re.DOTALL)


def is_value(expected: str, value: str | None) -> bool:
    if value is None or "*" not in expected:
        return value == expected
    return pattern(expected).fullmatch(value) is not None


def mismatches(expected: Claims, token: Mapping[str, Any]) -> list[str]:
    """The claims of a trust that a token does not have, or has with another value."""
    return [name for name, value in expected.items() if not is_value(value, value_of(token, name))]


def overlap(issuer: Issuer, one: Claims, other: Claims) -> bool:
    """Whether it is known that one token may match two trusts in an issuer: they name one identity claim at least."""
    both = one.keys() & other.keys()
    return bool(both & set(issuer.identity_claims)) and all(can_be_equal(one[name], other[name]) for name in both)


def can_be_equal(one: str, other: str) -> bool:
    """Whether one value can be as both of these expect it."""
    if "*" not in one and "*" not in other:
        return one == other
    ours, theirs = SEPARATOR.split(one), SEPARATOR.split(other)
    # `*` is no separator and no empty segment.
    return len(ours) == len(theirs) and all(
        a == b or ("*" in (a, b) and not {a, b} & {"", ":", "/"}) for a, b in zip(ours, theirs, strict=True)
    )
