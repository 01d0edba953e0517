"""The conformance table: for each clause whether it holds, on the terminal and as a page of the docs."""

from __future__ import annotations

import re
from collections import Counter

from conformance.clauses import CHAPTERS, CLAUSES, NOT_SUPPORTED, Clause

CLAUSE = re.compile(r"R\d{3}")


def state(clause: str, seen: set[str]) -> str:
    if "failed" in seen:
        return "FAIL"
    if clause in NOT_SUPPORTED:
        return "not supported"
    return "pass" if "passed" in seen else "not run"


def table(states: dict[str, str]) -> list[str]:
    lines = []
    for heading, clauses in CHAPTERS.items():
        lines += ["", heading]
        lines += [f"{c.id}  {c.level}  {c.source:28}{states[c.id]:27}{c.sentence}" for c in clauses]
    return [*lines, ""]


def summary(states: dict[str, str]) -> str:
    """How many clauses have each state, by level."""
    parts = []
    for level in "MSD":
        counted = Counter(state for clause, state in states.items() if CLAUSES[clause].level == level)
        parts.append(f"{level} " + ", ".join(f"{count} {state}" for state, count in sorted(counted.items())))
    return f"conformance, {len(states)} clauses: {'; '.join(parts)}"


def document(shown_by: dict[str, list[str]]) -> str:
    """The table as a page.

    Args:
        shown_by: The files of the tests, and the cases, that show each clause.
    """
    lines = [
        "# Conformance",
        "",
        "Made by `make docs`; do not edit.",
        "`make conformance` runs what shows each clause and prints the table;",
        "with `BASE_URL`, `CLIENT_ID` and `CLIENT_SECRET` it sends any server what one client can try.",
        "",
        "M is what an RFC says a server MUST do, S what it SHOULD do, D our own decision where the RFC leaves room.",
    ]
    for heading, clauses in CHAPTERS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| clause | | source | what must hold | shown by |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [row(clause, shown_by[clause.id]) for clause in clauses]
    return "\n".join([*lines, ""])


def row(clause: Clause, shown_by: list[str]) -> str:
    shown = f"Not supported. {NOT_SUPPORTED[clause.id]}" if clause.id in NOT_SUPPORTED else ", ".join(shown_by)
    return f"| {clause.id} | {clause.level} | {clause.source} | {clause.sentence} | {shown} |"
