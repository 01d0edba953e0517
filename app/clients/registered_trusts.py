"""The trusts of a client as a value of its registration, which a file of `flask apply` or an import may have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.clients import client_trust_changes, credential, trust_rules
from app.clients.client_row import ClientRow
from app.clients.client_trust import MAX_TRUSTS, ClientTrust
from app.clients.registered_value import Form, Given, Rows, Value
from app.clients.registration_rules import RegistrationError
from app.clients.trust_rules import NewTrust
from app.settings import current_settings

TRUSTS_FORM = Form(
    "a list of tables, each with issuer, a word in quotes, and claims, a table of texts, and nothing else",
    lambda v: isinstance(v, list) and all(is_trust(each) for each in v),
)

Trusts = tuple[NewTrust, ...]


def is_trust(table: object) -> bool:
    if not isinstance(table, dict) or table.keys() != {"issuer", "claims"}:
        return False
    claims = table["claims"]
    are_values = isinstance(claims, dict) and all(isinstance(each, str | int) for each in claims.values())
    return isinstance(table["issuer"], str) and are_values


def checked_trusts(given: Given) -> Trusts:
    tables = given["trusts"]
    if len(tables) > MAX_TRUSTS:
        raise RegistrationError(f"a client has at most {MAX_TRUSTS} trusts, and here are {len(tables)}")
    found = [checked_trust(number, each) for number, each in enumerate(tables, 1)]
    if len({key(each) for each in found}) < len(found):
        raise RegistrationError("two of its trusts expect the same")
    return ordered(found)


def checked_trust(number: int, table: Mapping[str, Any]) -> NewTrust:
    claims = {name: as_text(value) for name, value in table["claims"].items()}
    try:
        return trust_rules.checked_trust(table["issuer"], claims)
    except RegistrationError as error:
        raise RegistrationError(f"trust {number}: {error}") from error


def as_text(value: str | int) -> str:
    """A number or a boolean as a token has it."""
    return value if isinstance(value, str) else json.dumps(value)


def key(trust: NewTrust | ClientTrust) -> str:
    """What a trust is, in any order of its claims."""
    return json.dumps([trust.issuer, trust.claims], sort_keys=True)


def ordered(trusts: Iterable[NewTrust]) -> Trusts:
    return tuple(sorted(trusts, key=key))


def trusts_of(client: ClientRow) -> Trusts:
    names = {each.issuer: each.name for each in current_settings().issuers}
    return ordered(
        NewTrust(names.get(each.issuer, each.issuer), each.issuer, each.claims, each.identity)
        for each in credential.usable(client.trusts)
    )


def put_trusts(client: ClientRow, trusts: Trusts) -> None:
    for each in trusts:
        client_trust_changes.append(client, each)


def columns(trusts: Trusts) -> list[Mapping[str, Any]]:
    client = ClientRow(trusts=[])
    put_trusts(client, trusts)
    return [{name: getattr(each, name) for name in ("name", "issuer", "identity", "claims")} for each in client.trusts]


def ended(client: ClientRow, trusts: Trusts) -> list[str]:
    """The trusts that the client had, and that have ended, in words."""
    works = {key(each) for each in credential.usable(client.trusts)}
    had = {key(each) for each in client.trusts}
    return [in_words(each) for each in trusts if key(each) in had - works]


def without_ended(client: ClientRow, trusts: Trusts) -> Trusts:
    gone = ended(client, trusts)
    left = tuple(each for each in trusts if in_words(each) not in gone)
    return left if left or not trusts else trusts_of(client)  # as with keys


def in_words(trust: NewTrust) -> str:
    return " ".join([trust.issuer_name, *(f"{name}={value}" for name, value in trust.claims.items())])


TRUSTS = Value(
    column="trusts",
    form=TRUSTS_FORM,
    checked=checked_trusts,
    of=trusts_of,
    put=put_trusts,
    has_default=False,
    shown=lambda trusts: [in_words(each) for each in trusts],
    rows=Rows(
        model=ClientTrust,
        columns=columns,
        ended=ended,
        without=without_ended,
        change=client_trust_changes.replace,
    ),
)
