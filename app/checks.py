"""The checks that a request must pass, each declared in the file that makes it.

`making.now.check = MEDIA_TYPE`, immediately before a check, says which one is made next. The assignment calls no
function, and the next one replaces it; after a refusal it is the check that refused. For a request whose checks are
recorded (`app/playground/checks_header.py`), `making.now` is a `Record`, in that request's thread and until its
response, and it lists them in order. A check is passed when another one follows, and the last one fails if the
request is refused.
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
    """The check that is made now; the metrics read it after a refusal. Each thread has one object.

    `has_failed` says that this check has failed, although the request is refused for another reason, or not at all.
    """

    __slots__ = ("check", "has_failed")

    is_recorded = False

    check: Check
    has_failed: bool


class Record(Unrecorded):
    """Each check of one request, and whether it was passed, in order."""

    __slots__ = ("passed",)

    is_recorded = True

    def __init__(self) -> None:
        self.passed: dict[Check, bool] = {}

    @property
    def check(self) -> Check:
        """The last one."""
        return list(self.passed)[-1]

    @check.setter
    def check(self, check: Check) -> None:
        self.passed.pop(check, None)  # a check that is made again becomes the last one
        self.passed[check] = True

    @property
    def has_failed(self) -> bool:
        """Whether that check has failed."""
        return not self.passed[self.check]

    @has_failed.setter
    def has_failed(self, has_failed: bool) -> None:
        self.passed[self.check] = not has_failed


class Making(threading.local):
    """`now`, in each thread: its `unrecorded`, unless the checks of its request are recorded."""

    def __init__(self) -> None:
        self.unrecorded = Unrecorded()
        self.now = self.unrecorded


making = Making()

# The functions to call before the first check, each for a request with a header of this name in its WSGI environment.
current_recorders = PerApp[dict[str, Callable[[], None]]]("recorders")
