"""Every case of the table, in process on both databases."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from flask import Flask

from conformance.cases import CASES, FOLDERS, Case
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
        assert_has(runner, response.json, case.body)
        assert not response.json.keys() & set(case.absent)
    for name, members in case.every.items():
        assert response.json[name]
        for each in response.json[name]:
            assert_has(runner, each, members)
    if case.claims:
        assert_has(runner, claims_of(response.json["access_token"]), case.claims)


def assert_has(runner: Runner, found: dict[str, Any], members: dict[str, Any]) -> None:
    for name, wanted in members.items():
        assert_is(runner, found.get(name), wanted)


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def assert_is(runner: Runner, found: object, wanted: object) -> None:
    if isinstance(wanted, re.Pattern):
        assert isinstance(found, str), found  # a missing member is not a string
        assert wanted.search(found), found
    elif isinstance(wanted, type):
        assert type(found) is wanted
    else:
        assert found == json.loads(runner.fill(json.dumps(wanted)))


def test_every_case_is_named_once_and_teaches_and_its_clauses_are_not_in_its_name() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
    assert [case.name for case in CASES if re.search(r"R\d{3}", case.name)] == []
    assert all(re.fullmatch(r"R\d{3}( R\d{3})*", case.clauses) for case in CASES)
    assert all(case.teaches.endswith(".") for case in CASES)
    assert list(dict.fromkeys(case.folder for case in CASES)) == list(FOLDERS)
