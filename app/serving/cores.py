"""Which core a worker is pinned to.

Python runs one thread of a process at a time, so a worker gains nothing from a second core: if it may move,
each hand-over between its threads wakes another core, at a third more CPU time for a token.
That holds only if every core gets the same number of this server's workers. If one would get more, or if
another server is on the machine, a pinned worker is worse off: two servers of one worker each on two cores
lost half of their rate whenever they chose the same core.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Any

# Random, so that several servers on one machine do not all begin with the same core.
FIRST_CORE = secrets.randbelow(1_024)


def choose_core(server: Any) -> int | None:
    """The core for one more worker of a gunicorn server: one with the fewest of its workers; None for any."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    if server.num_workers % len(cores):
        return None
    first = FIRST_CORE % len(cores)
    taken: Sequence[int | None] = [each.core for each in server.WORKERS.values()]
    return min(cores[first:] + cores[:first], key=taken.count)
