"""The documents: each claim of docs/security.md names a test that exists, and the benchmark and its page agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

from benchmarks import page
from benchmarks.measure import FULL, SHORT_CUT, Bench
from benchmarks.scenes import Site
from tests.conftest import ROOT, missing
from tests.support import documents


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


def test_the_benchmark_runs() -> None:
    if not shutil.which("wrk"):
        missing("wrk", install="apt install wrk")
    command = [sys.executable, "-m", "benchmarks.measure", "--quick"]

    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()[2:]]
    assert [row[0] for row in rows] == list(SHORT_CUT)
    assert all(float(cell) > 0 for row in rows for cell in row[1:])


def test_the_page_of_figures_and_its_charts_are_made_from_the_stored_figures() -> None:
    made = page.documents()

    assert [str(file) for file, text in made.items() if file.read_text() != text] == [], (
        "run `python -m benchmarks.page`"
    )
    shown = set(re.findall(r"]\((charts/[^)]+)\)", page.PAGE.read_text()))
    assert shown == {f"charts/{file.name}" for file in page.CHARTS.iterdir()}


def test_every_row_of_the_page_is_one_that_the_benchmark_measures() -> None:
    figures = json.loads(page.FIGURES.read_text())
    site = Site({}, FULL.clients)

    assert set(Bench.scenes_of(site, site)) <= set(figures["requests"])
    assert [int(count) for count in figures["clients"]] == list(FULL.grown)
