"""Which clauses the tests of a run show, by the numbers in their names; part of every run of pytest."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from conformance.clauses import CLAUSES
from conformance.table import CLAUSE, state, summary, table

outcomes: dict[str, set[str]] = defaultdict(set)


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
        terminalreporter.write_line(summary(states))
