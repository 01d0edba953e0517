"""Every metric that a worker counts: its name, its labels, and what it says. docs/metrics.md has the same table.

Imported by a worker that serves metrics, and by no other: in its multi-process mode prometheus_client decides at its
own import, by an environment variable, where values are stored (`shared_files.py`).
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

VERSION = "0.1.0"  # as in pyproject.toml
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Families:
    """The metrics of one process, on a registry of its own.

    On the library's own registry a second set would be refused: a development server that reloads its code makes one.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count_requests()
        self._count_trail()
        self._gauge_worker()

    def _count_requests(self) -> None:
        self.tokens = self._counter("keyturn_tokens_issued", "Access tokens issued.", "client_id", "format")
        self.refusals = self._counter(
            "keyturn_refusals", "Requests that were refused or failed.", "error", "status", "check"
        )
        self.limits = self._counter("keyturn_limit_exceeded", "Requests refused by a limit.", "setting")
        self.seconds = Histogram(
            "keyturn_request_seconds",
            "Seconds in the app, without the wait for a thread.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )

    def _count_trail(self) -> None:
        self.dropped = self._counter("keyturn_audit_events_dropped", "Events that are in the log, but in no table.")
        self.redis_lost = self._counter("keyturn_redis_lost", "How often a worker began to count limits by itself.")

    def _gauge_worker(self) -> None:
        self.info = self._gauge("keyturn_info", "How many workers run this version.", "version")
        self.workers = self._gauge("keyturn_workers", "Workers that serve.")
        self.audit_waiting = self._gauge("keyturn_audit_rows_waiting", "Rows of the trail that are not written yet.")
        self.alone = self._gauge("keyturn_workers_counting_alone", "Workers that count limits without Redis.")
        self.connections = self._gauge(
            "keyturn_database_connections", "Connections to the database, by what they are for.", "use"
        )
        self.pool_limit = self._gauge("keyturn_database_pool_limit", "The most connections of the workers' pools.")
        self.threads_waiting = self._gauge("keyturn_database_threads_waiting", "Threads that wait for the database.")
        self.threads_limit = self._gauge("keyturn_database_threads_limit", "The most threads that may wait for it.")

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        # Without a mode each process has a series of its own, by its pid, also after its end; `livesum` adds those
        # of the workers that live.
        return Gauge(name, about, labels, registry=self.registry, multiprocess_mode="livesum")
