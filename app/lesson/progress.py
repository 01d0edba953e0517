"""Which steps of the lesson were done, as the journal shows it; for the terminal and for the playground."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from app.discovery import server_metadata
from app.journal.entry import Entry
from app.journal.journal_file import Journal, current_journal
from app.lesson.steps import STEPS
from app.settings import current_settings

AGAIN = "lesson --again"
SAMPLE_API_IS_OFF = " KEYTURN_SAMPLE_API is off: call a route of your own instead."


def progress() -> list[dict[str, Any]]:
    """The steps of the current app's lesson.

    Returns:
        For each step `number`, `title`, `sentence`, `command`, `done`, and `note`: what the last attempt lacked, for
        the first step that is not done. Without a journal none is done.
    """
    journal = current_journal()
    return steps_of(journal) if journal else of_entries([])


def steps_of(journal: Journal) -> list[dict[str, Any]]:
    """The same for a journal; a step that is done is also noted there."""
    entries = read(journal)
    for step in STEPS:
        if step.is_done(entries) and not step.is_noted(entries):
            journal.append(Entry(at=time.time(), command=step.mark))
    return of_entries([entry for entry in entries if not is_mark(entry)], marked(entries), last_issuer(journal))


def last_issuer(journal: Journal) -> str:
    """The issuer of the last request, also of one before the lesson was started over; empty if there was none."""
    try:
        return next((entry.issuer for entry in reversed(journal.entries()) if entry.issuer), "")
    except OSError:
        return ""


def marked(entries: Sequence[Entry]) -> set[int]:
    return {step.number for step in STEPS if step.is_noted(entries)}


def read(journal: Journal) -> list[Entry]:
    """The entries since the lesson was last started over; without those that named a fault, which prove nothing."""
    try:
        entries = journal.entries()
    except OSError:
        return []
    start = max((n for n, entry in enumerate(entries) if entry.command == AGAIN), default=-1)
    return [entry for entry in entries[start + 1 :] if not entry.fault]


def is_mark(entry: Entry) -> bool:
    return entry.command.startswith("lesson")


def of_entries(entries: Sequence[Entry], noted: Collection[int] = (), issuer: str = "") -> list[dict[str, Any]]:
    issuer = issuer or current_settings().issuer
    metadata = server_metadata.address_of(issuer)
    has_sample_api = current_settings().has_sample_api
    done = [step.number in noted or step.is_done(entries) for step in STEPS]
    first = done.index(False) if False in done else None
    return [
        {
            "number": step.number,
            "title": step.title,
            "sentence": step.sentence + (SAMPLE_API_IS_OFF if step.calls_sample_api() and not has_sample_api else ""),
            "command": step.command.replace("METADATA", metadata).replace("ISSUER", issuer),
            "done": done[place],
            "note": step.note(entries, STEPS[:place]) if place == first else "",
        }
        for place, step in enumerate(STEPS)
    ]
