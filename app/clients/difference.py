"""The difference between the clients that files declare and the register, and the steps that remove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import select

import config
from app.audit import trail
from app.audit.event import Event
from app.clients import registration, registry
from app.clients.client_row import ClientRow
from app.clients.declaration import DeclarationError, Declared
from app.clients.registered_values import VALUES, new_client
from app.clients.registration_update import Change
from app.clients.secret import ClientSecret, digest, generate
from app.settings import current_settings
from app.storage.database import db, transaction


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
    """

    steps: tuple[Step, ...]
    unchanged: int
    undeclared: tuple[str, ...]
    disabled: tuple[str, ...]

    def of(self, kind: Kind) -> list[Step]:
        return [step for step in self.steps if step.kind is kind]


class NewSecret(NamedTuple):
    """The first secret of a client that is not created yet."""

    client_id: str
    name: str
    plaintext: str


class ChangedMeanwhileError(Exception):
    """Another process has changed the register since the difference was found."""


def find(declared: Sequence[Declared], *, prune: bool) -> Difference:
    """The difference as it is now.

    Args:
        declared: The clients that files declare.
        prune: Whether clients that no file declares are removed; never the demo clients of development.

    Raises:
        DeclarationError: If a name cannot be given or found; the text has a line for each fault.
    """
    rows = {row.name: row for row in db.session.scalars(select(ClientRow).order_by(ClientRow.id))}
    ids = {row.client_id: row.name for row in rows.values()}
    faults = [wrong for each in declared if (wrong := name_fault(each, rows, ids))]
    if faults:
        raise DeclarationError("\n".join(faults))
    found = {each.name: rows.get(each.name) or rows.get(each.renamed_from or "") for each in declared}
    steps = [step for each in declared if (step := step_for(each, found[each.name]))]
    present = {row.name for row in found.values() if row is not None}
    others = [row for name, row in rows.items() if name not in present and not is_demo(row)]
    if prune:
        steps += [Step(Kind.REMOVE, row.name, row.client_id, row=row) for row in others]
    return Difference(
        steps=tuple(steps),
        unchanged=len(declared) - sum(step.kind is not Kind.REMOVE for step in steps),
        undeclared=() if prune else tuple(row.name for row in others),
        disabled=tuple(each.name for each in declared if each.disabled is None and is_disabled(found[each.name])),
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
        changes = [Change(word, None, value) for word, value in each.values.items() if value not in (None, "", {})]
        changes += [Change("disabled", None, True)] if each.disabled else []
        return Step(Kind.CREATE, each.name, None, tuple(changes), declared=each)
    changes = [] if row.name == each.name else [Change("name", row.name, each.name)]
    for word, value in each.values.items():
        if (old := VALUES[word].of(row)) != value:
            changes.append(Change(word, old, value))
    if each.disabled is not None and each.disabled != is_disabled(row):
        changes.append(Change("disabled", not each.disabled, each.disabled))
    return Step(Kind.UPDATE, each.name, row.client_id, tuple(changes), row, each) if changes else None


def new_secrets(difference: Difference) -> list[NewSecret]:
    """An id and a secret for each client that is to be created; nothing is stored."""
    return [NewSecret(registration.new_id(), step.name, generate()) for step in difference.of(Kind.CREATE)]


def apply(difference: Difference, declared: Sequence[Declared], secrets: Iterable[NewSecret]) -> None:
    """Take all steps of a difference, in one transaction with their audit events: all or none.

    Args:
        difference: As `find` returned it.
        declared: The clients that it was found for.
        secrets: As `new_secrets` returned them, already delivered.

    Raises:
        ChangedMeanwhileError: If the difference is another one by now; nothing is changed.
    """
    made = {each.name: each for each in secrets}
    with transaction():
        current = find(declared, prune=bool(difference.of(Kind.REMOVE)))
        if current.steps != difference.steps:
            raise ChangedMeanwhileError("the register was changed meanwhile by another command; nothing was changed")
        for step in current.steps:
            if step.kind is Kind.CREATE and step.declared:
                create(step.declared, made[step.name])
            elif step.row is not None and step.kind is Kind.UPDATE:
                update(step.row, step.changes)
            elif step.row is not None:
                registry.remove(step.row)


def create(declared: Declared, made: NewSecret) -> None:
    client = new_client(made.client_id, made.name, declared.values)
    client.secrets = [ClientSecret(name="secret-1", digest=digest(made.plaintext))]
    client.generation = 0
    client.tokens_not_before = client.ended_until = 0
    db.session.add(client)
    trail.record(Event.CLIENT_CREATED, client_id=client.client_id)
    if declared.disabled:
        registry.set_disabled(client, True)


def update(row: ClientRow, changes: Iterable[Change]) -> None:
    recorded: list[Change] = []
    for change in changes:
        if change.what == "disabled":
            registry.set_disabled(row, change.new)
        elif change.what == "name":
            row.name = change.new
            recorded.append(change)
        else:
            value = VALUES[change.what]
            value.put(row, change.new)
            recorded.append(Change(value.column, change.old, change.new))
    if recorded:
        reason = "; ".join(change.summary() for change in recorded)
        trail.record(Event.CLIENT_UPDATED, client_id=row.client_id, reason=reason)
