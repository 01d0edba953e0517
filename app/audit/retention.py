"""This file is how long the audit trail is kept: KEYTURN_AUDIT_DAYS, and KEYTURN_AUDIT_ROWS of what happens often."""

from __future__ import annotations

from sqlalchemy import func, select

import config
from app.audit.audit_event import AuditEvent
from app.clock import now
from app.storage.database import delete_in_steps

DAY_SECONDS = 86_400
# What a client can cause as often as it likes. All else is bounded by age only: no flood washes it out.
FREQUENT = (
    *("token_issued", "token_refused", "access_refused", "entry_added", "token_revoked", "token_inactive"),
    *("introspection_refused", "revocation_refused", "request_refused", "request_failed", "limits_not_shared"),
)


def trim(settings: config.Settings, *, steps: int | None = None) -> int:
    """Remove the rows past the bounds.

    Args:
        settings: What the bounds are.
        steps: How many steps to take at the most; None for all that there are.

    Returns:
        How many rows.
    """
    newest = select(func.max(AuditEvent.id)).scalar_subquery()
    too_old = AuditEvent.at < now() - settings.audit_days * DAY_SECONDS
    too_many = AuditEvent.event.in_(FREQUENT) & (AuditEvent.id <= newest - settings.audit_rows)
    return delete_in_steps(AuditEvent, too_old, steps=steps) + delete_in_steps(AuditEvent, too_many, steps=steps)
