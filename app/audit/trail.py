"""Writing to the audit trail; `reports.py` reads it.

A change of state is written with its event, in one transaction: `record`. Tokens and refusals are
recorded in batches, within a second: `record_soon`. Either way there is one log line, at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask
from sqlalchemy.event import listens_for
from sqlalchemy.orm import Session

from app.audit.batch import Noted
from app.audit.batch_writer import BatchWriter
from app.audit.event import AuditEvent, Budget, Event
from app.clock import now
from app.logs import log, one_line, request_id
from app.per_app import PerApp
from app.storage.database import db

current_batch = PerApp[BatchWriter]("audit_batch")


def init_app(app: Flask) -> None:
    current_batch.set(app, BatchWriter(app))


def record(event: Event, *, client_id: str | None = None, reason: str | None = None) -> AuditEvent:
    """Add the event of a change of state to the transaction that makes the change; its commit logs the event.

    Args:
        event: What changes.
        client_id: The client that it concerns, if any.
        reason: What the event's name does not say.

    Returns:
        The row; it has an id after the commit.
    """
    reason = one_line(reason) if reason else None
    row = AuditEvent(
        at=now(),
        event=event.value,
        budget=event.budget.value,
        client_id=client_id,
        reason=reason,
        request_id=request_id(),
        count=1,
    )
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


def record_soon(
    event: Event,
    *,
    client_id: str | None,
    scope: str | None = None,
    reason: str | None = None,
    budget: Budget | None = None,
    where: Mapping[str, str] | None = None,
) -> None:
    """Log an event now, and have it written within a second.

    Args:
        event: What happened.
        client_id: The client that caused it, if known.
        scope: The scope of the token, if one was issued.
        reason: Why, beginning with a code and a colon.
        budget: The budget that bounds the row; None for the event's own.
        where: The method and the path, for the log line alone.
    """
    client_id = one_line(client_id) if client_id else None
    log_line(event, client_id=client_id, scope=scope, reason=reason, **(where or {}))
    current_batch().add(Noted(event, budget or event.budget, client_id, scope, reason), request_id())


def log_line(event: Event, **fields: str | None) -> None:
    """Log an event at once, without a row; fields that are None are left out."""
    log.info("%s", event, extra={"fields": fields})
