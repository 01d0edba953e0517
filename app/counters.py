"""This file is the counters of one worker: a storage of the library `limits`, in a dict.

The library's own memory begins a thread for nearly every count, and keeps a lock for every key.
"""

from __future__ import annotations

import threading
import time

from limits.storage import Storage

MAX_KEYS = 100_000  # some 20 MiB


class Counters(Storage):
    STORAGE_SCHEME = None
    base_exceptions = ()  # nothing here can fail

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> int:
        count, end = self._counts.get(key, (0, 0))
        return count if time.time() < end else 0

    def get_expiry(self, key: str) -> float:
        """The second in which the key begins anew."""
        return self._counts.get(key, (0, time.time()))[1]

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        with self._lock:
            if len(self._counts) >= MAX_KEYS:
                self._make_room()
            count = self.get(key) + amount
            end = self._counts[key][1] if count > amount else time.time() + expiry
            self._counts[key] = count, end
        return count

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    def reset(self) -> int:
        count = len(self._counts)
        self._counts = {}
        return count

    def check(self) -> bool:
        return True

    def _make_room(self) -> None:
        moment = time.time()
        self._counts = {key: value for key, value in self._counts.items() if value[1] > moment}
        if len(self._counts) >= MAX_KEYS:
            self._counts = {}  # so many senders fail that it is better to count anew than to grow
