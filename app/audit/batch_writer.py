"""The batch writer: its own thread writes a worker's batch half a second after the first event.

No request waits for it. The batch is also written before this worker reads the trail, and when the
worker ends. What cannot be written stays in memory and is tried again; what no longer fits is dropped,
and the log says how many events that was.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any

from flask import Flask
from sqlalchemy import bindparam, insert, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute

from app.audit.batch import Batch, Marks, Noted, Rows
from app.audit.event import AuditEvent
from app.clock import monotonic
from app.logs import log
from app.storage.database import WRITES, take_turn
from app.storage.reserved import current_reserved

WRITE_SECONDS = 0.5
READER_SECONDS = 1
CLOSE_SECONDS = 8  # with one more attempt still less than `graceful_timeout` in gunicorn.conf.py


class BatchWriter:
    """One per app and process. The thread starts with the first event."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._batch = Batch()
        self._one_writer = threading.Lock()
        self._filled = threading.Event()
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._is_failing = False
        self.dropped = 0  # events that are in the log alone, since this process began

    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._batch)

    def add(self, noted: Noted, request_id: str | None) -> None:
        """Add an event; it is in the table at most a second later."""
        self._batch.add(noted, request_id)
        self._wake()

    def with_prefix(self, noted: Noted) -> Noted:
        """An issued token as it must be added, with what its `jti` must begin with."""
        return self._batch.with_prefix(noted)

    def touch(self, column: InstrumentedAttribute[Any], row_id: int, moment: int) -> None:
        """Set a column of one row with the next batch: for times such as a secret's last use."""
        self._batch.touch(column, row_id, moment)
        self._wake()

    def write(self, *, wait: float = -1) -> bool:
        """Write the batch.

        Args:
            wait: Seconds to wait for another thread that is writing; -1 for as long as it takes.

        Returns:
            False if it was not written and is still in memory.
        """
        if not self._one_writer.acquire(timeout=wait):
            return False
        try:
            return self._write()
        finally:
            self._one_writer.release()

    def write_before_reading(self) -> None:
        """Write the batch, unless the database is failing or slow: a reader does not queue for it."""
        if not self._is_failing:
            self.write(wait=READER_SECONDS)

    def close(self) -> None:
        """Stop the thread, and write the rest."""
        end = monotonic() + CLOSE_SECONDS
        self._closed.set()
        self._filled.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)
        while not self.write(wait=max(0, end - monotonic())):
            if monotonic() >= end:
                log.error("the audit trail could not be written to the end: its last events are only in this log")
                break
            time.sleep(WRITE_SECONDS)
        atexit.unregister(self.close)

    def _write(self) -> bool:
        rows, marks, dropped = self._batch.take(begin_rows=not self._is_failing)
        self.dropped += dropped
        if dropped:
            log.error("the audit trail's memory was full: %d events are only in this log", dropped)
        try:
            if rows or marks:
                self._insert(rows, marks)
                self._log_change(None)
        except (DataError, IntegrityError, ValueError):
            self._insert_singly(rows)
        except SQLAlchemyError as error:
            self._log_change(error)
            self._batch.put_back(rows, marks)
            return False
        return True

    def _insert(self, rows: Rows, marks: Marks) -> None:
        engine = current_reserved.of(self._app)
        with engine.connect().execution_options(**WRITES) as connection:
            take_turn(connection)  # so that ids are committed in their order, as `audit/cursor.py` needs it
            for column, moments in marks.items():
                model: Any = column.class_
                change = update(model).where(model.id == bindparam("row")).values({column: bindparam("moment")})
                connection.execute(change, [{"row": row, "moment": at} for row, at in moments.items()])
            if rows:
                connection.execute(insert(AuditEvent), [key.noted.as_row() | row for key, row in rows.items()])
            connection.commit()

    def _insert_singly(self, rows: Rows) -> None:
        """Insert row by row what cannot be inserted together: one bad row loses no other."""
        for key, row in rows.items():
            try:
                self._insert({key: row}, {})
            except (SQLAlchemyError, ValueError) as error:
                self.dropped += row["count"]
                log.error("the audit trail cannot store %d events: %s", row["count"], type(error).__name__)

    def _log_change(self, error: Exception | None) -> None:
        """Log once when writing begins to fail, and once when it works again."""
        if error and not self._is_failing:
            log.error("the audit trail cannot be written; its events wait in memory: %s", type(error).__name__)
        elif self._is_failing and not error:
            log.warning("the audit trail is written again")
        self._is_failing = error is not None

    def _wake(self) -> None:
        # Threads do not survive a fork: every process starts its own.
        if self._pid != os.getpid():
            with self._starting:
                if self._pid != os.getpid():
                    self._pid = os.getpid()
                    atexit.register(self.close)
                    self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                    self._thread.start()
        if not self._filled.is_set():  # to set it again takes a lock
            self._filled.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._filled.wait()
            self._closed.wait(WRITE_SECONDS)
            self._filled.clear()
            try:
                if not self.write():
                    self._filled.set()
            except Exception as error:  # whatever failed, the next batch is written
                log.error("the audit trail's thread failed", exc_info=error)
