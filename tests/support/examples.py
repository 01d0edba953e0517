"""The saved examples of the Postman collection: real responses, without what differs from run to run.

Each case is sent once, in order, to an app on a database of its own, at a fixed moment.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.api.hourly_report import HourlyReport, current_report
from app.audit import trail
from app.faults.fault_layer import HEADER
from app.faults.table import FAULTS
from conformance.cases import CASES
from tests.conftest import build_app, close
from tests.support import fault_folder
from tests.support.runner import Runner
from tests.support.scripts import PHRASES

MOMENT = 1_893_456_000  # 2030-01-01: later than any real time
SHOWN = (
    "Content-Type",
    "Cache-Control",
    "WWW-Authenticate",
    "Allow",
    "Retry-After",
    "Location",
    "X-Request-Id",
    HEADER,
)
DIFFERS = (
    (r"eyJ[\w-]+(\.[\w-]*)*", "eyJ…"),
    (r"kta_[\w-]{51}", "kta_…"),
    (r'("(?:jti|jti_prefix|kid|n|request_id|operator|ETag)": )"[^"]*"', r'\1"…"'),
    (r'("reason": "(?:jti|kid) )[\w-]+', r"\1…"),
    (r'("(?:at|hour)": )\d+', rf"\g<1>{MOMENT}"),
)


@contextmanager
def sample_app() -> Iterator[Flask]:
    """An app of development on a database of its own, at a fixed moment."""
    with tempfile.TemporaryDirectory() as folder, time_machine.travel(MOMENT, tick=False):
        app = build_app(database_url=f"sqlite:///{Path(folder)}/examples.db")
        assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
        trail.current_batch.of(app).close()  # no thread decides which events share a row
        yield app
        close(app)


@cache
def responses() -> dict[str, TestResponse]:
    """The response to each case, by its title."""
    with sample_app() as app:
        runner = Runner(app)
        found = {}
        for case in CASES:
            # For how long an earlier report is used again depends on the machine.
            current_report.set(app, HourlyReport())
            found[case.title] = runner.send(case)
    return found


def examples() -> dict[str, dict[str, Any]]:
    """The response to each case, by its title, and to each fault, by its name, as Postman saves it."""
    with sample_app() as app:
        of_faults = {name: as_saved(fault_folder.send(app, fault)) for name, fault in FAULTS.items()}
    return {title: as_saved(response) for title, response in responses().items()} | of_faults


def as_saved(response: TestResponse) -> dict[str, Any]:
    headers = {name: response.headers[name] for name in SHOWN if name in response.headers}
    headers["X-Request-Id"] = "…"
    language = "json" if "json" in headers.get("Content-Type", "json") else "text"
    return {
        "name": f"{response.status_code} {PHRASES[response.status_code]}",
        "status": PHRASES[response.status_code],
        "code": response.status_code,
        "_postman_previewlanguage": language,
        "header": [{"key": name, "value": scrubbed(value)} for name, value in headers.items()],
        "cookie": [],
        "body": scrubbed(indented(response.text)),
    }


def indented(text: str) -> str:
    """JSON with a member in a line; what is none, as in some faults, as it is."""
    try:
        return json.dumps(json.loads(text), indent=2)
    except json.JSONDecodeError:
        return text


def scrubbed(text: str) -> str:
    for pattern, replacement in DIFFERS:
        text = re.sub(pattern, replacement, text)
    return text
