"""Log lines: one form for all of them, what each says once, and what joins them."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask

from app.logs import JsonLine
from tests.conftest import (
    ROOT,
    SECRET_KEY,
    Machine,
    Operator,
    build_app,
    close,
    demo,
    free_port,
    responds,
    wait_for,
)
from tests.support.calling import BASIC
from tests.support.leaks import suite
from tests.test_audit import lines  # noqa: F401, a fixture

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def logging_app(new_app: Callable[..., Flask]) -> Flask:
    return new_app(access_log="on", trusted_proxies=1)


def logged(lines: list[str]) -> list[dict[str, Any]]:  # noqa: F811
    found = [json.loads(line) for line in lines]
    lines.clear()
    return found


def test_a_time_is_in_utc_with_milliseconds() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO"})
    record.created = 1_893_456_000.9996

    line = json.loads(JsonLine().format(record))

    assert line == {"time": "2030-01-01T00:00:00.999Z", "level": "INFO", "message": "x"}
    assert datetime.fromisoformat(line["time"]).tzinfo == UTC


def test_a_secret_is_redacted_wherever_it_is_in_a_line() -> None:
    secret = "kts_" + "a" * 43
    fields = {secret: 1, "list": [secret], "text": f'é"{secret}\n\\{secret}', "path": f"\u00e9{secret}"}
    record = logging.makeLogRecord({"msg": "at %s", "args": (secret,), "fields": fields})

    text = JsonLine().format(record)

    assert secret not in text
    assert "aaaa" not in text
    assert json.loads(text)["path"] == "é[redacted]"


def test_an_access_line_says_what_the_line_of_the_event_does_not(logging_app: Flask, lines: list[str]) -> None:  # noqa: F811
    admin = demo(logging_app, "demo-admin")
    token = admin.token()
    event, access = logged(lines)
    assert {"client_id", "credential", "address", "scope", "jti", "kid"} <= event.keys()
    assert access.keys() == {"time", "level", "message", "request_id", "method", "path", "status", "milliseconds"}
    assert (access["message"], access["method"], access["path"]) == ("request", "POST", "/oauth/token")
    assert access["status"] == 200
    assert access["milliseconds"] >= 0
    assert access["request_id"] == event["request_id"]

    admin.get("/inventory?secret=1", token)
    (access,) = logged(lines)
    assert access["path"] == "/inventory"
    assert (access["client_id"], access["address"]) == ("demo-admin", "127.0.0.1")
    assert (access["jti"], access["kid"]) == (event["jti"], event["kid"])

    admin.introspect(token)
    _, access = logged(lines)  # it is no API: refused
    assert access.keys() == {"time", "level", "message", "request_id", "status", "milliseconds"}

    logging_app.test_client().get(f"/nothing/{admin.secret}?x={admin.secret}")
    event, access = logged(lines)
    assert (event["path"], event["address"], access["status"]) == ("/nothing/[redacted]", "127.0.0.1", 404)
    assert not {"path", "address"} & access.keys()


def test_without_the_setting_a_request_without_an_event_has_no_line(
    admin: Machine,
    lines: list[str],  # noqa: F811
) -> None:
    token = admin.token()
    logged(lines)

    assert admin.get("/inventory", token).status_code == 200

    assert lines == []


def test_the_trace_of_a_trusted_proxy_is_a_field_and_any_other_is_not(
    logging_app: Flask,
    app: Flask,
    lines: list[str],  # noqa: F811
) -> None:
    def trace(app: Flask, sent: str) -> object:
        app.test_client().get("/nothing", headers={"traceparent": sent})
        return logged(lines)[0].get("trace_id")

    assert trace(logging_app, f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE
    assert trace(logging_app, f"01-{TRACE}-00f067aa0ba902b7-01-more") == TRACE
    assert trace(app, f"00-{TRACE}-00f067aa0ba902b7-01") is None
    for wrong in (
        "",
        TRACE,
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}x-00f067aa0ba902b7-01",
    ):
        assert trace(logging_app, wrong) is None


@pytest.mark.usefixtures("app")
def test_the_warnings_of_a_library_have_the_same_form() -> None:
    last: Any = logging.lastResort
    record = logging.makeLogRecord({"name": "a.library", "levelname": "WARNING", "msg": "odd"})

    assert last.level == logging.WARNING
    assert json.loads(last.format(record))["message"] == "odd"


@pytest.fixture
def production(prepared: Callable[[str], str]) -> dict[str, str]:
    """The environment of a production server, with a database without demo clients."""
    url = prepared("sqlite")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {
        "KEYTURN_ENV": "production",
        "KEYTURN_ISSUER": "https://auth.example.com",
        "KEYTURN_TRUSTED_PROXIES": "1",
        "KEYTURN_DATABASE_URL": url,
        "KEYTURN_SECRET_KEYS": SECRET_KEY,
        "KEYTURN_ACCESS_LOG": "on",
        "PORT": str(free_port()),
    }
    made = build_app(database_url=url)
    operator = Operator(made)
    for each in operator.run("clients", "list")["clients"]:
        operator.run("clients", "delete", each["client_id"])
    close(made)
    return environment


def start(environment: dict[str, str], folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start gunicorn in another directory than the project's."""
    log = folder / "server.log"
    files = ["--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]
    command = [sys.executable, "-m", "gunicorn", *files, *options, "wsgi:app"]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output), log


def test_every_line_of_a_production_server_is_json_gunicorns_too(production: dict[str, str], tmp_path: Path) -> None:
    server, log = start(production, tmp_path, "--timeout", "2", "--access-logfile", "-")
    url = f"http://127.0.0.1:{production['PORT']}"
    try:
        wait_for(lambda: responds(f"{url}/inventory"))
        call(url, "/nothing?secret=kts_0123456789abcdefghij")
        hang(server)
        wait_for(lambda: "was sent SIGKILL" in log.read_text())
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: "Hang up" in log.read_text())
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
    written = log.read_text()
    suite.record(written)

    found = [json.loads(line) for line in written.splitlines()]
    assert all(TIME.fullmatch(line["time"]) for line in found)
    messages = " ".join(line["message"] for line in found)
    for sentence in ("Starting gunicorn", "Booting worker", "WORKER TIMEOUT", "Handling signal: hup", "Shutting down"):
        assert sentence in messages
    assert "--access-logfile has no effect: KEYTURN_ACCESS_LOG=on" in messages
    assert {"request", "request_refused"} <= {line["message"] for line in found}
    assert "secret=" not in written


def call(url: str, path: str) -> None:
    subprocess.run(["curl", "-s", "-o", os.devnull, "-u", BASIC, f"{url}{path}"], check=True)


def hang(server: subprocess.Popen[bytes]) -> None:
    """Stop one worker, as a hung one is."""
    psutil.Process(server.pid).children()[0].suspend()


def test_a_production_server_that_does_not_start_says_why_in_one_line(
    production: dict[str, str], tmp_path: Path
) -> None:
    server, log = start(production | {"KEYTURN_ACCESS_LOG": "yes", "KEYTURN_AUDIT_DAYS": "0"}, tmp_path)

    assert server.wait(timeout=60) != 0
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["level"], line["message"]) == ("CRITICAL", "Keyturn does not start")
    assert [fault.split()[0] for fault in line["faults"]] == ["KEYTURN_AUDIT_DAYS", "KEYTURN_ACCESS_LOG"]
