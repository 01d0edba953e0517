"""This file is the conformance table: for each clause of the profile, whether it holds.

    make conformance                                                  the tests and cases of this checkout
    make conformance BASE_URL=https://… CLIENT_ID=… CLIENT_SECRET=…   the cases that any one client can try

With a base URL it asks that server over HTTP (`outside.py`).
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from tests import outside
from tests.clauses import CHAPTERS, CLAUSES, NOT_SUPPORTED, Clause

CLAUSE = re.compile(r"R\d{3}")
outcomes: dict[str, set[str]] = defaultdict(set)


# Part of every run of pytest: tests/conftest.py imports these hooks.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", action="store_true", help="run what shows a clause, and print the table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--conformance"):
        config.hook.pytest_deselected(items=[item for item in items if not CLAUSE.search(item.nodeid)])
        items[:] = [item for item in items if CLAUSE.search(item.nodeid)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        for clause in CLAUSE.findall(report.nodeid):
            outcomes[clause].add(report.outcome)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    states = {clause: state(clause, outcomes.get(clause, set())) for clause in CLAUSES}
    if config.getoption("--conformance"):
        terminalreporter.section("conformance")
        terminalreporter.write_line("\n".join(table(states)))
    if "not run" not in states.values():
        terminalreporter.write_line(summary(states.values()))


# The table.


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
        lines += [f"{c.id}  {c.source:28}{states[c.id]:27}{c.sentence}" for c in clauses]
    return [*lines, ""]


def summary(states: Iterable[str]) -> str:
    counted = list(states)
    parts = [f"{counted.count(each)} {each}" for each in dict.fromkeys(sorted(counted))]
    return f"conformance, {len(counted)} clauses: {', '.join(parts)}"


def main() -> int:
    given = [os.environ.get(name, "") for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")]
    if not given[0]:
        return int(pytest.main(["--conformance", "-q"]))
    if not all(given):
        sys.stderr.write("With BASE_URL, CLIENT_ID and CLIENT_SECRET are needed too.\n")
        return 2
    try:
        states = outside.states(outside.Outside(*given))
    except (OSError, outside.UnfitClientError) as error:
        sys.stderr.write(f"{given[0]} cannot be tried: {error}\n")
        return 2
    sys.stdout.write("\n".join([*table(states), summary(states.values()), ""]))
    return 1 if "FAIL" in states.values() else 0


# docs/conformance.md


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
        "with `BASE_URL`, `CLIENT_ID` and `CLIENT_SECRET` it asks any server what one client can try.",
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


if __name__ == "__main__":
    sys.exit(main())
