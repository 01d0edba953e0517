"""What is true of the whole fleet, read from the database when the metrics are: keys, secrets, upkeep, clocks.

Whichever worker serves the metrics reads it, at most every few seconds. While the database does not respond, the last
values are served, and their age is a metric too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flask import Flask
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret
from app.clock import monotonic, now
from app.health import conditions
from app.health.readiness import STATEMENT_SECONDS, current_readiness
from app.keys.keystore import current_keystore
from app.storage.database import db
from app.storage.waiting import at_most
from app.upkeep.lease import Lease

FACTS_SECONDS = 10
SOON_SECONDS = 14 * 86_400
MOST_SECRETS = 50
STATES = ("next", "active", "retired")


class Gauge(NamedTuple):
    """A metric of the fleet: its name, what it says, and its labels."""

    name: str
    about: str
    labels: tuple[str, ...] = ()

    def of(self, *samples: tuple[tuple[str, ...], float]) -> Metric:
        family = GaugeMetricFamily(self.name, self.about, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family


CONDITION = Gauge("keyturn_condition_met", "1 if a condition of /health/ready is met, else 0.", ("condition",))
READ = Gauge("keyturn_fleet_read_timestamp_seconds", "When what follows was read from the database.")
AHEAD = Gauge("keyturn_clock_ahead_seconds", "How far this machine's clock is ahead of the database's.")
KEYS = Gauge("keyturn_signing_keys", "Published signing keys, by their state.", ("state",))
SIGNS = Gauge("keyturn_signing_key_signs_since_timestamp_seconds", "Since when the active key signs.", ("kid",))
ENDS = Gauge(
    "keyturn_secret_end_timestamp_seconds", "When a secret ends that ends within 14 days.", ("client_id", "name")
)
ENDING = Gauge("keyturn_secrets_ending", "How many secrets end within 14 days.")
ROUND = Gauge("keyturn_upkeep_last_round_timestamp_seconds", "The end of the last round of upkeep.")
LEASE = Gauge("keyturn_upkeep_lease_end_timestamp_seconds", "Until when a worker has the lease of the upkeep.")
GAUGES = (CONDITION, READ, AHEAD, KEYS, SIGNS, ENDS, ENDING, ROUND, LEASE)


class Fleet(Collector):
    """A collector of prometheus_client, one per worker."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._facts: list[Metric] = []
        self._read_at: float | None = None

    def collect(self) -> Iterator[Metric]:
        with self._app.app_context():
            reasons = current_readiness().reasons()
            if not reasons.keys() & {"database", "schema"}:
                self._read()
        names = ("database", *conditions.CONDITIONS)
        yield CONDITION.of(*(((name,), float(name not in reasons)) for name in names))
        yield from self._facts

    def _read(self) -> None:
        if self._read_at is not None and monotonic() - self._read_at < FACTS_SECONDS:
            return
        try:
            with at_most(STATEMENT_SECONDS):
                self._facts = [READ.of(((), now())), AHEAD.of(((), conditions.seconds_ahead())), *of_keys()]
                self._facts += [*of_secrets(), *of_upkeep()]
        except SQLAlchemyError:
            return  # the next probe or scrape says so
        self._read_at = monotonic()


def of_keys() -> Iterator[Metric]:
    moment = now()
    states = [(row.state(moment), row) for row in current_keystore().rows()]
    found = [state for state, _ in states]
    yield KEYS.of(*(((state,), found.count(state)) for state in STATES))
    yield SIGNS.of(*(((row.kid,), row.signs_from or row.published_at) for state, row in states if state == "active"))


def of_secrets() -> Iterator[Metric]:
    """The secrets that end soon, the earliest first; those that have ended refuse nobody anew."""
    ends_soon = ClientSecret.not_after.between(now() + 1, now() + SOON_SECONDS) & ClientSecret.ended_at.is_(None)
    columns = select(ClientRow.client_id, ClientSecret.name, ClientSecret.not_after)
    joined = columns.join(ClientRow, ClientRow.id == ClientSecret.client_row).where(ends_soon)
    rows = db.session.execute(joined.order_by(ClientSecret.not_after)).all()
    yield ENDS.of(*(((client_id, name), end or 0) for client_id, name, end in rows[:MOST_SECRETS]))
    yield ENDING.of(((), len(rows)))


def of_upkeep() -> Iterator[Metric]:
    lease = db.session.scalar(select(Lease))
    if lease is None:
        return
    if lease.round_at is not None:
        yield ROUND.of(((), lease.round_at))
    yield LEASE.of(((), lease.expires_at))
