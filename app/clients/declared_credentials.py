"""What the keys and trusts that files declare mean for the clients that the register has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.clients import registered_keys, trust_overlaps
from app.clients.client_row import ClientRow
from app.clients.declaration import Declared
from app.clients.registered_values import NEEDS, VALUES
from app.clients.trust_overlaps import Held

Found = Sequence[tuple[Declared, ClientRow | None]]  # each declared client, and its row if it has one


def next_value(word: str, each: Declared, row: ClientRow | None) -> Any:
    """The value that a client will have: as declared, but without what was ended for good."""
    value = VALUES[word]
    if word not in each.values or (word == "jwks_uri" and has_moved_since(row, each)):
        return row and value.of(row)
    return value.rows.without(row, each.values[word]) if row is not None and value.rows else each.values[word]


def has_moved_since(row: ClientRow | None, each: Declared) -> bool:
    """Whether all keys that a file declares have ended, and the client's are at an address: the file is older."""
    keys = each.values.get("jwks", ())
    if row is None or not row.jwks_uri or not keys:
        return False
    return len(registered_keys.ended_keys(row, keys)) == len(keys)


def lacks(method: str, each: Declared, row: ClientRow | None) -> bool:
    """Whether a client that authenticates by keys only, or by trusts only, will have none."""
    words = [word for word, needed in NEEDS.items() if needed == method]
    return each.values["auth_method"] == method and not any(next_value(word, each, row) for word in words)


def ended(each: Declared, row: ClientRow | None) -> Iterator[str]:
    """What a file declares and an operator has ended for good, with its client."""
    for word, value in each.values.items():
        rows = VALUES[word].rows
        if row is not None and rows:
            yield from (f"{each.name} {name}" for name in rows.ended(row, value))


def faults(found: Found, *, prune: bool) -> Iterator[str]:
    """What is wrong with declared keys and trusts for the clients that are to have them."""
    for each, row in found:
        for word, value in each.values.items():
            rows = VALUES[word].rows
            if row is not None and rows and (wrong := rows.fault(row, value)):
                yield f"{each.place}: {wrong}"
    yield from overlaps(found, prune=prune)


def overlaps(found: Found, *, prune: bool) -> Iterator[str]:
    """The declared trusts that overlap with others in the register as it will be."""
    given = [(each, row) for each, row in found if "trusts" in each.values]
    replaced = {row.name for _, row in given if row is not None}
    declared = {row.name for _, row in found if row is not None}
    new = [
        Held(each.name, trust.issuer, trust.claims, each.place)
        for each, row in given
        for trust in next_value("trusts", each, row)
    ]
    if new:
        rest = [each for each in trust_overlaps.in_register() if each.client not in replaced]
        others = [each for each in rest if not prune or each.client in declared]
        for one, _, sentence in trust_overlaps.find(new, [*others, *new]):
            yield f"{one.place}: {sentence}"
