"""The documents: their links lead somewhere, each claim names its test, and what is generated is up to date."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from benchmarks import page
from benchmarks.measure import FULL, SHORT_CUT, Bench
from benchmarks.scenes import Site
from tests.conftest import ROOT, missing
from tests.support import documents
from tests.support.pages import INDEX, PAGES, README, Page

DOCS = ROOT / "docs"
# Where a page names a file: in code, as a path from the root.
FOLDERS = "app|benchmarks|conformance|deploy|docs|examples|mocks|postman|tests"


@pytest.mark.parametrize("each", PAGES, ids=lambda each: each.name)
def test_every_link_leads_to_a_page_and_a_heading_that_are_there(each: Page) -> None:
    for target in each.links():
        file, anchor = each.linked(target), target.partition("#")[2]
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        assert not anchor or anchor in Page(file).anchors(), target


@pytest.mark.parametrize("each", PAGES, ids=lambda each: each.name)
def test_no_page_names_a_file_that_is_not_there(each: Page) -> None:
    if each.path.parent.name == "decisions":
        return  # what was decided stays as it was written
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", each.prose):
        assert (ROOT / path).exists(), path


def test_the_index_lists_every_page_once() -> None:
    listed = Counter(INDEX.linked(target) for target in INDEX.links())
    pages = {file for file in DOCS.glob("*.md") if file != INDEX.path}

    assert {file for file in listed if file.suffix == ".md" and file.parent == DOCS} == pages
    assert DOCS / "decisions" in listed
    assert set(listed.values()) == {1}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, seen = [README.path], set()
    while reached:
        file = reached.pop()
        seen.add(file)
        if file.is_dir():
            reached += set(file.glob("*.md")) - seen
        elif file.suffix == ".md" and file.exists():
            reached += {Page(file).linked(target) for target in Page(file).links()} - seen

    assert {each.name for each in PAGES if each.path not in seen} == {"SECURITY.md"}  # GitHub shows that one itself


def test_nothing_is_said_twice() -> None:
    homes: dict[str, set[str]] = {}
    for each in PAGES:
        for line in each.prose.splitlines():
            if len(line) > 45 and not line.startswith("| ---"):
                homes.setdefault(line.strip("-* "), set()).add(each.name)

    assert {line: pages for line, pages in homes.items() if len(pages) > 1} == {}


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
