"""What was found at a server for one clause."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.cases import Case
from conformance.exchange import Response

CHALLENGES = {"R021", "R022", "R100"}  # what a 401 shows


@dataclass(frozen=True)
class Finding:
    """A clause does not hold: its `level` is that of what failed, which may differ from the clause's own."""

    clause: str
    level: str
    text: str


def clauses_of(case: Case) -> list[str]:
    """The clauses that the status and the error code of a case show: the others have rules of their own."""
    named = case.clauses.split()
    return [clause for clause in named if clause not in CHALLENGES | {"R059"}] or named[:1]


def told(response: Response) -> str:
    """The status and the error code."""
    error = response.members.get("error")
    return f"{response.status} {error}" if isinstance(error, str) else str(response.status)


def weaker(level: str, other: str) -> str:
    """The level that asks for less."""
    return max(level, other, key="MSD".index)
