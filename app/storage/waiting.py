"""How many threads of a process may wait for the database: some are left for requests that need none.

Keys, metadata and pages are served while the database is frozen, and tokens while writers wait for each other.
While the database is quick, a thread that finds no place waits for one. Once another has been inside for
SLOW_SECONDS, a thread that finds no place is refused at once: `temporarily_unavailable`, with `Retry-After`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy import exc

SLOW_SECONDS = 1.0
# As in `gunicorn.conf.py`; its `post_worker_init` passes the worker's real number to `serve_with`.
THREADS = 8
SPARE_THREADS = 2


class TooManyWaitError(exc.TimeoutError):
    """As many threads as may wait for the database do so already."""


class Places:
    """At most `count` threads are inside at once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._left = threading.Condition(threading.Lock())
        self._since: dict[int, float] = {}  # by thread; the first has been inside the longest
        self._queue: list[int] = []  # the threads that wait, in their order

    def enter(self, *, always: bool = False) -> None:
        """Take a place.

        Args:
            always: Even if none is free: this thread is in a transaction that it must end.

        Raises:
            TooManyWaitError: If none is free, and none will be soon.
        """
        with self._left:
            if not always and (self._queue or len(self._since) >= self.count):
                self._wait()
            self._since[threading.get_ident()] = time.monotonic()

    def _wait(self) -> None:
        """Wait in turn: a thread that leaves is back before one that waits has woken up, and would starve it."""
        own = threading.get_ident()
        moment = time.monotonic()
        end = moment + SLOW_SECONDS
        self._queue.append(own)
        try:
            while self._queue[0] != own or len(self._since) >= self.count:
                slow_at = min(end, next(iter(self._since.values()), end) + SLOW_SECONDS)
                if moment >= slow_at:
                    raise TooManyWaitError(f"{len(self._since)} threads already wait for the database")
                self._left.wait(slow_at - moment)
                moment = time.monotonic()
        finally:
            self._queue.remove(own)
            self._left.notify_all()

    def leave(self) -> None:
        with self._left:
            self._since.pop(threading.get_ident(), None)
            if self._queue:
                self._left.notify_all()

    def __len__(self) -> int:
        return len(self._since)

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()


# One of each per process, not per app: threads belong to the process.
on_the_network = Places(THREADS - SPARE_THREADS)
writers = Places(THREADS // 2)


def serve_with(threads: int) -> None:
    """Set the number of threads with which this process serves requests."""
    on_the_network.count = max(1, threads - SPARE_THREADS)
    writers.count = max(1, threads // 2)


_patience = threading.local()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let no statement of this thread wait for PostgreSQL longer than `seconds`."""
    before = getattr(_patience, "seconds", None)
    _patience.seconds = patience(seconds)
    try:
        yield
    finally:
        _patience.seconds = before


def patience(seconds: float | None) -> float | None:
    """How long a statement with this bound may wait now, in seconds; None is without a bound."""
    own: float | None = getattr(_patience, "seconds", None)
    if own is None or seconds is None:
        return seconds
    return min(own, seconds)
