"""This file is how long the audit trail is kept: 90 days, and a million rows of what happens often."""

from __future__ import annotations

from threading import Event

from flask import Flask
from sqlalchemy import delete, func, select

from app.audit.audit_event import AuditEvent
from app.clock import now
from app.database import WRITES, db

KEPT_SECONDS = 90 * 86_400
KEPT_ROWS = 1_000_000
ROWS_AT_ONCE = 5_000
# Changes of state are bounded by age only: no flood of refusals washes them out.
FREQUENT = ("token_issued", "token_refused", "access_refused", "entry_added")


def trim(app: Flask, closed: Event) -> None:
    """Remove the rows past the bounds, until closed, in transactions so short that no other writer waits for long."""
    too_old = AuditEvent.at < now() - KEPT_SECONDS
    newest = select(func.max(AuditEvent.id)).scalar_subquery()
    too_many = AuditEvent.event.in_(FREQUENT) & (AuditEvent.id <= newest - KEPT_ROWS)
    some = select(AuditEvent.id).where(too_old | too_many).order_by(AuditEvent.id).limit(ROWS_AT_ONCE)
    removed = ROWS_AT_ONCE
    with app.app_context(), db.engine.connect().execution_options(**WRITES) as connection:
        while removed == ROWS_AT_ONCE and not closed.is_set():
            removed = connection.execute(delete(AuditEvent).where(AuditEvent.id.in_(some))).rowcount
            connection.commit()
