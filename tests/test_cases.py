"""Every case of the table, in process on both databases; and the Postman collection that is made from it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from conformance.cases import CASES, Case
from tests.conftest import LiveServer, missing
from tests.support import collection
from tests.support.runner import Runner


@pytest.mark.parametrize("case", [pytest.param(case, id=case.title.replace(" ", "-")) for case in CASES])
def test_case(app: Flask, case: Case) -> None:
    runner = Runner(app)

    response = runner.send(case)

    assert response.status_code == case.status, response.text
    for name, wanted in case.headers_are.items():
        assert_is(runner, response.headers.get(name, ""), wanted)
    if case.body or case.absent:
        assert response.mimetype == "application/json"
        for name, wanted in case.body.items():
            assert_is(runner, response.json.get(name), wanted)
        assert not response.json.keys() & set(case.absent)


def assert_is(runner: Runner, found: object, wanted: object) -> None:
    if isinstance(wanted, re.Pattern):
        assert isinstance(found, str), found  # a missing member is not a string
        assert wanted.search(found), found
    elif isinstance(wanted, type):
        assert type(found) is wanted
    else:
        assert found == json.loads(runner.fill(json.dumps(wanted)))


def test_every_request_of_the_collection_is_named_once_and_teaches() -> None:
    titles = [case.title for case in CASES]

    assert len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"(R\d{3} )+.+", title) for title in titles)
    assert all(case.teaches.endswith(".") for case in CASES)


def test_the_collection_passes_twice_in_a_row_against_two_workers(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    if shutil.which("npx") is None:
        missing(
            "Node.js", install="it brings npx, which runs the Postman collection with newman (apt install nodejs npm)"
        )
    server = live()
    report = tmp_path / "report.json"
    command = ["npx", "--yes", "newman@6.2.2", "run", str(collection.COLLECTION), "-e", str(collection.ENVIRONMENT)]
    command += ["--env-var", f"base_url={server.url}", "--reporters", "cli,json", "--reporter-json-export", str(report)]

    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)

        assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
        counts = json.loads(report.read_text())["run"]["stats"]
        assert counts["requests"]["total"] == len(CASES)
        assert counts["assertions"]["total"] > 3 * len(CASES)
        assert counts["assertions"]["failed"] == 0
