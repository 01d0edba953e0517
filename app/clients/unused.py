"""Which clients and secrets are no longer used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, union_all

from app.audit.event import AuditEvent, Event
from app.audit.trail import current_batch
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret
from app.clock import now
from app.storage.database import db


@dataclass(frozen=True, slots=True)
class Unused:
    """A client, or one of its secrets; `last_used_at` is None if it was never used. Seconds since the epoch."""

    client_id: str
    client: str
    name: str | None
    created_at: int
    last_used_at: int | None
    is_disabled: bool


def unused(*, seconds: int) -> tuple[list[Unused], list[Unused]]:
    """What was not used in the last seconds and is older than that, the longest unused first.

    Returns:
        The clients; and of all other clients the secrets that still work.
    """
    current_batch().write_before_reading()
    moment = now()
    clients = unused_clients(moment - seconds)
    ids = {each.client_id for each in clients}
    return clients, [each for each in unused_secrets(moment, moment - seconds) if each.client_id not in ids]


def unused_clients(before: int) -> list[Unused]:
    """The clients of which no secret or key was used since a moment, and none that is removed by now got a token."""
    used = union_all(*(select(each.client_row, each.last_used_at) for each in (ClientSecret, ClientKey))).subquery()
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
        .where(ClientRow.created_at < before)
        .group_by(ClientRow.id, *columns, ClientRow.disabled_at)
        .having(and_(is_before(last, before), ~got_tokens))
        .order_by(func.coalesce(last, 0), ClientRow.id)
    )
    return [Unused(each[0], each[1], None, *each[2:]) for each in db.session.execute(query)]


def unused_secrets(moment: int, before: int) -> list[Unused]:
    """The secrets that work at a moment, and were not used since an earlier one."""
    secret = ClientSecret
    columns = (ClientRow.client_id, ClientRow.name, secret.name, secret.created_at, secret.last_used_at)
    query = (
        select(*columns, ClientRow.disabled_at.is_not(None))
        .join(secret, secret.client_row == ClientRow.id)
        .where(secret.ended_at.is_(None), or_(secret.not_after.is_(None), secret.not_after > moment))
        .where(secret.created_at < before, is_before(secret.last_used_at, before))
        .order_by(func.coalesce(secret.last_used_at, 0), secret.id)
    )
    return [Unused(*row) for row in db.session.execute(query)]


def is_before(last: Any, before: int) -> ColumnElement[bool]:
    return or_(last.is_(None), last < before)
