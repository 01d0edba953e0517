"""Which steps of the lesson were done, as the journal shows it; for the terminal and for the playground."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
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
    return steps_of(journal) if journal else of_entries([])


def steps_of(journal: Journal) -> list[dict[str, Any]]:
    """The same for a journal; a step that is found done is noted there."""
    entries = read(journal)
    for step in STEPS:
        if step.is_done(entries) and not step.is_noted(entries):
            journal.append(Entry(at=time.time(), command=step.mark))
    return of_entries([entry for entry in entries if not is_mark(entry)], marked(entries))


def marked(entries: Sequence[Entry]) -> set[int]:
    return {step.number for step in STEPS if step.is_noted(entries)}


def read(journal: Journal) -> list[Entry]:
    """The entries since the lesson was last started over."""
    try:
        entries = journal.entries()
    except OSError:
        return []
    start = max((n for n, entry in enumerate(entries) if entry.command == AGAIN), default=-1)
    return entries[start + 1 :]


def is_mark(entry: Entry) -> bool:
    return entry.command.startswith("lesson")


def of_entries(entries: Sequence[Entry], noted: Collection[int] = ()) -> list[dict[str, Any]]:
    issuer = next((entry.issuer for entry in reversed(entries) if entry.issuer), current_settings().issuer)
    done = [step.number in noted or step.is_done(entries) for step in STEPS]
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
