"""The thread of each worker that does a round of the upkeep when one is due and no other worker does it.

It looks every TICK_SECONDS or so: at random, so that the workers of a fleet do not all look at once. A worker that
dies in a round is replaced by another after LEASE_SECONDS and one tick at most: within a minute.
"""

from __future__ import annotations

import atexit
import random
import threading
from typing import Any

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.audit.retention import ClocksDifferError, Trimmer, check_clock
from app.logs import log
from app.settings import current_settings
from app.storage.database import db
from app.storage.failures import cause
from app.upkeep import lease, round  # noqa: A004, the name that people say
from app.upkeep.round import ROUND_SECONDS, StoppedError

TICK_SECONDS = (10.0, 20.0)
JOIN_SECONDS = 5.0
CLOCK = "clock"


class UpkeepThread:
    """One per process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stopped = threading.Event()
        self._trimmer = Trimmer()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        atexit.register(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """End before the next step, and let another worker have the lease."""
        self._stopped.set()
        self._thread.join(JOIN_SECONDS)

    def tick(self) -> bool:
        """Do a round if one is due.

        Returns:
            Whether this worker has done one.
        """
        with self._app.app_context():
            try:
                self._trimmer.look()
                self._check_clock()
                if not lease.is_free_and_due(ROUND_SECONDS):
                    return False
                report = round.run(trimmer=self._trimmer, every=ROUND_SECONDS, is_stopped=self._stopped.is_set)
            except (lease.BusyError, lease.NotDueError, StoppedError):
                return False  # another worker does it, or has done it
            except lease.LostError as error:
                log.warning("a round of the upkeep was not finished here: %s", error)
                return False
            except ClocksDifferError as error:
                self._log_once(str(error), CLOCK)  # the seconds in its text change
                return False
            except SQLAlchemyError as error:
                self._log_once(cause(error), cause(error))
                return False
            finally:
                db.session.remove()
            self._problem = ""
            log_report(report)
            return True

    def _check_clock(self) -> None:
        """Compare the clocks at each tick: another worker may do every round, and this one's tokens are refused."""
        check_clock()
        if self._problem == CLOCK:
            self._problem = ""

    def _log_once(self, sentence: str, problem: str) -> None:
        """Log what prevents a round when it begins to, and not at every tick."""
        if problem != self._problem:
            log.error("the upkeep cannot be done, and is tried again: %s", sentence)
        self._problem = problem

    def _run(self) -> None:
        while not self._stopped.wait(random.uniform(*TICK_SECONDS)):  # noqa: S311, nobody gains by guessing it
            try:
                self.tick()
            except Exception as error:  # whatever failed, the next round is tried
                log.error("the upkeep failed", exc_info=error)


def log_report(report: dict[str, Any]) -> None:
    """Log what was removed; a change of the keys has an event of its own."""
    done = [f"{count} {what} removed" for what, count in report["removed"].items() if count]
    if done:
        log.info("upkeep: %s", ", ".join(done))


def start(app: Flask) -> None:
    """Start it in a worker, after the fork, unless KEYTURN_UPKEEP is off."""
    if current_settings.of(app).upkeep == "on":
        UpkeepThread(app).start()
