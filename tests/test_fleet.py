"""`make fleet`: two servers behind nginx start by one command, serve, and stop; and every drill of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, curl, missing, wait_for
from tests.fleet import machines
from tests.fleet.drills import DRILLS
from tests.fleet.watching import Sizes, connections_at_most, grown, left_behind, soak, watch
from tests.support import guardian
from tests.support.pages import page


def needs_programs() -> None:
    for name in ("nginx", "redis-server"):
        try:
            machines.program(name)
        except machines.MissingError as error:
            missing(name, install=str(error).partition(": ")[2])


def test_the_fleet_starts_issues_the_token_that_it_shows_and_stops_all_of_itself(tmp_path: Path) -> None:
    curl()
    needs_programs()
    log = tmp_path / "fleet.log"
    unmarked = {name: text for name, text in os.environ.items() if name not in ("DRILL", "HOURS", guardian.MARK)}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.fleet"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=unmarked, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_for(lambda: process.poll() is not None or "Ctrl-C stops" in log.read_text(), seconds=120)
        assert process.poll() is None, log.read_text()
        started = psutil.Process(process.pid).children(recursive=True)
        (typed,) = re.findall(r"^  (curl .*)$", log.read_text(), re.MULTILINE)
        response = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=True).stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)

    assert '"access_token"' in response
    assert process.returncode == 0
    assert log.read_text().endswith("Stopped.\n")
    assert len(started) > 8  # nginx, Redis, PostgreSQL and two servers of two workers
    assert psutil.wait_procs(started, timeout=10)[1] == []


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machines.Fleet]:
    needs_programs()
    folder = guardian.folder() / tmp_path_factory.mktemp("fleet").name  # PostgreSQL's user must reach it
    folder.mkdir(mode=0o755)
    made = machines.Fleet(folder, KEYTURN_AUDIT_ROWS="1000")
    made.start()
    yield made
    made.stop()


@pytest.mark.drill
@pytest.mark.parametrize("name", DRILLS)
def test_clients_of_the_fleet_see_no_more_of_a_drill_than_they_may(fleet: machines.Fleet, name: str) -> None:
    assert watch(fleet, DRILLS[name]) == []


@pytest.mark.drill
def test_minutes_of_mixed_load_leave_memory_connections_files_and_tables_as_they_were(fleet: machines.Fleet) -> None:
    assert soak(fleet, 120, threads=8, rounds=8) == []


@pytest.mark.parametrize(
    ("name", "seen", "lost", "faults"),
    [
        ("rolling-restart", {"200": 9}, (0, 0), []),
        ("rolling-restart", {"200": 9, "503": 1}, (0, 0), ["1 503"]),
        ("rolling-restart", {"200": 9, "failed": 2}, (3, 1), ["2 failed", "1 events lost", "3 tokens lost"]),
        ("rolling-restart", {}, (0, 0), ["no 200"]),
        ("kill-a-worker", {"200": 9}, (0, 5), []),
        ("stop-postgresql", {"200": 9, "503": 5}, (0, 0), []),
        ("stop-postgresql", {"200": 9}, (0, 0), ["no 503, so nothing was broken"]),
        ("clock-off", {"200": 9, "refused": 5, "503": 1}, (0, 0), ["1 503"]),
    ],
)
def test_a_drill_names_what_clients_must_not_see(
    name: str, seen: dict[str, int], lost: tuple[int, int], faults: list[str]
) -> None:
    assert DRILLS[name].faults(Counter(seen), *lost) == faults


def test_what_grows_in_the_last_third_is_named() -> None:
    flat = Sizes(40, 20, 20, audit_rows=1_000, token_rows=50, revocation_rows=5, tables_megabytes=1)

    assert grown([flat] * 30) == []
    assert grown([flat] * 20 + [replace(flat, worker_megabytes=50, open_files=30, tables_megabytes=5)] * 10) == [
        "worker_megabytes grew from 40.0 to 50.0",
        "open_files grew from 20.0 to 30.0",
        "tables_megabytes grew from 1.0 to 5.0",
    ]
    assert grown([replace(flat, connections=1_000)] * 30) == [
        f"1000 connections, more than {connections_at_most()}"
    ]  # fmt: skip


def test_rows_that_the_upkeep_leaves_behind_are_named() -> None:
    sizes = Sizes(40, 20, 20, audit_rows=1_400, token_rows=250, revocation_rows=5, tables_megabytes=1)
    issued = list(range(0, 600, 20))  # 20 opaque tokens in each step of 5 seconds

    assert left_behind([sizes] * 30, issued, 5) == ["250 token_rows, more than 220"]
    assert left_behind([replace(sizes, token_rows=200, audit_rows=1_500)] * 30, issued, 5) == [
        "1500 audit_rows, more than 1440"
    ]


def test_the_page_names_every_drill() -> None:
    assert [name for name in DRILLS if f"`{name}`" not in page("deploy").text] == []
