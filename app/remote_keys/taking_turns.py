"""One fetch of a source at a time, by all workers of all machines: the row in the database decides whose turn it is."""

from __future__ import annotations

import time

from app.clock import now
from app.logs import log
from app.remote_keys import fetching, known_set, public_key
from app.remote_keys.careful_get import SECONDS
from app.remote_keys.fetched_key_set import CLAIM, FAIL_OWN, STORE, STORE_OWN
from app.remote_keys.fetching import Fetched
from app.remote_keys.key_source import KeySetError, KeySource
from app.remote_keys.known_set import FAR_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, KnownSet, text_of

CLAIM_SECONDS = SECONDS + 2  # whoever claimed it and was killed holds it up no longer
REFRESH_SECONDS = 60  # at least, between two fetches for a key that is missing
POLL_SECONDS = 0.1


def fetched(source: KeySource, known: KnownSet) -> KnownSet:
    """Fetch a source, or wait for the worker that does so now.

    Args:
        source: The source.
        known: What this process has read about it.
    """
    moment = now()
    claim = moment + CLAIM_SECONDS
    if not CLAIM.run(source=source.name, until=claim, moment=moment, far=moment + FAR_SECONDS):
        return awaited(source, known)
    try:
        found = fetching.fetch(source)
    except KeySetError as error:
        log.warning("%s", error)
        store_failure(source, known, error, claim=claim)
        return known_set.read(source, known)
    store(source, found, claim=claim)
    if known.failures:
        log.info("the key set from %s has been fetched again", source.host)
    return known_set.read(source, known)


def awaited(source: KeySource, known: KnownSet) -> KnownSet:
    """What another worker fetches now, or has fetched meanwhile."""
    end = time.monotonic() + SECONDS
    while True:
        found = known_set.read(source, known)
        if found.claimed_until <= now() or time.monotonic() >= end:
            return found
        time.sleep(POLL_SECONDS)


def store(source: KeySource, found: Fetched, *, claim: int | None = None) -> None:
    """Store a key set.

    Args:
        source: Where it is from.
        found: The key set.
        claim: Until when this worker has claimed the source: nothing is stored if another has claimed it meanwhile.
            None stores it in any case.
    """
    moment = now()
    row = {
        "source": source.name,
        "jwks": public_key.written(found.keys),
        "fetched_at": moment,
        "fresh_until": moment + found.fresh_seconds,
        "claimed_until": 0,
        "next_try_at": moment + REFRESH_SECONDS,
        "failures": 0,
        "failure": "",
    }
    if claim is None:
        STORE.run(**row)
    else:
        STORE_OWN.run(**row, claim=claim)


def store_failure(source: KeySource, known: KnownSet, error: KeySetError, *, claim: int) -> None:
    failures = known.failures + 1
    pause = min(FIRST_PAUSE_SECONDS << min(failures - 1, 5), LONGEST_PAUSE_SECONDS)
    result = {"next_try_at": now() + pause, "failures": failures, "failure": text_of(error)}
    FAIL_OWN.run(source=source.name, claimed_until=0, **result, claim=claim)
