"""This file is what a worker has noted and not yet written, in bounded memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy.orm import InstrumentedAttribute

from app.clock import now

MAX_ROWS = 1_000
MAX_SINGLE_ROWS = 50
HOUR = 3_600


class Noted(NamedTuple):
    """What equal events have in common."""

    event: str
    client_id: str | None = None
    scope: str | None = None
    reason: str | None = None


class RowKey(NamedTuple):
    """What is counted in one row: equal events of an hour, or the one event of a request."""

    noted: Noted
    hour: int
    request_id: str | None


Rows = dict[RowKey, dict[str, Any]]
Marks = dict[InstrumentedAttribute[Any], dict[int, int]]


class Batch:
    """Filled by every thread, emptied by the one that writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Rows = {}
        self._marks: Marks = defaultdict(dict)
        self._singles = 0
        self._dropped = 0

    def note(self, noted: Noted, request_id: str | None) -> None:
        """Add an event: counted with its equals, or, if it has a reason, in a row of its own.

        There are MAX_SINGLE_ROWS of those in a batch. Whoever sends more of them has them counted
        by the code that the reason begins with: what a caller writes into a reason fills no table.
        """
        moment = now()
        with self._lock:
            single = noted.reason is not None and self._singles < MAX_SINGLE_ROWS
            self._singles += single
            if noted.reason and not single:
                noted = noted._replace(reason=noted.reason.partition(":")[0])
            key = RowKey(noted, moment // HOUR, request_id if single else None)
            self._add(key, {"at": moment, "request_id": request_id, "count": 1})

    def mark(self, column: InstrumentedAttribute[Any], row_id: int, moment: int) -> None:
        """Set a column of one row to a moment; the newest moment wins."""
        with self._lock:
            self._marks[column][row_id] = moment

    def take(self) -> tuple[Rows, Marks, int]:
        """Everything, and how many events found no room; the batch is empty afterwards."""
        with self._lock:
            taken = self._rows, self._marks, self._dropped
            self._rows, self._marks, self._singles, self._dropped = {}, defaultdict(dict), 0, 0
            return taken

    def give_back(self, rows: Rows, marks: Marks) -> None:
        """Keep what was taken and not written, with what has come meanwhile."""
        with self._lock:
            newer, self._rows = self._rows, rows
            for key, row in newer.items():
                self._add(key, row)
            self._singles = sum(key.request_id is not None for key in self._rows)
            for column, moments in marks.items():
                self._marks[column] = moments | self._marks[column]

    def _add(self, key: RowKey, row: dict[str, Any]) -> None:
        if key not in self._rows and len(self._rows) >= MAX_ROWS:
            self._dropped += row["count"]
            return
        counted = self._rows.get(key, {"count": 0})["count"]
        self._rows[key] = row | {"count": counted + row["count"]}
