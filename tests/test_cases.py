"""Every case of the table, in process on both databases; and the Postman collection that is made from it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.clock import now
from tests import collection
from tests.cases import CASES, Case
from tests.conftest import ISSUER, LiveServer, missing

SAVERS = {case.saves: case for case in CASES if case.saves}


class Runner:
    """Runs cases as Postman would: what one saves, others read."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.known = collection.variables(ISSUER)

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        if name not in self.known:
            self.known[name] = self.send(SAVERS[name]).json["access_token"]
        return self.known[name]

    def send(self, case: Case) -> TestResponse:
        if case.after:
            self.send(next(each for each in CASES if each.name == case.after))
        headers = {name: self.fill(text) for name, text in case.headers.items()}
        if case.bearer:
            headers["Authorization"] = f"Bearer {self.value(case.bearer)}"
        more: dict[str, Any] = {}
        if case.form is not None:
            more["data"] = "&".join(f"{name}={quote_plus(self.fill(text))}" for name, text in case.form)
            more["content_type"] = "application/x-www-form-urlencoded"
        if case.json is not None:
            more["json"] = case.json
        if case.basic:
            more["auth"] = (self.value(f"{case.basic}_id"), self.value(f"{case.basic}_secret"))
        with time_machine.travel(now() + case.waits, tick=False):
            return self.app.test_client().open(self.fill(case.path), method=case.method, headers=headers, **more)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.title.replace(" ", "-")) for case in CASES])
def test_case(app: Flask, case: Case) -> None:
    runner = Runner(app)

    answer = runner.send(case)

    assert answer.status_code == case.status, answer.text
    for name, wanted in case.answer.items():
        assert_is(runner, answer.headers.get(name, ""), wanted)
    if case.body or case.absent:
        assert answer.mimetype == "application/json"
        for name, wanted in case.body.items():
            assert_is(runner, answer.json.get(name), wanted)
        assert not answer.json.keys() & set(case.absent)


def assert_is(runner: Runner, found: object, wanted: object) -> None:
    if isinstance(wanted, re.Pattern):
        assert wanted.search(str(found)), found
    elif isinstance(wanted, type):
        assert type(found) is wanted
    else:
        assert found == json.loads(runner.fill(json.dumps(wanted)))


def test_the_collection_is_up_to_date() -> None:
    for file, document in (
        (collection.COLLECTION, collection.collection()),
        (collection.ENVIRONMENT, collection.environment()),
    ):
        assert file.read_text() == collection.text(document), "run `make collection`"


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
