"""What is true of the whole fleet, read from the database when the metrics are: keys, credentials, upkeep, clocks.

Whichever worker serves the metrics reads it, at most every few seconds. While the database does not respond, the last
values are served, and their age is a metric too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from flask import Flask
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.clients.credential_kinds import CREDENTIAL_KINDS
from app.clock import DAY_SECONDS, HOUR_SECONDS, monotonic, now
from app.health import conditions
from app.health.readiness import STATEMENT_SECONDS, current_readiness
from app.keys.keystore import current_keystore
from app.remote_keys import key_sets
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.remote_keys.key_source import KeySource
from app.settings import current_settings
from app.storage import database_clock
from app.storage.database import db
from app.storage.waiting import at_most
from app.upkeep.lease import ONLY, Lease, last_round
from app.upkeep.warnings import ending

FACTS_SECONDS = 10
SOON_SECONDS = 14 * DAY_SECONDS
MOST = 50
KINDS = (*CREDENTIAL_KINDS, "key")
STATES = ("standby", "next", "active", "retired")


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
KEY_FILE = Gauge(
    "keyturn_key_set_file_usable", "1 if a key set file of an issuer can be used as it is now, else 0.", ("file",)
)
READ = Gauge("keyturn_fleet_read_timestamp_seconds", "When what follows was read from the database.")
AHEAD = Gauge("keyturn_clock_ahead_seconds", "How far this machine's clock is ahead of the database's.")
KEYS = Gauge("keyturn_signing_keys", "Published signing keys, by their state.", ("state",))
SIGNS = Gauge("keyturn_signing_key_signs_since_timestamp_seconds", "Since when the active key signs.", ("kid",))
ENDS = Gauge(
    "keyturn_end_timestamp_seconds",
    "When what ends within 14 days does so: a secret, key or trust of a client, or the active key.",
    ("kind", "client_id", "name"),
)
ENDING = Gauge("keyturn_ending", "How many end within 14 days.", ("kind",))
ROUND = Gauge("keyturn_upkeep_last_round_timestamp_seconds", "The end of the last round of upkeep.")
REMOVED = Gauge("keyturn_upkeep_removed_rows", "What the last round of upkeep has removed.", ("what",))
HELD = Gauge("keyturn_upkeep_lease_held", "1 while a worker does a round of upkeep, else 0.")
FAILURES = Gauge(
    "keyturn_key_set_failures", "Fetches of a key set that failed in a row, the last within an hour.", ("source",)
)
STALE = Gauge(
    "keyturn_key_set_stale_seconds",
    "How long such a key set is past its freshness; after a day it is not used.",
    ("source",),
)
GAUGES = (FAILURES, STALE, KEY_FILE, CONDITION, READ, AHEAD, KEYS, SIGNS, ENDS, ENDING, ROUND, REMOVED, HELD)


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
            files = KEY_FILE.of(*key_files())
        names = ("database", *conditions.CONDITIONS)
        yield CONDITION.of(*(((name,), float(name not in reasons)) for name in names))
        yield files
        yield from self._facts

    def forget(self) -> None:
        """Read the database again for the next scrape, however soon it comes."""
        self._read_at = None

    def _read(self) -> None:
        if self._read_at is not None and monotonic() - self._read_at < FACTS_SECONDS:
            return
        try:
            with at_most(STATEMENT_SECONDS):
                ahead = AHEAD.of(((), database_clock.seconds_ahead()))
                self._facts = [READ.of(((), now())), ahead, *of_keys(), *of_endings(), *of_key_sets(), *of_upkeep()]
        except SQLAlchemyError:
            return  # the next probe or scrape says so
        self._read_at = monotonic()


def of_keys() -> Iterator[Metric]:
    moment = now()
    states = [(row.state(moment), row) for row in current_keystore().rows()]
    found = [state for state, _ in states]
    yield KEYS.of(*(((state,), found.count(state)) for state in STATES))
    yield SIGNS.of(*(((row.kid,), row.signs_since() or row.published_at) for state, row in states if state == "active"))


def of_endings() -> Iterator[Metric]:
    """What ends soon, the earliest first."""
    found = [(each["kind"].removesuffix("_ends"), each) for each in ending(SOON_SECONDS)]
    yield ENDS.of(*(((kind, each["client_id"] or "", each["name"]), each["at"]) for kind, each in found[:MOST]))
    kinds = Counter(kind for kind, _ in found)
    yield ENDING.of(*(((kind,), kinds[kind]) for kind in KINDS))


def key_files() -> Iterator[tuple[tuple[str], float]]:
    """Each key set file of this machine, and whether it can be used: what a worker read before hides that it cannot."""
    for each in current_settings().issuers:
        if file := each.jwks_file:
            yield (file,), float(key_sets.check(KeySource(file, is_file=True)) is None)


def of_key_sets() -> Iterator[Metric]:
    """The sources whose last fetch failed; of one that nobody needs any more, nothing: it is not fetched again."""
    tried_lately = FetchedKeySet.next_try_at > now() - HOUR_SECONDS
    query = select(FetchedKeySet).where(FetchedKeySet.failures > 0, tried_lately)
    found = db.session.scalars(query.order_by(FetchedKeySet.failures.desc()).limit(MOST)).all()
    yield FAILURES.of(*(((each.source,), each.failures) for each in found))
    yield STALE.of(*(((each.source,), max(0, now() - each.fresh_until)) for each in found if each.jwks))


def of_upkeep() -> Iterator[Metric]:
    """The last round that a worker of any server has completed; of one that has not been, nothing."""
    at, report = last_round()
    if at is not None:
        yield ROUND.of(((), at))
        yield REMOVED.of(*(((what,), number) for what, number in report.get("removed", {}).items()))
    lease = db.session.get(Lease, ONLY)
    yield HELD.of(((), lease is not None and lease.is_held(database_clock.read())))
