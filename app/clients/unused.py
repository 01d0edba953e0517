"""Which clients and which of their credentials are no longer used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, union_all

from app.audit.event import AuditEvent, Event
from app.audit.trail import current_batch
from app.clients.client_row import ClientRow
from app.clients.credential_kinds import CREDENTIAL_KINDS, CredentialKind
from app.clock import now
from app.storage.database import db


@dataclass(frozen=True, slots=True)
class Unused:
    """A client, or a credential of one; `last_used_at` is None if it was never used. Seconds since the epoch."""

    client_id: str
    client: str
    name: str | None
    created_at: int
    last_used_at: int | None
    is_disabled: bool


def unused(*, seconds: int) -> tuple[list[Unused], dict[str, list[Unused]]]:
    """What was not used in the last seconds and is older than that, the longest unused first.

    Returns:
        The clients; and of all other clients the credentials that still work, by the words of `CREDENTIAL_KINDS`.
    """
    current_batch().write_before_reading()
    moment = now()
    clients = unused_clients(moment - seconds)
    ids = {each.client_id for each in clients}
    return clients, {
        kind.word: [each for each in unused_of(kind, moment, moment - seconds) if each.client_id not in ids]
        for kind in CREDENTIAL_KINDS.values()
    }


def unused_clients(before: int) -> list[Unused]:
    """The clients of which no credential was used since a moment, and none that is removed by now got a token.

    Keys that are elsewhere have no row: of a client with a `jwks_uri` and without a grant nothing is known.
    """
    models = (each.model for each in CREDENTIAL_KINDS.values())
    used = union_all(*(select(each.client_row, each.last_used_at) for each in models)).subquery()
    last = func.max(used.c.last_used_at)
    columns = (ClientRow.client_id, ClientRow.name, ClientRow.created_at)
    got_tokens = exists().where(
        AuditEvent.client_id == ClientRow.client_id,
        AuditEvent.event == Event.TOKEN_ISSUED.value,
        AuditEvent.at >= before,
    )
    query = (
        select(*columns, last, ClientRow.disabled_at.is_not(None))
        .outerjoin(used, used.c.client_row == ClientRow.id)
        .where(ClientRow.created_at < before, or_(ClientRow.jwks_uri.is_(None), ClientRow.grant_types != ""))
        .group_by(ClientRow.id, *columns, ClientRow.disabled_at)
        .having(and_(is_before(last, before), ~got_tokens))
        .order_by(func.coalesce(last, 0), ClientRow.id)
    )
    return [Unused(each[0], each[1], None, *each[2:]) for each in db.session.execute(query)]


def unused_of(kind: CredentialKind, moment: int, before: int) -> list[Unused]:
    """The credentials of a kind that work at a moment, and were not used since an earlier one."""
    model = kind.model
    columns = (ClientRow.client_id, ClientRow.name, kind.name, model.created_at, model.last_used_at)
    query = (
        select(*columns, ClientRow.disabled_at.is_not(None))
        .join(model, model.client_row == ClientRow.id)
        .where(kind.works(moment), model.created_at < before, is_before(model.last_used_at, before))
        .order_by(func.coalesce(model.last_used_at, 0), model.id)
    )
    return [Unused(*row) for row in db.session.execute(query)]


def is_before(last: Any, before: int) -> ColumnElement[bool]:
    return or_(last.is_(None), last < before)
