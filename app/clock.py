"""The clock: the current time, the leeway between two machines' clocks, and durations as text.

A clock decides only what is planned. What an operator orders is stored as a flag or a generation, which no
clock can undo.
"""

import time

HOUR_SECONDS, DAY_SECONDS = 3_600, 86_400
LEEWAY_SECONDS = 60
ahead = 0  # seconds by which this process's clock was moved
passed = 0  # seconds that did not pass, and that both clocks count
UNITS = ((DAY_SECONDS, "day"), (HOUR_SECONDS, "hour"), (60, "minute"), (1, "second"))


def now() -> int:
    """The current time in whole seconds since the epoch, as in a JWT (RFC 7519, section 2, NumericDate)."""
    return int(time.time()) + ahead


def monotonic() -> float:
    """Seconds since some moment, by a clock that nobody sets: for how long something has been going on."""
    return time.monotonic() + passed


def move(seconds: int) -> None:
    """Move this process's clock, before it serves: for `flask throwaway --clock` alone."""
    global ahead
    ahead = seconds


def let_pass(seconds: int) -> None:
    """Move both clocks of this process: for tests of what happens over days."""
    global ahead, passed
    ahead += seconds
    passed += seconds


def duration(seconds: int) -> str:
    """Seconds as text ("3 days", "70 seconds"), in the largest unit of which there are at least two."""
    size, unit = next((pair for pair in UNITS if seconds >= 2 * pair[0]), UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
