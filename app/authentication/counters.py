"""The counters of a worker's own limits, in its memory.

The library's own `MemoryStorage` starts a timer thread when it is created, and one for nearly every count, and
compares with a clock that may be set back. These counters are bounded and use the monotonic clock.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass
from time import monotonic

from limits.storage.base import Storage

MAX_KEYS = 100_000  # some 20 MiB


@dataclass(slots=True)
class Window:
    """How often something happened, and the end of the window, on the monotonic clock."""

    count: int
    ends_at: float


class Counters(Storage):
    """The storage of a `FixedWindowRateLimiter`."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.ends_at <= monotonic():
                if len(self._windows) >= MAX_KEYS:
                    self._make_room()
                window = self._windows[key] = Window(0, monotonic() + expiry)
            window.count += amount
            return window.count

    def _make_room(self) -> None:
        """Drop the windows that have ended and, if that is not enough, those with the lowest counts.

        Never all of them: a flood of senders that failed once should not free one that is at its limit.
        """
        moment = monotonic()
        self._windows = {key: window for key, window in self._windows.items() if window.ends_at > moment}
        if len(self._windows) >= MAX_KEYS:
            least = heapq.nsmallest(MAX_KEYS // 10, self._windows.items(), key=lambda item: item[1].count)
            for key, _ in least:
                del self._windows[key]

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return window.count if window and window.ends_at > monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """The end of the window, in seconds since the epoch, as the library wants it."""
        window = self._windows.get(key)
        return time.time() + (window.ends_at - monotonic() if window else 0)

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)
