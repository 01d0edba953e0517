"""Clocks of this process that stand still, until a test lets time pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import time_machine

from app import clock


@contextmanager
def stopped() -> Iterator[Callable[[int], None]]:
    """Yields the function that lets seconds pass; afterwards the clocks are right again."""
    with pytest.MonkeyPatch.context() as patch, time_machine.travel(clock.now(), tick=False):
        patch.setattr(clock, "ahead", clock.ahead)
        patch.setattr(clock, "passed", clock.passed)
        yield clock.let_pass
