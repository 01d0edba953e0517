"""Across all clients: which secrets end soon, and which clients and secrets are no longer used."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from app.audit.event import AuditEvent, Event
from app.audit.trail import current_batch
from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret
from app.clock import now
from app.storage.database import db


@dataclass(frozen=True, slots=True)
class Ending:
    """A secret that ends at a moment; `is_last` if no other secret of the client works after it."""

    client_id: str
    client: str
    secret: str
    at: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Unused:
    """A client, or one secret of a client. Its last use is None if it was never used; all times in seconds."""

    client_id: str
    client: str
    secret: str | None
    created_at: int
    last_used_at: int | None


def ending(*, within: int) -> list[Ending]:
    """The secrets with a planned end in the next seconds, the first to end first."""
    other = aliased(ClientSecret)
    outlives = exists().where(
        other.client_row == ClientSecret.client_row,
        other.id != ClientSecret.id,
        other.ended_at.is_(None),
        or_(other.not_after.is_(None), other.not_after > ClientSecret.not_after),
    )
    query = (
        select(ClientRow.client_id, ClientRow.name, ClientSecret.name, ClientSecret.not_after, ~outlives)
        .join(ClientSecret, ClientSecret.client_row == ClientRow.id)
        .where(
            ClientSecret.ended_at.is_(None), ClientSecret.not_after > now(), ClientSecret.not_after <= now() + within
        )
        .order_by(ClientSecret.not_after, ClientSecret.id)
    )
    return [Ending(*row) for row in db.session.execute(query)]


def unused(*, seconds: int) -> tuple[list[Unused], list[Unused]]:
    """What was not used in the last seconds, and is older than that; what was never used first.

    Returns:
        The clients; and of all other clients the secrets that still work.
    """
    current_batch().write_before_reading()
    moment = now()
    clients = unused_clients(moment - seconds)
    ids = {each.client_id for each in clients}
    return clients, [each for each in unused_secrets(moment, moment - seconds) if each.client_id not in ids]


def unused_clients(before: int) -> list[Unused]:
    """The clients of which no secret was used since a moment, and which got no token with one that was removed."""
    last = func.max(ClientSecret.last_used_at)
    got_tokens = exists().where(
        AuditEvent.client_id == ClientRow.client_id,
        AuditEvent.event == Event.TOKEN_ISSUED.value,
        AuditEvent.at >= before,
    )
    query = (
        select(ClientRow.client_id, ClientRow.name, ClientRow.created_at, last)
        .outerjoin(ClientSecret, ClientSecret.client_row == ClientRow.id)
        .where(ClientRow.created_at < before)
        .group_by(ClientRow.id, ClientRow.client_id, ClientRow.name, ClientRow.created_at)
        .having(and_(is_before(last, before), ~got_tokens))
        .order_by(func.coalesce(last, 0), ClientRow.id)
    )
    return [Unused(client_id, name, None, at, used) for client_id, name, at, used in db.session.execute(query)]


def unused_secrets(moment: int, before: int) -> list[Unused]:
    """The secrets that work at a moment, and were not used since an earlier one."""
    last = ClientSecret.last_used_at
    query = (
        select(ClientRow.client_id, ClientRow.name, ClientSecret.name, ClientSecret.created_at, last)
        .join(ClientSecret, ClientSecret.client_row == ClientRow.id)
        .where(
            ClientSecret.ended_at.is_(None),
            or_(ClientSecret.not_after.is_(None), ClientSecret.not_after > moment),
            ClientSecret.created_at < before,
            is_before(last, before),
        )
        .order_by(func.coalesce(last, 0), ClientSecret.id)
    )
    return [Unused(*row) for row in db.session.execute(query)]


def is_before(last: ColumnElement[int] | ColumnElement[int | None], before: int) -> ColumnElement[bool]:
    return or_(last.is_(None), last < before)
