"""The checks that a request has to pass, each declared in the file that makes it.

The line `making.now.check = MEDIA_TYPE` stands immediately before a check and says which one it is.
Each request sets it and nobody reads it: it is an assignment, calls no function, and the next one replaces it.
Only a request that asks for its checks gets a `Record`, for its thread and until its response, and that one
lists them: see `app/playground/recording.py`.
Each check was passed when the next one began; if the request is refused, the last one failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.per_app import PerApp

DECLARED: dict[str, Check] = {}


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Args:
        name: Its name in `X-Keyturn-Checks`, unique.
        sentence: What is true when it is passed.
        source: The RFC and section that require it, or "our own".
    """

    name: str
    sentence: str
    source: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    def __post_init__(self) -> None:
        if self.name in DECLARED:
            raise ValueError(f"two checks have the name {self.name}")
        DECLARED[self.name] = self


class Unrecorded:
    """What most requests set: the check that was begun last, which nobody reads.

    `has_failed` says that this check has failed although the request goes on, as for a token that is not active.
    """

    __slots__ = ("check", "has_failed")

    is_recorded = False

    check: Check
    has_failed: bool


class Record(Unrecorded):
    """What a request sets that asks for its checks: each check, and whether it was passed, in order."""

    __slots__ = ("passed",)

    is_recorded = True

    def __init__(self) -> None:
        self.passed: dict[Check, bool] = {}

    @property
    def check(self) -> Check:
        """The check that was begun last."""
        return list(self.passed)[-1]

    @check.setter
    def check(self, check: Check) -> None:
        self.passed.pop(check, None)  # one that is made again is the last one again
        self.passed[check] = True

    @property
    def has_failed(self) -> bool:
        """Whether that check has failed."""
        return not self.passed[self.check]

    @has_failed.setter
    def has_failed(self, has_failed: bool) -> None:
        self.passed[self.check] = not has_failed


class Making(threading.local):
    """`now` is what this thread's request sets."""

    now: Unrecorded = Unrecorded()


making = Making()
UNRECORDED = Making.now

# What begins a record: a header, by its name in the WSGI environment, and the function to call if a request has it.
current_recorders = PerApp[dict[str, Callable[[], None]]]("recorders")
