"""Every refusal of the table of cases, typed into the page: it shows what the server responds."""

from __future__ import annotations

import http.client
import json
import re
from base64 import b64encode
from contextlib import closing
from urllib.parse import quote_plus, urlsplit

import pytest
from _pytest.mark import ParameterSet

from conformance.cases import CASES, Case
from postman.assertion import assertion
from tests.browser.visit import Visit
from tests.conftest import LiveServer, wait_for
from tests.support import collection
from tests.support.runner import SAVERS

# A browser sends all of them; an entry here would be a case by its name, with the reason why a browser cannot.
CANNOT_BE_SENT: dict[str, str] = {}
SHORT = ("a wrong secret, with Basic", "JSON instead of a form", "an expired token")
REFUSALS = [case for case in CASES if case.status >= 400]


class LiveRunner:
    """The requests of the cases for a running server: what one saves, others read."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.known = collection.variables(server.url)
        self.sent: set[str] = set()

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        if name not in self.known:
            self.known[name] = str(json.loads(self.send(SAVERS[name])[2])["access_token"])
        return self.known[name]

    def request(self, case: Case) -> tuple[str, str, list[tuple[str, str]], str]:
        """The method, the path, the headers and the body of a case."""
        if case.after and case.after not in self.sent:
            self.send(next(each for each in CASES if each.name == case.after))
        if case.signs:
            self.known["assertion"] = assertion(self.fill(case.signs))
        headers = [(name, self.fill(value)) for name, value in case.headers.items()]
        body = ""
        if case.basic:
            pair = f"{self.value(f'{case.basic}_id')}:{self.value(f'{case.basic}_secret')}"
            headers.append(("Authorization", f"Basic {b64encode(pair.encode()).decode()}"))
        if case.bearer:
            headers.append(("Authorization", f"Bearer {self.value(case.bearer)}"))
        if case.form is not None:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
            body = "&".join(f"{name}={quote_plus(self.fill(value))}" for name, value in case.form)
        if case.json is not None:
            headers.append(("Content-Type", "application/json"))
            body = json.dumps(case.json)
        return case.method, self.fill(case.path), headers, body

    def send(self, case: Case) -> tuple[int, dict[str, str], bytes]:
        """Send a case without the browser."""
        method, path, headers, body = self.request(case)
        self.sent.add(case.name)
        with closing(http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)) as connection:
            connection.request(method, path, body or None, {**dict(headers), "X-Keyturn-Checks": "record"})
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()


@pytest.fixture(scope="module")
def runner(server: LiveServer) -> LiveRunner:
    return LiveRunner(server)


def parameter(case: Case) -> ParameterSet:
    marks = [] if case.name in SHORT else [pytest.mark.browser]
    return pytest.param(case, id=case.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("case", [parameter(case) for case in REFUSALS])
def test_a_refusal_is_shown_as_the_server_gives_it(same_visit: Visit, runner: LiveRunner, case: Case) -> None:
    request = runner.request(case)
    if case.waits:
        wait_for(lambda: runner.send(case)[0] == case.status)
    status, headers, _ = runner.send(case)
    assert status == case.status

    same_visit.fill(*request)
    same_visit.press_send()

    is_shown = (same_visit.status, same_visit.error) == (case.status, case.body.get("error"))
    assert is_shown != (case.name in CANNOT_BE_SENT), (same_visit.status, same_visit.error)
    checks = [(name, passed) for name, passed in json.loads(headers["X-Keyturn-Checks"])]
    assert same_visit.checks() == checks
    assert same_visit.failed_check() == checks[-1][0]


def test_a_case_that_a_browser_cannot_send_is_a_refusal_and_has_a_reason() -> None:
    assert set(CANNOT_BE_SENT) <= {case.name for case in REFUSALS}
    assert all(reason.endswith(".") for reason in CANNOT_BE_SENT.values())
