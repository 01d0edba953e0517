"""Whether this worker can issue tokens now: the conditions, each with a bound on how long it waits.

A probe may come from anyone, as often as it likes: a worker evaluates the conditions at most once a second, and one
thread does it. The log has a line when they change, and none for a probe.
"""

from __future__ import annotations

import threading

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.clock import monotonic
from app.health.conditions import CONDITIONS
from app.logs import log
from app.per_app import PerApp
from app.storage.failures import cause
from app.storage.waiting import at_most

# How long a statement may wait; probes should wait a little longer.
STATEMENT_SECONDS = 2
# How long a result is used again, and how long a probe waits for the thread that finds the next one.
RESULT_SECONDS = 1
WAIT_SECONDS = 2

NO_RESPONSE = "The database does not respond: this server's log has the cause."
NOT_IN_TIME = f"The database has not responded within {WAIT_SECONDS} seconds."

Reasons = dict[str, str]


class Readiness:
    """One per app."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._reasons: Reasons = {}
        self._found_at: float | None = None

    def reasons(self) -> Reasons:
        """Why this worker is not ready, a sentence for each condition that is not met; empty if it is ready."""
        if not self._one_at_a_time.acquire(timeout=WAIT_SECONDS):
            return {"database": NOT_IN_TIME}
        try:
            if self._found_at is None or monotonic() - self._found_at >= RESULT_SECONDS:
                self._look()
            return self._reasons
        finally:
            self._one_at_a_time.release()

    def forget(self) -> None:
        """Evaluate the conditions again for the next probe, however soon it comes."""
        self._found_at = None

    def _look(self) -> None:
        try:
            with at_most(STATEMENT_SECONDS):
                found = unmet()
        except SQLAlchemyError as error:
            found = {"database": NO_RESPONSE}
            if "database" not in self._reasons:
                log.error("the database does not respond: %s", cause(error))
        if found != self._reasons:
            log_change(found, before=self._reasons)
        self._reasons, self._found_at = found, monotonic()


def unmet() -> Reasons:
    """The sentence of each condition that is not met.

    Raises:
        SQLAlchemyError: If the database does not respond.
    """
    found: Reasons = {}
    for name, condition in CONDITIONS.items():
        if sentence := condition():
            found[name] = sentence
        if "schema" in found:
            break  # the others read its tables
    return found


def log_change(found: Reasons, *, before: Reasons) -> None:
    """Log what has begun to stand in the way, not how a number in it changes."""
    for name in found.keys() - before.keys():
        log.warning("not ready: %s", found[name])
    if before and not found:
        log.warning("ready again")


current_readiness = PerApp[Readiness]("readiness")


def init_app(app: Flask) -> None:
    current_readiness.set(app, Readiness())
