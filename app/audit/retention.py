"""This file is how long the audit trail is kept: KEYTURN_AUDIT_DAYS, and KEYTURN_AUDIT_ROWS of what happens often."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select

import config
from app.audit.audit_event import AuditEvent
from app.clock import now
from app.database import delete_in_steps, never

DAY_SECONDS = 86_400
# Changes of state are bounded by age only: no flood of refusals washes them out.
FREQUENT = (
    *("token_issued", "token_refused", "access_refused", "entry_added", "token_revoked", "token_inactive"),
    *("introspection_refused", "revocation_refused"),
)


def trim(settings: config.Settings, *, stop: Callable[[], bool] = never) -> int:
    """Remove the rows past the bounds, until it shall stop.

    Returns:
        How many.
    """
    newest = select(func.max(AuditEvent.id)).scalar_subquery()
    too_old = AuditEvent.at < now() - settings.audit_days * DAY_SECONDS
    too_many = AuditEvent.event.in_(FREQUENT) & (AuditEvent.id <= newest - settings.audit_rows)
    return delete_in_steps(AuditEvent, too_old, stop=stop) + delete_in_steps(AuditEvent, too_many, stop=stop)
