"""Which core a worker keeps to.

Python runs one thread of a process at a time, so a worker gains nothing from a second core: free to move,
each hand-over between its threads would wake another one, at a third more CPU time for a token.
That holds only where each core gets as many of this server's workers as any other. Where one would get
more, or another server is beside this one, a worker that may not move is worse off than one that may:
two servers of one worker each on two cores lost half of their rate whenever they chose the same core.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Any

# By chance: not every server of a machine is to begin with the same core.
FIRST_CORE = secrets.randbelow(1_024)


def choose_core(server: Any) -> int | None:
    """The core for one more worker of a gunicorn server, one that as few others have as possible; None for any."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    if server.num_workers % len(cores):
        return None
    first = FIRST_CORE % len(cores)
    taken: Sequence[int | None] = [each.core for each in server.WORKERS.values()]
    return min(cores[first:] + cores[:first], key=taken.count)
