"""Writing to the audit trail; `reports.py` reads it.

A change of state is written with its event, in one transaction: `record`. Tokens and refusals are
recorded in batches, within a second: `record_soon`, and `begin_issue` with `record_issued`. Either way there is
one log line, at once. From where a request comes and by what it authenticated is taken from the request itself,
and who runs a command from its process: no caller passes them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, g, has_request_context
from sqlalchemy.event import listens_for
from sqlalchemy.orm import Session

from app.audit.batch import Noted
from app.audit.batch_writer import BatchWriter
from app.audit.event import AuditEvent, Budget, Event
from app.audit.operator import current_operator
from app.clock import now
from app.logs import log, one_line, request_id
from app.per_app import PerApp
from app.storage.database import db

LEVELS = {Event.TRAIL_TOO_SMALL: logging.WARNING}
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
    address, credential = sender()
    fields = {
        "client_id": client_id,
        "reason": one_line(reason) if reason else None,
        "address": address,
        "credential": credential,
        "operator": current_operator(),
    }
    row = AuditEvent(at=now(), event=event.value, budget=event.budget.value, request_id=request_id(), count=1, **fields)
    db.session.add(row)
    db.session.info.setdefault("recorded", []).append((event, fields))
    return row


@listens_for(db.session, "after_commit")
def log_recorded(session: Session) -> None:
    for event, fields in session.info.pop("recorded", []):
        log_line(event, **fields)


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
    where: Mapping[str, str | None] | None = None,
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
    address, credential = sender()
    noted = Noted(event, budget or event.budget, client_id, scope, reason, address, credential)
    token = g.get("token")
    log_noted(noted, **(where or {}), **({"jti": token.jti, "kid": token.kid} if token else {}))
    current_batch().add(noted, request_id())


class Issue:
    """A token that is about to be issued. Its maker sets its `jti`, which begins with `prefix`, and its key's `kid`."""

    __slots__ = ("jti", "kid", "noted", "prefix")

    def __init__(self, noted: Noted) -> None:
        self.noted, self.prefix = noted, noted.jti_prefix or ""
        self.jti: str | None = None
        self.kid: str | None = None


def begin_issue(*, client_id: str, scope: str) -> Issue:
    """Prepare the event of a token, which decides what its `jti` begins with; `record_issued` records it.

    A row counts tokens of one client, secret, address and scope. So the `jti` of a token finds all four, and
    the time to within a second, without a row per token.
    """
    address, credential = sender()
    noted = Noted(Event.TOKEN_ISSUED, Budget.ISSUED, client_id, scope, None, address, credential)
    g.issue = issue = Issue(current_batch().with_prefix(noted))
    return issue


def record_issued() -> None:
    """Record the token that this request has been issued, as `record_soon` does."""
    here = g._get_current_object()  # once: each look at `g` calls four functions
    issue: Issue = here.issue
    log_noted(issue.noted, jti=issue.jti, kid=issue.kid)
    current_batch().add(issue.noted, here.get("request_id"))


def sender() -> tuple[str | None, str | None]:
    """The address that the current request came from, and the name of the secret that authenticated it."""
    if not has_request_context():
        return None, None
    here: dict[str, Any] = g._get_current_object().__dict__
    return here.get("address"), here.get("credential")


def log_noted(noted: Noted, **more: str | None) -> None:
    log_line(
        noted.event,
        client_id=noted.client_id,
        credential=noted.credential,
        address=noted.address,
        scope=noted.scope,
        reason=noted.reason,
        **more,
    )


def log_line(event: Event, **fields: str | None) -> None:
    """Log an event at once, without a row; fields that are None are left out."""
    if has_request_context():
        g._get_current_object().said = fields  # so that the access log does not repeat it
    log.log(LEVELS.get(event, logging.INFO), "%s", event, extra={"fields": fields})
