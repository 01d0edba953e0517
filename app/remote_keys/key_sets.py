"""Keys that are elsewhere: `find` returns the public keys of a source, fetched if need be.

Each worker has them in memory, the database has them for all workers, and one worker at a time fetches them, if they
are not fresh or lack the key that is needed. What cannot be fetched now stays as it was, for a day.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from app.logs import log
from app.per_app import PerApp
from app.remote_keys import fetching, key_file, known_set, taking_turns
from app.remote_keys.key_file import KeyFiles
from app.remote_keys.key_source import KeySetError, KeySource
from app.remote_keys.known_set import KnownSet
from app.remote_keys.public_key import PublicKey
from app.remote_keys.running_fetches import RunningFetches
from app.storage.failures import cause

MEMORY_SECONDS = 60  # then what another worker has fetched is read
MISSING_SECONDS = 1  # likewise, if what is needed is missing
MAX_SOURCES = 1_000  # in memory


class KeySets:
    """The key sets that this process has in memory."""

    def __init__(self) -> None:
        self.files = KeyFiles()
        self._fetches = RunningFetches()
        self._known: OrderedDict[KeySource, KnownSet] = OrderedDict()

    def find(self, source: KeySource, kid: str | None) -> Sequence[PublicKey]:
        known = self._known.get(source)
        if known is None or known.is_older_than(MEMORY_SECONDS):
            known = self._read(source)
        if not known.is_enough(kid) and known.is_older_than(MISSING_SECONDS):
            known = self._read(source)
        if not known.is_enough(kid) and known.may_be_fetched():
            known = self._waited_for(source, kid, known)
        return known.found(source, kid)

    def _read(self, source: KeySource) -> KnownSet:
        return self._remember(source, known_set.read(source, self._known.get(source)))

    def _remember(self, source: KeySource, known: KnownSet) -> KnownSet:
        self._known[source] = known
        while len(self._known) > MAX_SOURCES:
            self._known.popitem(last=False)
        return known

    def _waited_for(self, source: KeySource, kid: str | None, known: KnownSet) -> KnownSet:
        """What is known after a fetch; before it, if enough requests wait already and the key is there.

        Raises:
            KeySetError: `busy`, if the key is not there.
        """
        app = current_app._get_current_object()  # type: ignore[attr-defined]

        def fetch() -> None:
            with app.app_context():
                self._fetch(source, known)

        if self._fetches.wait(source, known.standing(), fetch):
            return self._known.get(source, known)
        if known.may_be_used() and known.has(kid):
            return known
        raise KeySetError("busy", source=source.host)

    def _fetch(self, source: KeySource, known: KnownSet) -> None:
        try:
            self._remember(source, taking_turns.fetched(source, known))
        except SQLAlchemyError as error:
            log.error("the database failed while a key set was fetched: %s", cause(error))


current_key_sets = PerApp[KeySets]("key_sets")


def init_app(app: Flask) -> None:
    current_key_sets.set(app, KeySets())


def find(source: KeySource, kid: str | None) -> Sequence[PublicKey]:
    """The public keys of a source.

    Args:
        source: Where they are.
        kid: The key that is needed: if the source does not have it yet, it is fetched again, at most once a minute.

    Returns:
        All its keys that can be used, at least one; the one with this `kid` may not be among them.

    Raises:
        KeySetError: If they cannot be had; with the cause `busy` if they may be had in a moment.
    """
    here = current_key_sets()
    return here.files.find(source.address) if source.is_file else here.find(source, kid)


def check(source: KeySource) -> str | None:
    """Fetch the keys of a source now, or read its file, and store nothing.

    Returns:
        Why they cannot be had, as a sentence; None if they can.
    """
    try:
        if source.is_file:
            key_file.read(source.address)
        else:
            fetching.fetch(source)
    except KeySetError as error:
        return str(error)
    return None


def fetch_now(source: KeySource) -> Sequence[PublicKey]:
    """Fetch the keys of a source now, and store them: each worker has them within MEMORY_SECONDS.

    Raises:
        KeySetError: If they cannot be had; then nothing is stored.
    """
    found = fetching.fetch(source)
    taking_turns.store(source, found)
    return found.keys


def last_fetch(source: KeySource) -> KnownSet | None:
    """What the last fetch gave, of any worker; None if there was none."""
    known = known_set.read(source)
    return known if known.fetched_at or known.failure else None
