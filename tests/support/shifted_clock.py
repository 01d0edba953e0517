"""Runs a Python module as `python -m` does, with a wall clock that is wrong by the number of seconds in a file.

    python -m tests.support.shifted_clock FILE gunicorn wsgi:app

The file is read at every call: writing another number into it moves the clock of the running process and of its
children. Only `time.time` moves, as when an administrator or NTP sets the clock; the monotonic clock does not.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

real = time.time
file = Path(sys.argv[1])


def shifted() -> float:
    return real() + float(file.read_text(encoding="utf-8") or 0)


if __name__ == "__main__":
    time.time = shifted
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
