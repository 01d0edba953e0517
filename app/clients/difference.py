"""The difference between the clients that files declare and the register; `applying.py` removes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import config
from app.clients import declared_credentials, registry
from app.clients.client import KEY_METHOD, TRUST_METHOD
from app.clients.client_row import ClientRow
from app.clients.declaration import DeclarationError, Declared
from app.clients.registered_values import VALUES
from app.clients.registration_update import Change
from app.settings import current_settings


class Kind(StrEnum):
    """What is done to a client."""

    CREATE = "+"
    UPDATE = "~"
    REMOVE = "-"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one client; `changes` are by the words of a file."""

    kind: Kind
    name: str
    client_id: str | None  # None if it is made when the step is taken
    changes: tuple[Change, ...] = ()
    row: ClientRow | None = field(default=None, compare=False, repr=False)
    declared: Declared | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """What must be done, and what is left alone.

    Attributes:
        steps: What must be done, in order.
        unchanged: How many clients are as declared.
        undeclared: The names of clients that no file declares and that are not removed.
        disabled: The names of clients that are disabled, of which no file says whether they are.
        without_key: The names of declared clients that authenticate by a key only, and have none that works.
        without_trust: Likewise by a trust only.
        ended: What files declare and an operator has ended for good, with its client: it stays ended.
        unfetched: The names of clients whose keys will be at another address, which nobody has fetched yet.
    """

    steps: tuple[Step, ...]
    unchanged: int
    undeclared: tuple[str, ...]
    disabled: tuple[str, ...]
    without_key: tuple[str, ...]
    without_trust: tuple[str, ...]
    ended: tuple[str, ...]
    unfetched: tuple[str, ...]

    def of(self, kind: Kind) -> list[Step]:
        return [step for step in self.steps if step.kind is kind]


def find(declared: Sequence[Declared], *, prune: bool) -> Difference:
    """The difference as it is now.

    Args:
        declared: The clients that files declare.
        prune: Whether clients that no file declares are removed; never the demo clients of development.

    Raises:
        DeclarationError: If a name cannot be given or found, or a key or a trust cannot be had; the text has a
            line for each fault.
    """
    rows = {row.name: row for row in registry.list_clients()}
    ids = {row.client_id: row.name for row in rows.values()}
    found = {each.name: rows.get(each.name) or rows.get(each.renamed_from or "") for each in declared}
    pairs = [(each, found[each.name]) for each in declared]
    faults = [wrong for each in declared if (wrong := name_fault(each, rows, ids))]
    faults += declared_credentials.faults(pairs, prune=prune)
    if faults:
        raise DeclarationError("\n".join(faults))
    steps = [step for each, row in pairs if (step := step_for(each, row))]
    present = {row.name for row in found.values() if row is not None}
    others = [row for name, row in rows.items() if name not in present and not is_demo(row)]
    if prune:
        steps += [Step(Kind.REMOVE, row.name, row.client_id, row=row) for row in others]
    return Difference(
        steps=tuple(steps),
        unchanged=len(declared) - sum(step.kind is not Kind.REMOVE for step in steps),
        undeclared=() if prune else tuple(row.name for row in others),
        disabled=tuple(each.name for each, row in pairs if each.disabled is None and is_disabled(row)),
        without_key=tuple(each.name for each, row in pairs if declared_credentials.lacks(KEY_METHOD, each, row)),
        without_trust=tuple(each.name for each, row in pairs if declared_credentials.lacks(TRUST_METHOD, each, row)),
        ended=tuple(name for each, row in pairs for name in declared_credentials.ended(each, row)),
        unfetched=tuple(
            step.name for step in steps if any(each.what == "jwks_uri" and each.new for each in step.changes)
        ),
    )


def name_fault(each: Declared, rows: Mapping[str, ClientRow], ids: Mapping[str, str]) -> str | None:
    if each.renamed_from in rows and each.name in rows:
        return f"{each.place}: {each.name} and {each.renamed_from} both exist, so neither can be renamed to the other"
    owner = ids.get(each.name)
    if owner not in (None, each.name, each.renamed_from):
        return f"{each.place}: {each.name} is the id of the client {owner}, and cannot be the name of another"
    return None


def is_demo(row: ClientRow) -> bool:
    """Whether it is a demo client of a development server: `flask prepare` would register it again."""
    ids = {demo.client_id for demo in config.DEMO_CLIENTS}
    return not current_settings().is_production and row.client_id in ids


def is_disabled(row: ClientRow | None) -> bool:
    return row is not None and row.disabled_at is not None


def step_for(each: Declared, row: ClientRow | None) -> Step | None:
    """What is done to a declared client; None if it is as declared."""
    if row is None:
        changes = [Change(word, None, value) for word, value in each.values.items() if value not in (None, "", {}, ())]
        changes += [Change("disabled", None, True)] if each.disabled else []
        return Step(Kind.CREATE, each.name, None, tuple(changes), declared=each)
    changes = [] if row.name == each.name else [Change("name", row.name, each.name)]
    for word in each.values:
        old, new = VALUES[word].of(row), declared_credentials.next_value(word, each, row)
        if old != new:
            changes.append(Change(word, old, new))
    if each.disabled is not None and each.disabled != is_disabled(row):
        changes.append(Change("disabled", not each.disabled, each.disabled))
    return Step(Kind.UPDATE, each.name, row.client_id, tuple(changes), row, each) if changes else None
