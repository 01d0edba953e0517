"""Which fetches run in this process, and how many requests wait for them: a slow source must not hold up others.

A fetch is a thread of its own, as nothing can interrupt the resolver. What a source did last decides how much it may
take: one whose last fetch failed starts a fetch, or is waited for, only if no other is; one without keys yet leaves a
thread free for those that had good ones, and one request waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import IntEnum

from app.remote_keys.careful_get import SECONDS
from app.remote_keys.key_source import KeySource

MAX_WAITING = 2  # of the eight threads of a worker
GRACE_SECONDS = 0.5  # for what comes before and after the fetch itself


class Standing(IntEnum):
    """What a source did last; the value is how many fetches may run, with its own."""

    FAILED = 1
    NEW = 2
    GOOD = 3


class Fetch:
    """A fetch that runs."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ends_at = time.monotonic() + SECONDS + GRACE_SECONDS
        self.waiting = 0


class RunningFetches:
    """The fetches that run in one process, one at a time for each source."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[KeySource, Fetch] = {}
        self._waiting = 0

    def wait(self, source: KeySource, standing: Standing, fetch: Callable[[], None]) -> bool:
        """Wait until a source has been fetched, by a fetch that runs already or by a new one.

        Args:
            source: What is fetched.
            standing: What it did last.
            fetch: Fetches it; it runs in a thread of its own, and raises nothing.

        Returns:
            False if enough requests wait already, or it takes too long; the fetch may run on.
        """
        running = self._joined(source, standing, fetch)
        if running is None:
            return False
        try:
            return running.done.wait(max(0, running.ends_at - time.monotonic()))
        finally:
            with self._lock:
                running.waiting -= 1
                self._waiting -= 1

    def _joined(self, source: KeySource, standing: Standing, fetch: Callable[[], None]) -> Fetch | None:
        with self._lock:
            running = self._running.get(source)
            if running is None:
                if len(self._running) >= standing:
                    return None
                running = self._started(source, fetch)
            may_join = standing is Standing.GOOD or not running.waiting
            if not may_join or self._waiting >= min(standing, MAX_WAITING):
                return None
            running.waiting += 1
            self._waiting += 1
            return running

    def _started(self, source: KeySource, fetch: Callable[[], None]) -> Fetch:
        running = Fetch()

        def run() -> None:
            try:
                fetch()
            finally:
                with self._lock:
                    del self._running[source]
                running.done.set()

        threading.Thread(target=run, name="key-set-fetch", daemon=True).start()
        self._running[source] = running  # `run` needs the lock, which is held here, to remove it
        return running
