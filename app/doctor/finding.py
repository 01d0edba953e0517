"""What a check finds: a sentence that says what is so, and one that says what to do."""

from __future__ import annotations

from typing import NamedTuple

FAULT, UNKNOWN, WARNING, NOTE = "fault", "unknown", "warning", "note"


class Finding(NamedTuple):
    """One thing that a check has found.

    Attributes:
        kind: `fault`: something is wrong. `unknown`: it could not be found out. `warning`: worth knowing. `note`: a
            figure.
        what: What is so.
        remedy: What to do; empty for a note.
    """

    kind: str
    what: str
    remedy: str = ""


def fault(what: str, remedy: str) -> Finding:
    return Finding(FAULT, what, remedy)


def unknown(what: str, remedy: str) -> Finding:
    return Finding(UNKNOWN, what, remedy)


def warning(what: str, remedy: str) -> Finding:
    return Finding(WARNING, what, remedy)


def note(what: str) -> Finding:
    return Finding(NOTE, what)
