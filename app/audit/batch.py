"""This file is what a worker has noted and not yet written: half a second of it, in bounded memory.

No request waits for it. A thread of the worker writes it; it is also written before this worker
reads the trail, and when the worker ends. What the database does not take is kept and tried
again; what no longer fits is dropped, counted and logged.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import defaultdict
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute

from app.audit.audit_event import AuditEvent
from app.clock import now
from app.database import WRITES, db
from app.logs import log

WRITE_SECONDS = 0.5
MAX_ROWS = 1_000
MAX_SINGLE_ROWS = 50
HOUR = 3_600
TRIM_SECONDS = 60
TRIM_ROWS = 5_000
KEPT_ROWS = 1_000_000
KEPT_SECONDS = 90 * 86_400


class Event(NamedTuple):
    """What equal events have in common."""

    event: str
    client_id: str | None = None
    scope: str | None = None
    reason: str | None = None


class Key(NamedTuple):
    """What is counted in one row: equal events of an hour, or the one event of a request."""

    event: Event
    hour: int
    request_id: str | None


Rows = dict[Key, dict[str, Any]]
Marks = dict[InstrumentedAttribute[Any], dict[int, int]]


class AuditBatch:
    """One per app and process. The thread begins with the first event."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._one_writer = threading.Lock()
        self._filled = threading.Event()
        self._closed = threading.Event()
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._rows: Rows = {}
        self._marks: Marks = defaultdict(dict)
        self._singles = 0
        self._dropped = 0

    def note(self, event: Event, request_id: str | None, *, single: bool = False) -> None:
        """Add an event: counted with its equals under the last one's request id, or `single`, while there is room."""
        with self._lock:
            single = single and self._singles < MAX_SINGLE_ROWS
            self._singles += single
            key = Key(event, now() // HOUR, request_id if single else None)
            self._add(key, {"at": now(), "request_id": request_id, "count": 1})
        self._wake()

    def mark(self, column: InstrumentedAttribute[Any], row_id: int, moment: int) -> None:
        """Set a column of one row, with the next batch: for moments such as a secret's last use."""
        with self._lock:
            self._marks[column][row_id] = moment
        self._wake()

    def write(self) -> bool:
        """Write what was noted. If the database does not take it: False, and nothing is lost."""
        with self._one_writer:
            with self._lock:
                rows, self._rows, self._singles = self._rows, {}, 0
                marks, self._marks = self._marks, defaultdict(dict)
                dropped, self._dropped = self._dropped, 0
            if dropped:
                log.error("the audit trail's memory was full: %d events are only in this log", dropped)
            try:
                if rows or marks:
                    self._insert(rows, marks)
            except SQLAlchemyError as error:
                log.error("the audit trail cannot be written and waits in memory: %s", type(error).__name__)
                self._keep(rows, marks)
                return False
            return True

    def close(self) -> None:
        """End the thread, and write the rest."""
        self._closed.set()
        self._filled.set()
        if self._thread:
            self._thread.join()
        self.write()
        atexit.unregister(self.close)

    def _add(self, key: Key, row: dict[str, Any]) -> None:
        if key not in self._rows and len(self._rows) >= MAX_ROWS:
            self._dropped += row["count"]
            return
        counted = self._rows.get(key, {"count": 0})["count"]
        self._rows[key] = row | {"count": counted + row["count"]}

    def _keep(self, rows: Rows, marks: Marks) -> None:
        with self._lock:
            newer, self._rows = self._rows, rows
            for key, row in newer.items():
                self._add(key, row)
            for column, moments in marks.items():
                self._marks[column] = moments | self._marks[column]

    def _insert(self, rows: Rows, marks: Marks) -> None:
        with self._app.app_context(), db.engine.connect().execution_options(**WRITES) as connection:
            for column, moments in marks.items():
                model: Any = column.class_
                change = update(model).where(model.id == bindparam("row")).values({column: bindparam("moment")})
                connection.execute(change, [{"row": row, "moment": at} for row, at in moments.items()])
            if rows:
                connection.execute(insert(AuditEvent), [key.event._asdict() | row for key, row in rows.items()])
            connection.commit()

    def _wake(self) -> None:
        with self._lock:
            # Threads do not survive a fork: every process begins its own.
            if self._pid != os.getpid():
                self._pid = os.getpid()
                atexit.register(self.close)
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
        self._filled.set()

    def _run(self) -> None:
        trimmed = now()
        while not self._closed.is_set():
            self._filled.wait()
            self._closed.wait(WRITE_SECONDS)
            self._filled.clear()
            if not self.write():
                self._filled.set()
            elif now() >= trimmed + TRIM_SECONDS:
                trimmed = now()
                self._trim()

    def _trim(self) -> None:
        """Remove the oldest rows past the bounds, a few thousand at a time."""
        too_old: ColumnElement[bool] = AuditEvent.at < now() - KEPT_SECONDS
        oldest, newest = select(func.min(AuditEvent.id)), select(func.max(AuditEvent.id))
        too_many = AuditEvent.id <= newest.scalar_subquery() - KEPT_ROWS
        some = AuditEvent.id < oldest.scalar_subquery() + TRIM_ROWS
        try:
            with self._app.app_context(), db.engine.connect().execution_options(**WRITES) as connection:
                connection.execute(delete(AuditEvent).where(some, too_old | too_many))
                connection.commit()
        except SQLAlchemyError as error:
            log.error("the audit trail cannot be trimmed: %s", type(error).__name__)
