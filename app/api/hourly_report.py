"""The report of `GET /internal/reports`, at a bounded cost: a trail of a million rows takes a second to read.

One thread at a time computes it, and it is reused for ten times as long as that took. So it costs at most an
eleventh of one thread, however long the trail is and however often it is requested, and the report of a short
trail is never late.
"""

from __future__ import annotations

import threading
from time import monotonic

from flask import Flask

from app.audit import reports
from app.clock import HOUR_SECONDS, now
from app.per_app import PerApp
from app.refusals.errors import RefusedError

MAX_HOURS = 168
USED_AGAIN = 10  # times as long as it took
WAIT_SECONDS = 2  # for another thread that computes it

Rows = list[dict[str, str | int | None]]


class HourlyReport:
    """One per app, of the last `MAX_HOURS` hours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Rows = []
        self._good_until = 0.0

    def last(self, hours: int) -> Rows:
        """Tokens issued and refused per client and hour, the newest hour first.

        Raises:
            RefusedError: `temporarily_unavailable`, while another thread takes too long to compute it.
        """
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise RefusedError("temporarily_unavailable", reason="another request is reading the trail for a report")
        try:
            if (started := monotonic()) >= self._good_until:
                self._rows = reports.tokens_per_hour(hours=MAX_HOURS)
                ended = monotonic()
                self._good_until = ended + USED_AGAIN * (ended - started)
            rows = self._rows
        finally:
            self._lock.release()
        first = now() - now() % HOUR_SECONDS - (hours - 1) * HOUR_SECONDS
        return [row for row in rows if int(row["hour"] or 0) >= first]


current_report = PerApp[HourlyReport]("hourly_report")


def init_app(app: Flask) -> None:
    current_report.set(app, HourlyReport())
