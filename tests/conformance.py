"""This file is the conformance table: for each clause of the profile, whether it holds.

    make conformance                                                  the tests and cases of this checkout
    make conformance BASE_URL=https://… CLIENT_ID=… CLIENT_SECRET=…   the cases that any one client can try

With a base URL it asks that server over HTTP. What needs two clients, another moment, the storage or the
operator's hand cannot be seen from outside, and is said so.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.cases import CASES, Case
from tests.clauses import CHAPTERS, CLAUSES, NOT_SUPPORTED, Clause

CLAUSE = re.compile(r"R\d{3}")
FROM_OUTSIDE = "not testable from outside"
# Whatever the client's scope and format.
ANY_TOKEN = {
    "access_token": re.compile(r"^[A-Za-z0-9._~+/-]+=*$"),
    "token_type": "Bearer",
    "expires_in": int,
    "scope": re.compile("^[^ ]"),
}

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


# From outside.


class Outside:
    """A server and one of its clients, reached by HTTP and nothing else."""

    def __init__(self, base_url: str, client_id: str, secret: str) -> None:
        self.base_url = base_url.rstrip("/")
        pair = {"id": client_id, "secret": secret}
        self.known = {"base_url": self.base_url, "wrong_secret": "kts_wrong"}
        self.known |= {f"encoded_{name}": "%" + text.encode().hex("%") for name, text in pair.items()}
        self.known["admin_basic"] = basic(client_id, secret)
        self.pair = pair

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        # Whichever demo client a case names: here it is this one.
        return self.known.get(name) or self.pair[name.rpartition("_")[2]]

    def faults(self, case: Case) -> list[str]:
        """What is not as the case wants it."""
        status, headers, body = self.send(case)
        wanted = ANY_TOKEN if "access_token" in case.body else case.body
        found = [] if status == case.status else [f"status {status} instead of {case.status}"]
        for name, value in case.answer.items():
            if not self.fits(headers.get(name, ""), value):
                found.append(f"header {name}: {headers.get(name)}")
        for name, value in wanted.items():
            if not self.fits(body.get(name), value):
                found.append(f"member {name} is {'there' if name in body else 'missing'}, and not as it must be")
        return found + [f"member {name} must not be there" for name in case.absent if name in body]

    def fits(self, found: object, wanted: object) -> bool:
        if isinstance(wanted, re.Pattern):
            return bool(wanted.search(str(found)))
        if isinstance(wanted, type):
            return type(found) is wanted
        return bool(found == json.loads(self.fill(json.dumps(wanted))))

    def send(self, case: Case) -> tuple[int, Any, dict[str, Any]]:
        headers = {name: self.fill(text) for name, text in case.headers.items()}
        data = None
        if case.basic:
            pair = (self.value(f"{case.basic}_{name}") for name in ("id", "secret"))
            headers["Authorization"] = f"Basic {basic(*pair)}"
        if case.form is not None:
            data = "&".join(f"{name}={quote_plus(self.fill(text))}" for name, text in case.form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if case.json is not None:
            data, headers["Content-Type"] = json.dumps(case.json).encode(), "application/json"
        address = self.base_url + quote(self.fill(case.path), safe="/?&=%.")
        request = urllib.request.Request(address, data, headers, method=case.method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, members(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, members(error.read())


def basic(client_id: str, secret: str) -> str:
    return base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def members(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; none of anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def from_outside(server: Outside) -> dict[str, str]:
    """The state of every clause, and a line on standard error for each fault."""
    seen: dict[str, set[str]] = defaultdict(set)
    for case in CASES:
        if case.outside:
            faults = server.faults(case)
            for fault in faults:
                sys.stderr.write(f"{case.title}: {fault}\n")
            for clause in case.clauses.split():
                seen[clause].add("failed" if faults else "passed")
    states = {clause: state(clause, seen[clause]) for clause in CLAUSES}
    return {clause: FROM_OUTSIDE if found == "not run" else found for clause, found in states.items()}


def main() -> int:
    given = [os.environ.get(name, "") for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")]
    if not given[0]:
        return int(pytest.main(["--conformance", "-q"]))
    if not all(given):
        sys.stderr.write("With BASE_URL, CLIENT_ID and CLIENT_SECRET are needed too.\n")
        return 2
    try:
        states = from_outside(Outside(*given))
    except OSError as error:
        sys.stderr.write(f"{given[0]} does not answer: {error}\n")
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
