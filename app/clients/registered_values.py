"""What a registration says, as one table: each value with its word, its rule, and how a client has it.

`flask clients create`, `flask apply` and `flask clients import` use the same words and rules. A new value, of a
column or of rows of its own, is one more row of the table. Keys and trusts have no default: a file that leaves them
out leaves them as they are, so that what a command added stays; an empty list ends all. What an operator has ended for
good stays so, whatever a file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from app.clients import registration_rules as rules
from app.clients.client import KEY_METHOD, SECRET_METHODS, TRUST_METHOD
from app.clients.client_row import ClientRow
from app.clients.key_set_address import checked_jwks_uri, put_jwks_uri
from app.clients.registered_keys import JWKS
from app.clients.registered_trusts import TRUSTS
from app.clients.registered_value import CHOICE, SECONDS, TEXTS, WORD, WORDS, Given, in_column
from app.clients.registration_rules import RegistrationError

GRANT = "client_credentials"
Faults = dict[tuple[str, ...], str]
OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")


def joined(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "")


def grant_types(given: Given) -> str:
    """An API that requests no scope has no grant, unless one is given."""
    has_grant = given.get("grant")
    if has_grant is None:
        has_grant = bool(given.get("scope")) or given.get("resource_server") in (None, "none")
    return GRANT if has_grant else ""


def scope(given: Given) -> str:
    text = joined(given.get("scope"))
    return rules.checked_scope(text) if text or grant_types(given) else ""


def default_scope(given: Given) -> str:
    try:
        whole = scope(given)
    except RegistrationError:
        return ""  # it is reported once, as the scope's
    default = given.get("default_scope")
    return rules.checked_default(None if default is None else joined(default), whole) if whole or default else ""


def auth_method(given: Given) -> str | None:
    """A client that is given keys or trusts alone has the method for them, unless another one is given."""
    method, words = rules.checked_method(given.get("auth_method")), [word for word in NEEDS if is_given(word, given)]
    methods = {NEEDS[word] for word in words}
    if given.get("auth_method") is None:
        return methods.pop() if len(methods) == 1 else None
    for word in words:
        if method not in (None, NEEDS[word]):
            raise RegistrationError(f"--auth-method {method} leaves the {word} without a use: it needs {NEEDS[word]}")
    return method


def is_given(word: str, given: Given) -> bool:
    """Whether a client is given keys or trusts, and not an empty list of them."""
    value = given.get(word)
    return value != "none" and bool(value["keys"] if isinstance(value, dict) else value)


def jwks_uri(given: Given) -> str | None:
    if is_given("jwks", given) and is_given("jwks_uri", given):
        raise RegistrationError("the keys of a client are at its jwks_uri, or they are its jwks: not both (RFC 7591)")
    return checked_jwks_uri(given["jwks_uri"])


def with_the_other(given: Given) -> Given:
    """Keys here end the use of those that are elsewhere, and the other way round, if only one of them is given."""
    if is_given("jwks", given) and "jwks_uri" not in given:
        return {**given, "jwks_uri": "none"}
    if is_given("jwks_uri", given) and "jwks" not in given:
        return {**given, "jwks": {"keys": []}}
    return given


# The values by which a client authenticates, each with its method.
NEEDS = {"jwks": KEY_METHOD, "jwks_uri": KEY_METHOD, "trusts": TRUST_METHOD}
VALUES = {
    "scope": in_column("scope", WORDS, scope),
    "default_scope": in_column("default_scope", WORDS, default_scope),
    "lifetime": in_column("access_token_seconds", SECONDS, lambda given: rules.checked_lifetime(given.get("lifetime"))),
    "auth_method": in_column("token_endpoint_auth_method", WORD, auth_method),
    "grant": in_column("grant_types", CHOICE, grant_types),
    "format": in_column("token_format", WORD, lambda given: rules.checked_format(given.get("format", "jwt"))),
    "resource_server": in_column(
        "resource_server", WORD, lambda given: rules.checked_resource_server(given.get("resource_server"))
    ),
    "claims": in_column("claims", TEXTS, lambda given: rules.checked_claims(given.get("claims", {}))),
    "jwks": JWKS,
    "jwks_uri": replace(in_column("jwks_uri", WORD, jwks_uri), has_default=False, put=put_jwks_uri),
    "trusts": TRUSTS,
}


def checked(given: Given) -> tuple[dict[str, Any], Faults]:
    """The values to store, and what is wrong with the others, each by its word and the part of the value.

    Args:
        given: The values by their words, in their forms; those that are left out have their defaults, and those that
            have none are left out.
    """
    given = with_the_other(given)
    values: dict[str, Any] = {}
    faults: Faults = {}
    for word, each in VALUES.items():
        if word not in given and not each.has_default:
            continue
        try:
            values[word] = each.checked(given)
        except RegistrationError as error:
            faults[word, *error.at] = str(error)
    return values, faults


def checked_of_a_file(given: Given, fault_of: Callable[[str, object], str | None]) -> tuple[dict[str, Any], Faults]:
    """The values to store, and what is wrong in a table of a file, each by its key and the part of the value.

    Args:
        given: The table, which may have other keys as well.
        fault_of: What is wrong with a key, or with the form of its value; None if nothing is.
    """
    wrong = {key: sentence for key, value in given.items() if (sentence := fault_of(key, value))}
    values, faults = checked({key: value for key, value in given.items() if key not in wrong})
    if wrong:  # then a value that seems to be left out may be misspelt
        faults = {at: sentence for at, sentence in faults.items() if at[0] in given}
    faults |= {(key,): sentence for key, sentence in wrong.items()}
    return values, {at: in_a_file(sentence) for at, sentence in faults.items()}


def may_use_secret(values: Given) -> bool:
    return values.get("auth_method") in (None, *SECRET_METHODS)


def gets_secret(values: Given) -> bool:
    """Whether a new client of these values gets a secret: it may use one, and is given nothing else."""
    return may_use_secret(values) and not any(values.get(word) for word in NEEDS)


def in_a_file(sentence: str) -> str:
    """A sentence of the rules, with the words of a file in place of the options of a command."""
    return OPTION.sub(lambda found: found[1].replace("-", "_"), sentence)


def form_fault(word: str, value: object) -> str | None:
    """What is wrong with the form of a value in a file; None if it has its form."""
    form = VALUES[word].form
    return None if form.fits(value) else f"{word} must be {form.words}"


def new_client(client_id: str, name: str, values: Mapping[str, Any]) -> ClientRow:
    """A row that is not stored yet, of checked values."""
    client = ClientRow(client_id=client_id, name=name)
    for word, value in values.items():
        VALUES[word].put(client, value)
    return client
