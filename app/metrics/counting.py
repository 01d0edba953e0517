"""Counting: the notes of requests become metrics, once a second and in one thread of each worker."""

from __future__ import annotations

import re
import threading
from collections import defaultdict, deque
from collections.abc import Set
from typing import Any

from app.metrics.families import Families
from app.metrics.notes import Note

OTHER = "other"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
FAILURE = ("server_error", "500", "none")
SETTING = re.compile(r"\((KEYTURN_LIMIT_[A-Z]+)\)$")  # how the reason of a limit ends


class Counting:
    """One per worker.

    Args:
        families: The metrics.
        notes: Filled by requests, emptied here.
        limits: The settings of the limits, which begin at 0.
    """

    def __init__(self, families: Families, notes: deque[tuple[Any, ...]], limits: Set[str]) -> None:
        self._families = families
        self._notes = notes
        self._one_at_a_time = threading.Lock()  # the worker's main thread counts too, as it ends
        self.named: Set[str] = frozenset()  # the clients that have a label of their own
        for setting in limits:
            families.limits.labels(setting)
        families.refusals.labels(*FAILURE)  # from 0: an alert does not see the first one of a series that is new

    def count(self) -> None:
        """Count all notes that there are."""
        with self._one_at_a_time:
            self._count()

    def _count(self) -> None:
        tokens: dict[tuple[str, str], int] = defaultdict(int)
        refusals: dict[tuple[str, str, str], int] = defaultdict(int)
        seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        while self._notes:
            note = Note(*self._notes.popleft())
            seconds[self._method(note), note.route or "none", f"{note.status // 100}xx"].append(note.seconds)
            if note.client_id:
                tokens[self._client(note), "opaque" if note.is_opaque else "jwt"] += 1
            if note.error:
                refusals[note.error, str(note.status), note.check or "none"] += 1
                self._count_limit(note)
        self._add(tokens, refusals, seconds)

    def _add(self, tokens: Any, refusals: Any, seconds: dict[tuple[str, str, str], list[float]]) -> None:
        for labels, number in tokens.items():
            self._families.tokens.labels(*labels).inc(number)
        for labels, number in refusals.items():
            self._families.refusals.labels(*labels).inc(number)
        for labels, durations in seconds.items():
            histogram = self._families.seconds.labels(*labels)
            for each in durations:
                histogram.observe(each)

    def _client(self, note: Note) -> str:
        return note.client_id if note.client_id in self.named else OTHER  # type: ignore[return-value]

    def _method(self, note: Note) -> str:
        return note.method if note.method in METHODS else OTHER  # a caller may send any word

    def _count_limit(self, note: Note) -> None:
        if note.status == 429 and (found := SETTING.search(note.reason or "")):
            self._families.limits.labels(found[1]).inc()
