"""The check of credentials that have ended and are still used: some process has not noticed the change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import ColumnElement, func, select

from app.audit.event import AuditEvent
from app.clients.client_row import ClientRow
from app.clock import DAY_SECONDS, now
from app.doctor.finding import Finding, warning
from app.doctor.installation import Installation
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.storage.database import db

MOST = 10
COUNT = func.sum(AuditEvent.count)
SECRET = "invalid_client: the secret % expired % ago"
KEY, TRUST = (
    "invalid_client: " + re.sub(r"\{\w+\}", "%", ASSERTION_CAUSES[cause].sentence)
    for cause in ("key_ended", "trust_ended")
)
NAMED = re.compile(r"the trust (\S+) of (\S+) ended")


def check_ended(_: Installation) -> Iterator[Finding]:
    """Secrets, keys and trusts that have ended, and were used in the last day."""
    for client, count in by_client(AuditEvent.reason.like(SECRET), AuditEvent.credential.is_not(None)):
        yield warning(
            f"A secret of client {client} that has ended was sent {count} times in the last day.",
            f"`flask clients secrets {client}` shows from where: some process still has it.",
        )
    for client, count in by_client(AuditEvent.reason.like(KEY)):
        yield warning(
            f"A key of client {client} that has ended was used {count} times in the last day.",
            f"`flask audit uses {client}` shows from where: some process still signs with it.",
        )
    for (name, client), count in trusts().most_common(MOST):
        yield warning(
            f"The trust {name} of {client}, which has ended, was used {count} times in the last day.",
            f"Some job of its platform still needs it; `flask clients trust {client}` gives it back if that is meant.",
        )


def by_client(*conditions: ColumnElement[bool]) -> list[tuple[str, int]]:
    query = select(ClientRow.name, COUNT).join(AuditEvent, AuditEvent.client_id == ClientRow.client_id)
    query = query.where(AuditEvent.at > now() - DAY_SECONDS, *conditions)
    rows = db.session.execute(query.group_by(ClientRow.name).order_by(COUNT.desc()).limit(MOST))
    return [(name, count) for name, count in rows]


def trusts() -> Counter[tuple[str, str]]:
    """How often each was used, by its name and its client's: a platform's token need not name the client."""
    query = select(AuditEvent.reason, COUNT).where(AuditEvent.at > now() - DAY_SECONDS, AuditEvent.reason.like(TRUST))
    found: Counter[tuple[str, str]] = Counter()
    for reason, count in db.session.execute(query.group_by(AuditEvent.reason)):
        if named := NAMED.search(str(reason)):
            found[named[1], named[2]] += count
    return found
