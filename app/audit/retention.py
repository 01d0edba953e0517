"""How long audit events are stored: KEYTURN_AUDIT_ROWS of each budget, and KEYTURN_AUDIT_DAYS.

A clock may be wrong. So rows are deleted by age only while this machine's clock and the database's agree,
and a server deletes no more than a day of the trail in a day that it runs; `flask cleanup` deletes more.
The newest row is never deleted: SQLite would reuse its id.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, select

import config
from app.audit.event import AuditEvent, Budget
from app.clock import DAY_SECONDS, HOUR_SECONDS, monotonic, now
from app.storage import database_clock
from app.storage.database import BeginStep, db, delete_in_steps

MAX_CLOCK_SECONDS = 60  # by how much two clocks that agree may differ


class ClocksDifferError(Exception):
    """This machine's clock and the database's differ: one of them is wrong."""


def check_clock() -> None:
    """Compare this machine's clock with the database's; SQLite has none of its own.

    Raises:
        ClocksDifferError: If they differ by more than MAX_CLOCK_SECONDS.
    """
    ahead = database_clock.seconds_ahead()
    if abs(ahead) > MAX_CLOCK_SECONDS:
        direction = "ahead of" if ahead > 0 else "behind"
        sentence = f"this machine's clock is {abs(ahead)} seconds {direction} the database's"
        raise ClocksDifferError(f"{sentence}: nothing is deleted by age, and servers refuse each other's tokens")


def too_old(settings: config.Settings) -> ColumnElement[bool]:
    """The rows past KEYTURN_AUDIT_DAYS, except the newest row of all."""
    newest = db.session.scalar(select(func.max(AuditEvent.id))) or 0
    return (AuditEvent.at < now() - settings.audit_days * DAY_SECONDS) & (AuditEvent.id < newest)


def trim_rows(settings: config.Settings, *, begin_step: BeginStep = lambda: None) -> int:
    """Remove the rows past KEYTURN_AUDIT_ROWS of each budget; the newest of each stay.

    Args:
        settings: Has the bound.
        begin_step: Called first in each transaction, of `database.STEP_ROWS` rows; what it raises ends the removal.

    Returns:
        How many rows were removed.
    """
    removed = 0
    for budget in (*Budget, None):
        of_budget = AuditEvent.budget == (budget and budget.value)
        # Found before the first step, by the index alone: no writer waits while rows are counted.
        newest_first = select(AuditEvent.id).where(of_budget).order_by(AuditEvent.id.desc())
        last = db.session.scalar(newest_first.offset(settings.audit_rows).limit(1))
        if last is not None:
            removed += delete_in_steps(AuditEvent, of_budget & (AuditEvent.id <= last), begin_step=begin_step)
    return removed


class Trimmer:
    """Trims the trail by age; one per process, as it measures how long the process runs."""

    def __init__(self) -> None:
        self._oldest: int | None = None
        self._since = monotonic()

    def look(self) -> None:
        """Begin to measure, when the process starts; a second call changes nothing.

        Raises:
            SQLAlchemyError: If the database does not respond.
        """
        if self._oldest is None:
            self._oldest, self._since = db.session.scalar(select(func.min(AuditEvent.at))), monotonic()

    def trim(self, settings: config.Settings, *, begin_step: BeginStep = lambda: None) -> int:
        """Remove the rows past KEYTURN_AUDIT_DAYS that may be deleted by now.

        Args:
            settings: Has the bound.
            begin_step: As for `trim_rows`.

        Returns:
            How many rows were removed.

        Raises:
            ClocksDifferError: If this machine's clock and the database's differ; then nothing is removed.
        """
        check_clock()
        self.look()
        removable = too_old(settings) & (AuditEvent.at < self._reach())
        return delete_in_steps(AuditEvent, removable, begin_step=begin_step)

    def _reach(self) -> int:
        """The end of what may be deleted: a day past the oldest row after an hour, and a day more every 24 hours.

        The monotonic clock measures these. All workers of a server start with the same oldest row, so they
        share the days; a server that restarts again and again gets none.
        """
        days = int(monotonic() - self._since + DAY_SECONDS - HOUR_SECONDS) // DAY_SECONDS
        return (self._oldest or 0) + days * DAY_SECONDS
