"""Queries of the audit trail: what happened, to whom, and from where.

Each query first writes this worker's batch; another worker's events appear within a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select

from app.audit.batch import PREFIX_CHARACTERS
from app.audit.event import AuditEvent, Budget, Event
from app.audit.trail import current_batch
from app.clock import HOUR_SECONDS, now
from app.storage.database import db

MAX_ID = 2**63 - 1
COLUMNS = ("client_id", "event", "credential", "address", "operator", "request_id")
REFUSALS = [each.value for each in Event if each.budget is Budget.REFUSED]
COUNTED = {Event.TOKEN_ISSUED.value: "issued", Event.TOKEN_REFUSED.value: "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events: those whose columns have these values; None for any. `jti` is the `jti` of a token, whole.

    `since` and `before` are ids that the events are between.
    """

    since: int = 0
    before: int = MAX_ID
    client_id: str | None = None
    event: str | None = None
    credential: str | None = None
    address: str | None = None
    operator: str | None = None
    request_id: str | None = None
    jti: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        yield AuditEvent.id > self.since
        yield AuditEvent.id < self.before
        for name in COLUMNS:
            value = getattr(self, name)
            if value is not None:
                yield getattr(AuditEvent, name) == value
        if self.jti is not None:
            yield AuditEvent.jti_prefix == self.jti[:PREFIX_CHARACTERS]


def recent(only: Filter, *, limit: int) -> Sequence[AuditEvent]:
    """The newest events first, at most `limit`."""
    current_batch().write_before_reading()
    query = select(AuditEvent).where(*only.conditions())
    return db.session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)).all()


def of_request(request_id: str) -> Sequence[AuditEvent]:
    """The events with this `X-Request-Id`, in order."""
    return all_of(Filter(request_id=request_id)) if request_id.isprintable() else []


def of_jti(jti: str) -> Sequence[AuditEvent]:
    """The rows that count the token with this `jti`, in order: more than one only if they differ in their time."""
    return all_of(Filter(jti=jti)) if jti.isprintable() and len(jti) > PREFIX_CHARACTERS else []


def all_of(only: Filter) -> Sequence[AuditEvent]:
    current_batch().write_before_reading()
    return db.session.scalars(select(AuditEvent).where(*only.conditions()).order_by(AuditEvent.id)).all()


@dataclass(frozen=True, slots=True)
class Use:
    """What one client sent from one address with one secret: how many tokens it was issued, and refused."""

    credential: str | None
    address: str | None
    issued: int
    refused: int
    first_at: int
    last_at: int


def uses(client_id: str, *, since: int) -> list[Use]:
    """From where and by which secrets a client has authenticated, the last use first.

    Args:
        client_id: The client.
        since: The moment from which events count, in seconds since the epoch.

    Returns:
        One `Use` for each secret and address. `credential` is None for a failed authentication and for an access
        token, `address` is `other` where a batch had too many of them.
    """
    current_batch().write_before_reading()
    issued = func.sum(case((AuditEvent.event == Event.TOKEN_ISSUED.value, AuditEvent.count), else_=0))
    refused = func.sum(case((AuditEvent.event.in_(REFUSALS), AuditEvent.count), else_=0))
    query = (
        select(
            *(AuditEvent.credential, AuditEvent.address),
            *(issued, refused, func.min(AuditEvent.at), func.max(AuditEvent.at)),
        )
        .where(AuditEvent.client_id == client_id, AuditEvent.at >= since)
        .where(AuditEvent.event.in_((Event.TOKEN_ISSUED.value, *REFUSALS)))
        .group_by(AuditEvent.credential, AuditEvent.address)
    )
    found = [Use(row[0], row[1], *map(int, row[2:])) for row in db.session.execute(query)]
    return sorted(found, key=lambda use: (-use.last_at, use.credential or "", use.address or ""))


def tokens_per_hour(*, hours: int) -> list[dict[str, str | int | None]]:
    """Tokens issued and refused per client and hour, the newest hour first.

    Args:
        hours: How many hours to look back; the current one counts as the first.

    Returns:
        Rows of `hour` (its start, in seconds since the epoch), `client_id` (None if unknown), `issued`, `refused`.
    """
    current_batch().write_before_reading()
    hour = AuditEvent.at - AuditEvent.at % HOUR_SECONDS
    since = (now() // HOUR_SECONDS - hours + 1) * HOUR_SECONDS
    query = (
        select(hour.label("hour"), AuditEvent.client_id, AuditEvent.event, func.sum(AuditEvent.count))
        .where(AuditEvent.event.in_(COUNTED), AuditEvent.at >= since)
        .group_by("hour", AuditEvent.client_id, AuditEvent.event)
    )
    rows: dict[tuple[int, str | None], dict[str, str | int | None]] = {}
    for at, client_id, event, count in db.session.execute(query):
        row = rows.setdefault((at, client_id), {"hour": at, "client_id": client_id, "issued": 0, "refused": 0})
        row[COUNTED[event]] = int(count)
    return sorted(rows.values(), key=lambda row: (-int(row["hour"] or 0), str(row["client_id"] or "")))
