"""Takes the steps that make the register equal to what files declare; secrets are made before, and delivered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.audit import trail
from app.audit.event import Event
from app.clients import registration, registry
from app.clients.client_row import ClientRow
from app.clients.declaration import Declared
from app.clients.difference import Difference, Kind, find
from app.clients.registered_values import VALUES, gets_secret, new_client
from app.clients.registration_update import Change
from app.clients.secret import ClientSecret, digest, generate
from app.storage.database import db, transaction


class NewSecret(NamedTuple):
    """The first secret of a client that is not created yet."""

    client_id: str
    name: str
    plaintext: str


class ChangedMeanwhileError(Exception):
    """Another process has changed the register since the difference was found."""


def new_secrets(difference: Difference) -> list[NewSecret]:
    """An id and a secret for each client that is to be created and may use one; nothing is stored."""
    created = [step.declared for step in difference.of(Kind.CREATE) if step.declared]
    return [NewSecret(registration.new_id(), each.name, generate()) for each in created if gets_secret(each.values)]


def apply(difference: Difference, declared: Sequence[Declared], secrets: Iterable[NewSecret]) -> dict[str, str]:
    """Take all steps of a difference, in one transaction with their audit events: all or none.

    Args:
        difference: As `find` returned it.
        declared: The clients that it was found for.
        secrets: As `new_secrets` returned them, already delivered.

    Returns:
        The ids of the clients that were created, by name.

    Raises:
        ChangedMeanwhileError: If the difference is another one by now; nothing is changed.
    """
    made = {each.name: each for each in secrets}
    ids: dict[str, str] = {}
    with transaction():
        current = find(declared, prune=bool(difference.of(Kind.REMOVE)))
        if current.steps != difference.steps:
            raise ChangedMeanwhileError("the register was changed meanwhile by another command; nothing was changed")
        for step in current.steps:
            if step.kind is Kind.CREATE and step.declared:
                ids[step.name] = create(step.declared, made.get(step.name))
            elif step.row is not None and step.kind is Kind.UPDATE:
                update(step.row, step.changes)
            elif step.row is not None:
                registry.remove(step.row)
    return ids


def create(declared: Declared, made: NewSecret | None) -> str:
    """Create a client, without a secret if none was made for it, and return its id."""
    client = new_client(made.client_id if made else registration.new_id(), declared.name, declared.values)
    if made:
        client.secrets = [ClientSecret(name="secret-1", digest=digest(made.plaintext))]
    client.generation = 0
    client.tokens_not_before = client.ended_until = 0
    db.session.add(client)
    registration.record_created(client)
    if declared.disabled:
        registry.set_disabled(client, True)
    return client.client_id


def update(row: ClientRow, changes: Iterable[Change]) -> None:
    recorded: list[Change] = []
    for change in changes:
        if change.what == "disabled":
            registry.set_disabled(row, change.new)
        elif change.what == "name":
            row.name = change.new
            recorded.append(change)
        elif rows := VALUES[change.what].rows:
            rows.change(row, change.new)
        else:
            value = VALUES[change.what]
            value.put(row, change.new)
            recorded.append(Change(value.column, change.old, change.new))
    if recorded:
        reason = "; ".join(change.summary() for change in recorded)
        trail.record(Event.CLIENT_UPDATED, client_id=row.client_id, reason=reason)
