"""Runs cases in process, as Postman would: what one saves, others read."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote_plus

import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.clock import now
from conformance.cases import CASES, Case
from postman.assertion import assertion
from tests.conftest import ISSUER
from tests.support import collection

SAVERS = {case.saves: case for case in CASES if case.saves}


class Runner:
    """Runs cases as Postman would: what one saves, others read."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.known = collection.variables(ISSUER)
        self.sent: set[str] = set()

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        if name not in self.known:
            self.send(SAVERS[name])
        return self.known[name]

    def send(self, case: Case) -> TestResponse:
        """Send a case; first send what it depends on, unless that was sent already."""
        if case.after and case.after not in self.sent:
            self.send(next(each for each in CASES if each.name == case.after))
        if case.signs:
            self.known["assertion"] = assertion(self.fill(case.signs))
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
            response = self.app.test_client().open(self.fill(case.path), method=case.method, headers=headers, **more)
        self.sent.add(case.name)
        if case.saves:
            self.known[case.saves] = response.json["access_token"]
        return response
