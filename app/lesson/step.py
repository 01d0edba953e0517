"""What a step of the lesson is, and how entries of the journal prove that it was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.journal.entry import Entry

Shows = Callable[[Entry], str | bool]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that entries must show.

    Args:
        what: Its name, as in "still missing: …".
        shows: Whether an entry shows it; or what it shows, where several different things are needed.
        count: How many different things.
    """

    what: str
    shows: Shows
    count: int = 1

    def found(self, entries: Sequence[Entry]) -> int:
        """How many different things the entries show."""
        return len({shown for entry in entries if (shown := self.shows(entry))})

    def is_met(self, entries: Sequence[Entry]) -> bool:
        return self.found(entries) >= self.count


@dataclass(frozen=True, slots=True)
class Step:
    """A step.

    Args:
        number: Its place, from 1.
        title: What to do, in a few words.
        sentence: Why, in one sentence.
        command: What to type; `ISSUER` stands for the server's address, and `METADATA` for that of its metadata.
        needs: What proves that it was done.
        nearly: Attempts that are not enough, each with what was wrong.
    """

    number: int
    title: str
    sentence: str
    command: str
    needs: tuple[Need, ...]
    nearly: tuple[tuple[Shows, str], ...] = ()

    @property
    def mark(self) -> str:
        """The command of the note in the journal that the step was done, as its requests may be dropped there."""
        return f"lesson: step {self.number}"

    def calls_sample_api(self) -> bool:
        return "ISSUER/internal/" in self.command or "ISSUER/admin/" in self.command

    def is_noted(self, entries: Sequence[Entry]) -> bool:
        return any(entry.command == self.mark for entry in entries)

    def is_done(self, entries: Sequence[Entry]) -> bool:
        return all(need.is_met(entries) for need in self.needs)

    def counts(self, entry: Entry) -> bool:
        return any(need.shows(entry) for need in self.needs)

    def note(self, entries: Sequence[Entry], before: Sequence[Step] = ()) -> str:
        """What the last attempt got wrong, or what is still missing; empty before the first attempt.

        A refusal that one of the steps `before` needed is no attempt at this one.
        """
        missing = [need for need in self.needs if not need.is_met(entries)]
        begun = [need for need in self.needs if need.found(entries)]
        wrong = next((why for shows, why in self.nearly if entries and shows(entries[-1])), "")
        if wrong:
            return wrong
        if not begun:
            return "" if entries and any(step.counts(entries[-1]) for step in before) else refused(entries)
        return "; ".join(remaining(need, entries) for need in missing)


def remaining(need: Need, entries: Sequence[Entry]) -> str:
    counted = f" ({need.found(entries)} of {need.count})" if need.count > 1 else ""
    return f"still missing: {need.what}{counted}"


def refused(entries: Sequence[Entry]) -> str:
    """What was wrong with the last request, if it was refused."""
    last = entries[-1] if entries else None
    return f"the last request was refused: {last.reason}" if last and last.error else ""
