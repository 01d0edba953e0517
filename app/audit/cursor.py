"""Reading the trail onwards, without loss or repetition: a cursor is the id of the last event that was read.

Every writer takes its turn (`storage.database.take_turn`), the batches of all workers included, and gets its ids
within it: ids are committed in their order. So an event that can be seen has no event before it that is still to
come. On PostgreSQL, without turns, a sequence gives ids in one order and transactions commit in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select

from app.audit.event import MEMBERS, AuditEvent
from app.audit.reports import Filter
from app.audit.trail import current_batch
from app.storage.database import db

EXPORTED_ROWS = 1_000  # in memory at a time
COLUMNS = [getattr(AuditEvent, name) for name in MEMBERS]


class UnknownCursorError(Exception):
    """A cursor past the newest event; the text says so."""


def newest_id() -> int:
    """The id of the newest event; 0 if there is none."""
    return db.session.scalar(select(func.max(AuditEvent.id))) or 0


def after(only: Filter, *, limit: int) -> tuple[Sequence[AuditEvent], int]:
    """The events after the cursor `only.since`, the oldest first, at most `limit`, and the next cursor.

    The next cursor passes events that the filter leaves out, so that a rare event is not looked for again and again.

    Raises:
        UnknownCursorError: If no event has had this id: the cursor is of another database, or of a time before a
            backup was restored.
    """
    current_batch().write_before_reading()
    newest = newest_id()  # first: what is committed later has a higher id
    refuse_unknown(only.since, newest)
    query = select(AuditEvent).where(AuditEvent.id <= newest, *only.conditions())
    events = db.session.scalars(query.order_by(AuditEvent.id).limit(limit)).all()
    return events, events[-1].id if len(events) == limit else max(only.since, min(newest, only.before - 1))


def refuse_unknown(cursor: int, newest: int) -> None:
    if cursor > newest:
        raise UnknownCursorError(f"the trail has no event {cursor}, its newest is {newest}: was a backup restored?")


def pages(cursor: int) -> Iterator[list[dict[str, str | int]]]:
    """All events after a cursor up to now, as dicts without what they lack, in pages of EXPORTED_ROWS."""
    newest = newest_id()
    refuse_unknown(cursor, newest)
    while cursor < newest:
        query = select(*COLUMNS).where(AuditEvent.id > cursor, AuditEvent.id <= newest)
        rows = db.session.execute(query.order_by(AuditEvent.id).limit(EXPORTED_ROWS)).all()
        db.session.rollback()  # no transaction is open while the page is written to a slow reader
        if not rows:
            return
        yield [{name: value for name, value in row._asdict().items() if value is not None} for row in rows]
        cursor = rows[-1].id


def at_moment(moment: int) -> int:
    """The cursor before the first event since a moment, in seconds since the epoch."""
    first = db.session.scalar(select(func.min(AuditEvent.id)).where(AuditEvent.at >= moment))
    return newest_id() if first is None else first - 1
