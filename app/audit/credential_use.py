"""From where, and when, a client used one of its credentials: what the audit trail has of it.

The trail has no address where no event was recorded: a successful introspection is none. Its oldest rows are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from app.audit.batch import HOUR
from app.audit.event import AuditEvent
from app.audit.trail import current_batch
from app.storage.database import db


@dataclass(frozen=True, slots=True)
class Use:
    """That an address used a credential `count` times, the last time at `last_at` (seconds since the epoch)."""

    address: str
    count: int
    last_at: int


def by_address(client_id: str, credential: str, *, since: int) -> list[Use]:
    """The addresses that sent a credential since a moment, the latest first; refused requests count too."""
    current_batch().write_before_reading()
    last = func.max(AuditEvent.at)
    query = (
        select(AuditEvent.address, func.sum(AuditEvent.count), last)
        .where(*of_credential(client_id, credential, since), AuditEvent.address.is_not(None))
        .group_by(AuditEvent.address)
        .order_by(last.desc(), AuditEvent.address)
    )
    return [Use(str(address), int(count), at) for address, count, at in db.session.execute(query)]


def longest_pause(client_id: str, credential: str, *, since: int) -> int | None:
    """Seconds between two hours in which a credential was used, at most; None if it was used in one hour or none.

    It is rounded up to the next hour.
    """
    current_batch().write_before_reading()
    hour = (AuditEvent.at - AuditEvent.at % HOUR).label("hour")
    query = select(hour).where(*of_credential(client_id, credential, since)).group_by("hour").order_by("hour")
    hours: Sequence[int] = db.session.scalars(query).all()
    return max((after - before for before, after in zip(hours, hours[1:], strict=False)), default=None)


def of_credential(client_id: str, credential: str, since: int) -> tuple[bool, ...]:
    rows = AuditEvent
    return rows.client_id == client_id, rows.credential == credential, rows.at >= since  # type: ignore[return-value]
