"""The documents: each claim of docs/security.md names a test that is there, and the benchmark runs."""

from __future__ import annotations

import re
import subprocess
import sys

from tests import documents
from tests.conftest import ROOT


def test_every_claim_names_a_test_that_is_there() -> None:
    tests = {
        name for file in (ROOT / "tests").glob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    page = (ROOT / "docs" / "security.md").read_text()
    claimed = set(re.findall(r"`(test_\w+)`", page))

    assert len(claimed) > 25
    assert claimed - tests == set()
    defended = page.partition("## What is defended")[2].partition("## What is not")[0]
    for paragraph in defended.strip().split("\n\n"):
        for sentence in paragraph.splitlines()[1:]:
            assert "`test_" in sentence, sentence


def test_what_is_made_from_tables_is_up_to_date() -> None:
    made = documents.documents()

    assert [str(file) for file, text in made.items() if file.read_text() != text] == [], "run `make docs`"


def test_the_benchmark_measures_every_row() -> None:
    command = [sys.executable, "-m", "benchmarks.measure", "--seconds", "0.5", "--rounds", "1", "--print-only"]

    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        "a bare Flask route: the floor",
        "a token, RS256",
        "a guarded route, RS256",
        "a token, ES256",
        "a guarded route, ES256",
    ]
    assert all(float(cell) > 0 for row in rows for cell in row[1:])


def test_the_page_of_figures_has_the_rows_of_the_benchmark() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()

    assert page.count("\n| a ") == 5
