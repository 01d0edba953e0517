"""For how long a client pauses between two uses of a secret, as far as the audit trail goes back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import select

from app.audit.event import AuditEvent
from app.audit.trail import current_batch
from app.clock import HOUR_SECONDS
from app.storage.database import db


def longest_pause(client_id: str, credential: str, *, since: int) -> int | None:
    """The longest time between the beginnings of two hours in which a credential was used.

    Args:
        client_id: The client.
        credential: The name of the secret, or the id of the key.
        since: The moment from which events count, in seconds since the epoch.

    Returns:
        Seconds; None if it was used in one hour or in none.
    """
    current_batch().write_before_reading()
    hour = (AuditEvent.at - AuditEvent.at % HOUR_SECONDS).label("hour")
    query = (
        select(hour)
        .where(AuditEvent.client_id == client_id, AuditEvent.credential == credential, AuditEvent.at >= since)
        .group_by("hour")
        .order_by("hour")
    )
    hours: Sequence[int] = db.session.scalars(query).all()
    return max((after - before for before, after in pairwise(hours)), default=None)
