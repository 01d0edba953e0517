"""Registers the clients of another server with their own ids, many in one transaction: all or none."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import insert, select

from app.audit import trail
from app.audit.event import Event
from app.clients import registry, trust_overlaps
from app.clients.applying import ChangedMeanwhileError, NewSecret
from app.clients.client_row import ClientRow
from app.clients.import_lines import ImportedClient, ImportFaultsError
from app.clients.registered_values import NEEDS, VALUES, gets_secret
from app.clients.secret import ClientSecret, digest, generate
from app.clients.trust_overlaps import Held
from app.clock import now
from app.storage.database import Base, db, transaction

OwnedRow = tuple[str, dict[str, Any]]  # the id of a client, and a row of it

ROWS = 500  # in one statement: none takes long, and none is awaited for long
NOT_STATED = (
    "of {count} clients there are digests: --random-secrets states that each secret was generated with at least 128 "
    "random bits. One that a person chose could be guessed from its digest: give such a client a new secret"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which clients are new; `unchanged` counts those that are registered already, with the same values."""

    new: tuple[ImportedClient, ...]
    unchanged: int

    def without_secret(self) -> list[ImportedClient]:
        return [each for each in self.new if not each.secrets and gets_secret(each.values)]

    def without(self, method: str) -> list[ImportedClient]:
        """Those that authenticate by keys only, or by trusts only, and have none."""
        words = [word for word, needed in NEEDS.items() if needed == method]
        of_method = [each for each in self.new if each.values["auth_method"] == method]
        return [each for each in of_method if not any(each.values.get(word) for word in words)]


def find(imported: Sequence[ImportedClient], *, has_random_secrets: bool) -> Plan:
    """Which of some clients are to be registered.

    Raises:
        ImportFaultsError: If one is registered already with other values, or its id, name or secret is another's.
    """
    with_digest = sum(bool(each.secrets) for each in imported)
    if with_digest and not has_random_secrets:
        raise ImportFaultsError([NOT_STATED.format(count=with_digest)])
    rows = {row.client_id: row for row in registry.list_clients()}
    owners = {name: row.client_id for row in rows.values() for name in (row.client_id, row.name)}
    digests = {secret.digest: row.client_id for row in rows.values() for secret in row.secrets}
    faults = [fault for each in imported if (fault := conflict(each, rows.get(each.client_id), owners, digests))]
    faults += overlaps(imported)
    if faults:
        raise ImportFaultsError(faults)
    new = tuple(each for each in imported if each.client_id not in rows)
    return Plan(new, len(imported) - len(new))


def conflict(
    each: ImportedClient, row: ClientRow | None, owners: Mapping[str, str], digests: Mapping[bytes, str]
) -> str | None:
    start = f"line {each.line}: {each.client_id}"
    if row is not None:
        others = differing(each, row)
        return f"{start} is registered already, with another {' and '.join(others)}" if others else None
    for name in (each.client_id, each.name):
        if name in owners:
            return f"{start}: {name} is the id or the name of the client {owners[name]} already"
    shared = next((digests[secret.digest] for secret in each.secrets if secret.digest in digests), None)
    return f"{start} has the same secret as the client {shared}" if shared else None


def overlaps(imported: Sequence[ImportedClient]) -> Iterator[str]:
    """The trusts of some lines that overlap with others, of the register or of other lines."""
    new = [
        Held(each.name, trust.issuer, trust.claims, f"line {each.line}")
        for each in imported
        for trust in each.values.get("trusts", ())
    ]
    if new:
        for one, _, sentence in trust_overlaps.find(new, [*trust_overlaps.in_register(), *new]):
            yield f"{one.place}: {sentence}"


def differing(each: ImportedClient, row: ClientRow) -> list[str]:
    """The words of what differs; a line without secrets does not differ in them."""
    found = [] if row.name == each.name else ["name"]
    found += [word for word, value in each.values.items() if VALUES[word].of(row) != value]
    if each.disabled != (row.disabled_at is not None):
        found.append("disabled")
    if not {secret.digest for secret in each.secrets} <= {secret.digest for secret in row.secrets}:
        found.append("secret")
    return found


def new_secrets(plan: Plan) -> list[NewSecret]:
    """A secret for each new client that has none; nothing is stored."""
    return [NewSecret(each.client_id, each.name, generate()) for each in plan.without_secret()]


def register(plan: Plan, made: Iterable[NewSecret]) -> None:
    """Register the new clients, with an audit event each.

    Args:
        plan: As `find` returned it.
        made: As `new_secrets` returned them, already delivered; empty to register without.

    Raises:
        ChangedMeanwhileError: If one of the ids or names was taken meanwhile, or another client was given a trust
            that overlaps; nothing is changed.
    """
    moment = now()
    clients = [columns(each, moment) for each in plan.new]
    owned = credential_rows(plan.new, moment)
    owned[ClientSecret] = secret_rows(plan.new, made, moment)
    taken = {name for each in plan.new for name in (each.client_id, each.name)}
    with transaction():
        if any(taken & set(pair) for pair in db.session.execute(select(ClientRow.client_id, ClientRow.name))):
            raise ChangedMeanwhileError("a client of the same id or name was registered meanwhile; nothing was changed")
        if any(overlaps(plan.new)):
            raise ChangedMeanwhileError("another client was given an overlapping trust meanwhile; nothing was changed")
        for some in batches(clients):
            db.session.execute(insert(ClientRow), some)
        keys = {row.client_id: row.id for row in db.session.execute(select(ClientRow.id, ClientRow.client_id))}
        for model, rows in owned.items():
            for some in batches([{**row, "client_row": keys[client_id]} for client_id, row in rows]):
                db.session.execute(insert(model), some)
        for some_clients in batches(plan.new):
            for each in some_clients:
                trail.record(Event.CLIENT_CREATED, client_id=each.client_id, reason="imported")
            db.session.flush()


def columns(each: ImportedClient, moment: int) -> dict[str, Any]:
    """A row for a client. Its id may have been another's: no token of that one has its generation."""
    row = {VALUES[word].column: value for word, value in each.values.items() if VALUES[word].rows is None}
    return row | {
        "client_id": each.client_id,
        "name": each.name,
        "created_at": moment,
        "disabled_at": moment if each.disabled else None,
        "generation": 1 + secrets.randbelow(2**31),
    }


def secret_rows(new: Iterable[ImportedClient], made: Iterable[NewSecret], moment: int) -> list[OwnedRow]:
    """The rows of all secrets."""
    rows: list[OwnedRow] = []
    for each in new:
        for secret in each.secrets:
            row = {"name": secret.name, "digest": secret.digest, "created_at": moment, "not_after": secret.not_after}
            rows.append((each.client_id, row))
    for one in made:
        row = {"name": "secret-1", "digest": digest(one.plaintext), "created_at": moment, "not_after": None}
        rows.append((one.client_id, row))
    return rows


def credential_rows(new: Iterable[ImportedClient], moment: int) -> dict[type[Base], list[OwnedRow]]:
    """The rows of all keys and trusts, by their tables."""
    found: dict[type[Base], list[OwnedRow]] = {}
    for each in new:
        for word, value in each.values.items():
            if rows := VALUES[word].rows:
                owned = [(each.client_id, {**columns, "created_at": moment}) for columns in rows.columns(value)]
                found.setdefault(rows.model, []).extend(owned)
    return found


def batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, ROWS)):
        yield some
