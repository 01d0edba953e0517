"""This file is what a worker has noted and not yet written: half a second of it, in bounded memory.

No request waits for it. A thread of the worker writes it; it is also written before this worker
reads the trail, and when the worker ends. What the database does not take is kept and tried
again; what no longer fits is dropped, counted and logged.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import defaultdict
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy import bindparam, insert, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute

from app.audit import retention
from app.audit.audit_event import AuditEvent
from app.clock import now
from app.database import WRITES, db
from app.logs import log

WRITE_SECONDS = 0.5
READER_SECONDS = 1
CLOSE_SECONDS = 8  # less than the server gives a worker to end
MAX_ROWS = 1_000
MAX_SINGLE_ROWS = 50
HOUR = 3_600
TRIM_SECONDS = 60


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
        self._is_failing = False

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
        self._wake()

    def mark(self, column: InstrumentedAttribute[Any], row_id: int, moment: int) -> None:
        """Set a column of one row, with the next batch: for moments such as a secret's last use."""
        with self._lock:
            self._marks[column][row_id] = moment
        self._wake()

    def write(self) -> bool:
        """Write what was noted. If the database does not take it: False, and nothing is lost."""
        with self._one_writer:
            return self._write()

    def write_before_reading(self) -> None:
        """Write what was noted, unless the database is taking its time: a reader does not queue for it."""
        if not self._is_failing and self._one_writer.acquire(timeout=READER_SECONDS):
            try:
                self._write()
            finally:
                self._one_writer.release()

    def _write(self) -> bool:
        with self._lock:
            rows, self._rows, self._singles = self._rows, {}, 0
            marks, self._marks = self._marks, defaultdict(dict)
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log.error("the audit trail's memory was full: %d events are only in this log", dropped)
        try:
            if rows or marks:
                self._insert(rows, marks)
                self._tell(None)
        except (DataError, IntegrityError) as error:
            log.error("the audit trail cannot keep %d rows: %s", len(rows), type(error).__name__)
        except SQLAlchemyError as error:
            self._tell(error)
            self._keep(rows, marks)
            return False
        return True

    def close(self) -> None:
        """End the thread, and write the rest."""
        self._closed.set()
        self._filled.set()
        if self._thread:
            self._thread.join()
        end = time.monotonic() + CLOSE_SECONDS
        while not self.write():
            if time.monotonic() > end:
                lost = sum(row["count"] for row in self._rows.values())
                log.error("the audit trail could not be written to the end: %d events are only in this log", lost)
                break
            time.sleep(WRITE_SECONDS)
        atexit.unregister(self.close)

    def _tell(self, error: Exception | None) -> None:
        """One log line when writing begins to fail, and one when it works again."""
        if error and not self._is_failing:
            log.error("the audit trail cannot be written and waits in memory: %s", type(error).__name__)
        elif self._is_failing and not error:
            log.warning("the audit trail is written again")
        self._is_failing = error is not None

    def _add(self, key: RowKey, row: dict[str, Any]) -> None:
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
                connection.execute(insert(AuditEvent), [key.noted._asdict() | row for key, row in rows.items()])
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
            self._filled.wait(TRIM_SECONDS)
            self._closed.wait(WRITE_SECONDS)
            self._filled.clear()
            try:
                if not self.write():
                    self._filled.set()
                elif now() >= trimmed + TRIM_SECONDS:
                    trimmed = now()
                    retention.trim(self._app)
            except Exception as error:  # whatever it is, the next batch is written
                log.error("the audit trail's thread failed", exc_info=error)
