"""The README: one screen or two, what `make run` prints, and facts that hold."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.operations.startup import welcome
from app.settings import read_settings
from conformance import table
from conformance.clauses import CLAUSES, NOT_SUPPORTED
from tests.conftest import ROOT, free_port, responds, wait_for
from tests.support.pages import README, pattern
from tests.test_house import CORE

ADJECTIVES = (
    "simple easy fast quick powerful modern robust secure complete small tiny light beautiful great best".split()
)


def test_it_is_short_and_praises_nothing() -> None:
    prose = re.sub(r'\b(?:src|srcset|media)="[^"]*"', "", README.prose)
    words = set(re.findall(r"[a-z]+", prose.lower()))

    assert len(README.text.splitlines()) <= 120
    assert words & set(ADJECTIVES) == set()


def test_what_make_run_prints_is_what_is_shown() -> None:
    shown = next(output for command, output in README.commands() if command == "make run")

    assert pattern(shown).fullmatch("…\n" + welcome(read_settings({})).strip())


def test_what_make_test_says_of_the_clauses_is_what_is_shown() -> None:
    shown = next(output for command, output in README.commands() if command == "make test")
    found = table.summary({clause: table.state(clause, {"passed"}) for clause in CLAUSES})

    assert found in shown.splitlines()
    clauses = re.search(r"lists (\d+) clauses .* the one that is not supported", README.text)
    assert clauses
    assert (int(clauses[1]), 1) == (len(CLAUSES), len(NOT_SUPPORTED))


def test_make_lists_every_target_and_test_runs_every_check() -> None:
    def make(*arguments: str) -> str:
        command = ["make", "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert [line.split()[1] for line in make().splitlines()] == phony[1].split()
    planned = make("-n", "test", f"PYTHON={sys.executable}")
    assert all(each in planned for each in ("ruff format --check", "ruff check", "mypy", "pytest"))


def test_the_numbers_of_packages_are_those_of_the_locks_and_of_make() -> None:
    locked = [
        len(re.findall(r"^[a-z][^ ]*==", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    said = [int(each) for each in re.findall(r"about (\d+) packages", README.text)]

    assert [abs(each - found) < 15 for each, found in zip(said, (locked[0], locked[1]), strict=True)] == [True, True]
    assert said == [int(each) for each in re.findall(r"about (\d+) packages", (ROOT / "Makefile").read_text())]


def test_flask_run_serves_the_same_app(prepared: Callable[[str], str], tmp_path: Path) -> None:
    typed = re.search(r"`(\.venv/bin/flask run[^`]*)`", README.text)
    assert typed
    port = free_port()
    command = shlex.split(typed[1].replace(".venv/bin/flask", f"{shlex.quote(sys.executable)} -m flask"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KEYTURN_", "FLASK_"))}
    environment |= {"KEYTURN_DATABASE_URL": prepared("sqlite"), "PORT": str(port)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [each.replace("8000", str(port)) for each in command], cwd=ROOT, env=environment, stdout=log, stderr=log
        )

    try:
        wait_for(lambda: process.poll() is not None or responds(f"http://127.0.0.1:{port}/.well-known/jwks.json"))

        assert process.poll() is None, (tmp_path / "log").read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_five_files_are_linked_in_order() -> None:
    assert [target for target in README.links() if target.endswith(".py")] == CORE


@pytest.mark.parametrize("reader", ["learn", "guard", "operate", "test", "change"])
def test_every_reader_finds_where_to_go(reader: str) -> None:
    rows = [row for row in README.table("you want to") if row[0].split()[0] == reader]

    assert len(rows) == 1
    assert "](" in "".join(rows[0])
