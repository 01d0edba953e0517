"""The events that a worker has not yet written, in bounded memory.

Each budget has its own room, so that a flood of refusals takes none from issued tokens.
Each row of issued tokens has a prefix of its own, with which the `jti` of every token that it counts begins.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from sqlalchemy.orm import InstrumentedAttribute

from app.audit.event import Budget, Event
from app.clock import HOUR_SECONDS, now
from app.logs import unlike_a_secret

MAX_ROWS = 1_000  # of each budget
MAX_SINGLE_ROWS = 50  # of each budget
MAX_MARKS = 10_000  # of each column
MAX_ADDRESSES = 32  # of each client
OTHER_ADDRESS = "other"
PREFIX_BYTES = 6
PREFIX_CHARACTERS = 8  # of base64url


def new_prefix() -> str:
    return unlike_a_secret(lambda: secrets.token_urlsafe(PREFIX_BYTES))


class Noted(NamedTuple):
    """What equal events have in common."""

    event: Event
    budget: Budget
    client_id: str | None = None
    scope: str | None = None
    reason: str | None = None
    address: str | None = None
    credential: str | None = None
    jti_prefix: str | None = None

    def without_words(self) -> Noted:
        """The event without what a caller can vary at will: of the reason only the code, and nothing of a stranger.

        A stranger claims any client id, and may have any number of addresses.
        """
        code = self.reason.partition(":")[0] if self.reason else None
        if self.budget is Budget.ANONYMOUS:
            return Noted(self.event, self.budget, reason=code)
        return self._replace(reason=code)

    def as_row(self) -> dict[str, Any]:
        # Plain text: drivers differ in how they bind an enum.
        return self._asdict() | {"event": self.event.value, "budget": self.budget.value}


class RowKey(NamedTuple):
    """What one row counts: equal events of an hour, or the one event of a request."""

    noted: Noted
    hour: int
    request_id: str | None


Rows = dict[RowKey, dict[str, Any]]
Marks = dict[InstrumentedAttribute[Any], dict[int, int]]


class Batch:
    """Filled by every thread, emptied by the one that writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Rows = {}
        self._marks: Marks = defaultdict(dict)
        self._sizes: Counter[Budget] = Counter()
        self._singles: Counter[Budget] = Counter()
        self._addresses: set[tuple[str | None, str]] = set()
        self._addresses_of: Counter[str | None] = Counter()
        self._prefixed: dict[Noted, Noted] = {}
        self._dropped = 0

    def with_prefix(self, noted: Noted) -> Noted:
        """An issued token as it must be added: with what its `jti` begins with, and one of the bounded addresses.

        Tokens that are counted in one row have the same prefix, PREFIX_CHARACTERS long. It is random, and another
        one after each batch that is written.
        """
        found = self._prefixed.get(noted)
        if found is None:
            with self._lock:
                noted = self._with_bounded_address(noted)
                found = self._prefixed.get(noted) or noted._replace(jti_prefix=new_prefix())
                if len(self._prefixed) < MAX_ROWS:  # there is no room for a row of any other
                    self._prefixed[noted] = found
        return found

    def add(self, noted: Noted, request_id: str | None) -> None:
        """Add an event: counted with equal ones or, if it has a reason, in a row of its own.

        A batch has MAX_SINGLE_ROWS such rows for each budget. Further events are counted by the code
        that begins their reason: a caller who varies the request makes no more rows than that. Of each client
        such rows have MAX_ADDRESSES addresses at most.
        """
        moment = now()
        with self._lock:
            single = noted.reason is not None and self._singles[noted.budget] < MAX_SINGLE_ROWS
            self._singles[noted.budget] += single
            if not single and noted.reason is not None:
                noted = self._with_bounded_address(noted.without_words())
            key = RowKey(noted, moment // HOUR_SECONDS, request_id if single else None)
            self._add(key, {"at": moment, "request_id": request_id, "count": 1})

    def _with_bounded_address(self, noted: Noted) -> Noted:
        if noted.address is None:
            return noted
        pair = noted.client_id, noted.address
        if pair in self._addresses:
            return noted
        # Each makes a row at least, so no more of them than rows are of any use.
        if self._addresses_of[noted.client_id] >= MAX_ADDRESSES or len(self._addresses) >= MAX_ROWS:
            return noted._replace(address=OTHER_ADDRESS)
        self._addresses.add(pair)
        self._addresses_of[noted.client_id] += 1
        return noted

    def touch(self, column: InstrumentedAttribute[Any], row_id: int, moment: int) -> None:
        """Set a column of one row to a time, in seconds since the epoch; the newest wins."""
        with self._lock:
            marks = self._marks[column]
            if row_id in marks or len(marks) < MAX_MARKS:
                marks[row_id] = moment

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, *, begin_rows: bool = True) -> tuple[Rows, Marks, int]:
        """Empty the batch.

        Args:
            begin_rows: Whether what comes next gets new prefixes; not while nothing can be written, so that equal
                tokens share a row in memory.

        Returns:
            Its rows and marks, and how many events found no room.
        """
        with self._lock:
            if begin_rows:
                self._prefixed, self._addresses, self._addresses_of = {}, set(), Counter()
            taken = self._rows, self._marks, self._dropped
            self._rows, self._marks, self._dropped = {}, defaultdict(dict), 0
            self._sizes, self._singles = Counter(), Counter()
            return taken

    def put_back(self, rows: Rows, marks: Marks) -> None:
        """Put back what was taken and not written, before what has come meanwhile."""
        with self._lock:
            newer, self._rows = self._rows, rows
            self._sizes = Counter(key.noted.budget for key in rows)
            for key, row in newer.items():
                self._add(key, row)
            self._singles = Counter(key.noted.budget for key in self._rows if key.request_id is not None)
            for column, moments in marks.items():
                self._marks[column] = dict(list((moments | self._marks[column]).items())[-MAX_MARKS:])

    def _add(self, key: RowKey, row: dict[str, Any]) -> None:
        if found := self._rows.get(key):
            found |= row | {"count": found["count"] + row["count"]}
        elif self._sizes[key.noted.budget] < MAX_ROWS:
            self._sizes[key.noted.budget] += 1
            self._rows[key] = row
        else:
            self._dropped += row["count"]
