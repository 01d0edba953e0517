"""A worker's thread that counts: the notes of requests every second, its own gauges, and who serves the metrics."""

from __future__ import annotations

import threading
import time

from flask import Flask
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.audit import trail
from app.authentication.limits import current_limits
from app.clients.client_row import ClientRow
from app.clock import monotonic
from app.health.fleet import Fleet
from app.health.readiness import STATEMENT_SECONDS
from app.logs import log
from app.metrics.counting import Counting
from app.metrics.families import VERSION, Families
from app.metrics.listener import Turn
from app.metrics.notes import current_notes
from app.metrics.shared_files import Shared
from app.per_app import PerApp
from app.settings import current_settings
from app.settings.reading import VARIABLES
from app.storage.database import db
from app.storage.fast_statement import current_connections
from app.storage.reserved import current_reserved
from app.storage.waiting import at_most, on_the_network

TICK_SECONDS = 0.5
CLIENTS_SECONDS = 60
RETRY_SECONDS = 5
LIMITS = frozenset(variable for variable in VARIABLES if variable.startswith("KEYTURN_LIMIT_"))


class Measuring:
    """One per worker."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self.families = Families()
        self.counting = Counting(self.families, current_notes.of(app), LIMITS)
        registry = CollectorRegistry()
        registry.register(Shared())
        registry.register(Fleet(app))
        self._turn = Turn(current_settings.of(app).metrics_bind, registry)
        self._dropped = 0
        self._alone_until = 0.0
        self._clients_due = 0.0
        self._has_failed = False

    def start(self) -> None:
        self.families.info.labels(VERSION).set(1)
        self.families.workers.set(1)
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def end(self) -> None:
        """Let another worker serve the metrics, and count what the last requests have left."""
        self._turn.end()
        self.counting.count()

    def _run(self) -> None:
        while True:
            try:
                self._turn.take()
                self.sample()
            except Exception as error:  # whatever failed, the next one counts
                if not self._has_failed:
                    log.error("the metrics' thread failed", exc_info=error)
                self._has_failed = True
            time.sleep(TICK_SECONDS)

    def sample(self) -> None:
        """Count the notes, and set the gauges."""
        self._read_clients()
        self.counting.count()
        self._sample_trail()
        self._sample_limits()
        self._sample_database()

    def _read_clients(self) -> None:
        """Find which clients have a label: the first that were registered, so that every machine has the same."""
        if monotonic() < self._clients_due:
            return
        most = current_settings.of(self._app).metrics_clients
        first = select(ClientRow.client_id).order_by(ClientRow.id).limit(most)
        try:
            with self._app.app_context(), at_most(STATEMENT_SECONDS):
                self.counting.named = frozenset(db.session.scalars(first))
            self._clients_due = monotonic() + CLIENTS_SECONDS
        except SQLAlchemyError:
            self._clients_due = monotonic() + RETRY_SECONDS  # until then those that were found before

    def _sample_trail(self) -> None:
        batch = trail.current_batch.of(self._app)
        self.families.audit_waiting.set(batch.waiting())
        dropped = batch.dropped
        self.families.dropped.inc(dropped - self._dropped)
        self._dropped = dropped

    def _sample_limits(self) -> None:
        until = current_limits.of(self._app).alone_until
        self.families.alone.set(until > monotonic())
        self.families.redis_lost.inc(until > self._alone_until)
        self._alone_until = until

    def _sample_database(self) -> None:
        with self._app.app_context():
            pool = db.engine.pool
            size: int = pool.size() + pool._max_overflow  # type: ignore[attr-defined]
        reserved = current_reserved.of(self._app)
        uses = {"pool_busy": pool.checkedout(), "pool_idle": pool.checkedin()}  # type: ignore[attr-defined]
        uses["reserved"] = reserved.pool.checkedin() + reserved.pool.checkedout()  # type: ignore[attr-defined]
        uses["thread"] = len(current_connections.of(self._app))
        for use, number in uses.items():
            self.families.connections.labels(use).set(number)
        self.families.pool_limit.set(size)
        self.families.threads_waiting.set(len(on_the_network))
        self.families.threads_limit.set(on_the_network.count)


current_measuring = PerApp[Measuring]("measuring")


def start(app: object) -> None:
    """Count and serve metrics in this worker, if KEYTURN_METRICS_BIND is set.

    Args:
        app: What gunicorn serves.
    """
    if not isinstance(app, Flask) or "metrics_notes" not in app.extensions:
        log.error("KEYTURN_METRICS_BIND has no effect: what gunicorn serves is not Keyturn's app, as wsgi.py makes it")
        return
    current_measuring.set(app, Measuring(app))
    current_measuring.of(app).start()


def finish(app: object) -> None:
    """End the measuring of a worker that has served its last request."""
    if isinstance(app, Flask) and "measuring" in app.extensions:
        current_measuring.of(app).end()
