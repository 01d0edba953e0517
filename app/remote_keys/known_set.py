"""What this process has read about a source of keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from app import clock
from app.clock import DAY_SECONDS, LEEWAY_SECONDS, now
from app.remote_keys import public_key
from app.remote_keys.fetched_key_set import FIND
from app.remote_keys.key_source import KeySetError, KeySource
from app.remote_keys.public_key import PublicKey
from app.remote_keys.running_fetches import Standing

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10, 300  # after a failure, and after many
FAR_SECONDS = LONGEST_PAUSE_SECONDS + LEEWAY_SECONDS  # what is farther ahead was written with a wrong clock
LAST_GOOD_SECONDS = DAY_SECONDS  # past its freshness, while the source is down


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A row of `fetched_key_sets`, as it was at `read_at` by the clock that nobody sets."""

    read_at: float
    jwks: str = ""
    keys: tuple[PublicKey, ...] = ()
    fetched_at: int = 0
    fresh_until: int = 0
    claimed_until: int = 0
    next_try_at: int = 0
    failures: int = 0
    failure: KeySetError | None = None

    def has(self, kid: str | None) -> bool:
        """Whether it has a key of this `kid`; of any, if none is named."""
        return bool(self.keys) if kid is None else any(each.kid == kid for each in self.keys)

    def is_enough(self, kid: str | None) -> bool:
        """Whether nothing needs to be fetched."""
        return self.has(kid) and self.fetched_at - LEEWAY_SECONDS <= now() < self.fresh_until

    def may_be_fetched(self) -> bool:
        """Whether it is not too soon after the last fetch, or its failure."""
        return not now() < self.next_try_at <= now() + FAR_SECONDS

    def is_older_than(self, seconds: float) -> bool:
        return clock.monotonic() - self.read_at > seconds

    def may_be_used(self) -> bool:
        """Whether it is fresh, or the last good set of a source that is down, and not too old for that."""
        return bool(self.keys) and now() < self.fresh_until + LAST_GOOD_SECONDS

    def standing(self) -> Standing:
        if self.failures:
            return Standing.FAILED
        return Standing.GOOD if self.keys else Standing.NEW

    def found(self, source: KeySource, kid: str | None) -> tuple[PublicKey, ...]:
        """The keys, for a request that needs the one with this `kid`.

        Raises:
            KeySetError: Why there are none, or why that one may be missing.
        """
        if self.may_be_used() and (self.has(kid) or not self.failure):
            return self.keys
        raise self.failure.again() if self.failure else KeySetError("busy", source=source.host)


def read(source: KeySource, last: KnownSet | None = None) -> KnownSet:
    """What the database has about a source, by one statement; nothing of a set that is known is parsed again."""
    found = FIND.run(source=source.name)
    if not found:
        return KnownSet(clock.monotonic())
    row = found[0]
    return KnownSet(
        read_at=clock.monotonic(),
        jwks=row.jwks,
        keys=last.keys if last and last.jwks == row.jwks else keys_of(row.jwks),
        fetched_at=row.fetched_at,
        fresh_until=row.fresh_until,
        claimed_until=row.claimed_until,
        next_try_at=row.next_try_at,
        failures=row.failures,
        failure=error_of(row.failure),
    )


def keys_of(jwks: str) -> tuple[PublicKey, ...]:
    return public_key.read(jwks, "the database") if jwks else ()


def error_of(text: str) -> KeySetError | None:
    """The error that `text_of` has written; None for an empty text."""
    if not text:
        return None
    stored: dict[str, Any] = json.loads(text)
    return KeySetError(stored.pop("cause"), **stored)


def text_of(error: KeySetError) -> str:
    return json.dumps({"cause": error.cause, **error.words})
