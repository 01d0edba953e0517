"""This file is the audit trail: how it is written and how it is read.

A change of state is written with its event, in one transaction: `record`. Tokens and refusals are
noted, and written in batches: `note`. Either way there is one log line, at once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.event import listens_for
from sqlalchemy.orm import Session

from app.audit.audit_event import AuditEvent
from app.audit.batch import HOUR, Noted
from app.audit.batch_writer import BatchWriter
from app.clock import now
from app.logs import log, one_line, request_id
from app.per_app import PerApp
from app.storage.database import db

current_batch = PerApp[BatchWriter]("audit_batch")


def init_app(app: Flask) -> None:
    current_batch.set(app, BatchWriter(app))


def record(event: str, *, client_id: str | None = None, reason: str | None = None) -> AuditEvent:
    """Add the event of a change of state to the transaction that makes the change; it is logged at its end."""
    reason = one_line(reason) if reason else None
    row = AuditEvent(at=now(), event=event, client_id=client_id, reason=reason, request_id=request_id(), count=1)
    db.session.add(row)
    db.session.info.setdefault("recorded", []).append((event, client_id, reason))
    return row


@listens_for(db.session, "after_commit")
def log_recorded(session: Session) -> None:
    for event, client_id, reason in session.info.pop("recorded", []):
        log_line(event, client_id=client_id, reason=reason)


@listens_for(db.session, "after_rollback")
def forget_recorded(session: Session) -> None:
    session.info.pop("recorded", None)


def note(event: str, *, client_id: str | None, scope: str | None = None, reason: str | None = None) -> None:
    """Log an event now, and have it written within a second."""
    client_id = one_line(client_id) if client_id else None
    log_line(event, client_id=client_id, scope=scope, reason=reason)
    current_batch().note(Noted(event, client_id, scope, reason), request_id())


def log_line(event: str, **fields: str | None) -> None:
    # Not `log.info`: it looks through the stack for a file and a line that no line of ours shows.
    if log.isEnabledFor(logging.INFO):
        log.handle(log.makeRecord(log.name, logging.INFO, "", 0, event, (), None, extra={"fields": fields}))


def recent(*, limit: int, before: int, client_id: str | None = None, event: str | None = None) -> Sequence[AuditEvent]:
    """The newest events first, `limit` of them, with an id below `before`.

    Everything that this worker has noted is in it; what others have noted, within a second.
    """
    current_batch().write_before_reading()
    query = select(AuditEvent).where(AuditEvent.id < before).order_by(AuditEvent.id.desc()).limit(limit)
    if client_id is not None:
        query = query.where(AuditEvent.client_id == client_id)
    if event is not None:
        query = query.where(AuditEvent.event == event)
    return db.session.scalars(query).all()


def of_request(request_id: str) -> Sequence[AuditEvent]:
    """The events of a request, in their order."""
    current_batch().write_before_reading()
    query = select(AuditEvent).where(AuditEvent.request_id == request_id).order_by(AuditEvent.id)
    return db.session.scalars(query).all() if request_id.isprintable() else []


def tokens_per_hour(*, hours: int) -> list[dict[str, str | int | None]]:
    """Tokens issued and refused per client and hour, the newest hour first.

    Args:
        hours: How far to look back; the present hour is the first.
    """
    current_batch().write_before_reading()
    hour = AuditEvent.at - AuditEvent.at % HOUR
    query = (
        select(hour.label("hour"), AuditEvent.client_id, AuditEvent.event, func.sum(AuditEvent.count))
        .where(
            AuditEvent.event.in_(("token_issued", "token_refused")),
            AuditEvent.at >= now() - now() % HOUR - (hours - 1) * HOUR,
        )
        .group_by("hour", AuditEvent.client_id, AuditEvent.event)
    )
    rows: dict[tuple[int, str | None], dict[str, str | int | None]] = {}
    for at, client_id, event, count in db.session.execute(query):
        row = rows.setdefault((at, client_id), {"hour": at, "client_id": client_id, "issued": 0, "refused": 0})
        row[event.removeprefix("token_")] = int(count)
    return sorted(rows.values(), key=lambda row: (-int(row["hour"] or 0), str(row["client_id"] or "")))
