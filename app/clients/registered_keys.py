"""The keys of a client as a value of its registration, which a file of `flask apply` or an import may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.clients import client_key_changes, credential, key_set
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.key_set import NewKey
from app.clients.registered_value import Form, Given, Rows, Value
from app.clients.registration_rules import RegistrationError

KEY_SET = Form(
    'a JSON Web Key Set: "keys" with a table for each key (RFC 7517), and nothing else',
    lambda v: isinstance(v, dict) and v.keys() == {"keys"} and is_list_of_tables(v["keys"]),
)
IN_GIT = ". Anyone who can read the file has it: create another key"

Keys = tuple[NewKey, ...]


def is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def checked_keys(given: Given) -> Keys:
    try:
        return ordered(key_set.checked_all(given["jwks"]["keys"], "jwks"))
    except key_set.PrivateKeyError as error:
        in_git = RegistrationError(f"{error}{IN_GIT}")
        in_git.at = error.at
        raise in_git from error


def ordered(keys: Sequence[NewKey]) -> Keys:
    return tuple(sorted(keys))


def keys_of(client: ClientRow) -> Keys:
    return ordered([as_new(each) for each in credential.usable(client.keys)])


def as_new(key: ClientKey) -> NewKey:
    return NewKey(key.kid, key.alg, key.jwk)


def put_keys(client: ClientRow, keys: Keys) -> None:
    client.keys = [ClientKey(**each) for each in key_columns(keys)]


def key_columns(keys: Keys) -> list[Mapping[str, Any]]:
    return [each._asdict() for each in keys]


def ended_keys(client: ClientRow, keys: Keys) -> list[str]:
    """The kids of keys that the client had, and that have ended, whatever their kid was."""
    ended = client_key_changes.ended_for_good(client)
    return [each.kid for each in keys if each.jwk in ended]


def without_ended(client: ClientRow, keys: Keys) -> Keys:
    ended = ended_keys(client, keys)
    left = tuple(each for each in keys if each.kid not in ended)
    # A file that is older than an emergency does not end the key which replaced the leaked one.
    return left if left or not keys else keys_of(client)


def key_fault(client: ClientRow, keys: Keys) -> str | None:
    """A `kid` that is another key's already: assertions name their key by it."""
    known = {each.kid: each.jwk for each in client.keys}
    taken = next((each.kid for each in keys if known.get(each.kid, each.jwk) != each.jwk), None)
    return client_key_changes.OTHER_KEY.format(client=client.name, kid=taken) if taken else None


def kids(keys: Keys) -> list[str]:
    return [each.kid for each in keys]


JWKS = Value(
    column="jwks",
    form=KEY_SET,
    checked=checked_keys,
    of=keys_of,
    put=put_keys,
    has_default=False,
    shown=kids,
    rows=Rows(
        model=ClientKey,
        columns=key_columns,
        ended=ended_keys,
        without=without_ended,
        fault=key_fault,
        change=client_key_changes.replace,
    ),
)
