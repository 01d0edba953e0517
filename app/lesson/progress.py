"""Which steps of the lesson were done, as the journal shows it; for the terminal and for the playground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.journal.entry import Entry
from app.journal.journal_file import Journal, current_journal
from app.lesson.steps import STEPS
from app.settings import current_settings

AGAIN = "lesson --again"


def progress() -> list[dict[str, Any]]:
    """The steps of the current app's lesson.

    Returns:
        For each step `number`, `title`, `sentence`, `command`, `done`, and `note`: what the last attempt lacked, for
        the first step that is not done. Without a journal none is done.
    """
    journal = current_journal()
    return of_entries(read(journal) if journal else [])


def read(journal: Journal) -> list[Entry]:
    """The entries since the lesson was last started over."""
    try:
        entries = journal.entries()
    except OSError:
        return []
    start = max((n for n, entry in enumerate(entries) if entry.command == AGAIN), default=-1)
    return entries[start + 1 :]


def of_entries(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    issuer = next((entry.issuer for entry in reversed(entries) if entry.issuer), current_settings().issuer)
    done = [step.is_done(entries) for step in STEPS]
    first = done.index(False) if False in done else None
    return [
        {
            "number": step.number,
            "title": step.title,
            "sentence": step.sentence,
            "command": step.command.replace("ISSUER", issuer),
            "done": done[place],
            "note": step.note(entries) if place == first else "",
        }
        for place, step in enumerate(STEPS)
    ]
