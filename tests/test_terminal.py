"""`make run` in a terminal: a welcome, each request as one readable line, and no JSON; elsewhere, JSON as always."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import config
from app.operations.startup import welcome
from app.settings import read_settings
from tests.conftest import LiveServer, responds, wait_for
from tests.support.calling import BASIC, FORM, call
from tests.support.terminal import COLUMNS, Project, Terminal

COLOR = "\x1b["


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "keyturn")


@pytest.fixture
def serve(project: Project) -> Iterator[Callable[..., Terminal]]:
    """Starts the project's server in a terminal, as `make run` does."""
    started: list[Terminal] = []

    def start(**environment: str) -> Terminal:
        started.append(project.serve(**environment))
        return started[-1]

    yield start
    for terminal in started:
        terminal.kill()


def test_the_first_start_is_a_welcome_without_a_line_of_json(serve: Callable[..., Terminal], project: Project) -> None:
    server = serve()

    printed = server.text()
    assert f"\nKeyturn is running. Open the playground in a browser: {project.url}/\n" in printed
    assert "The first signing key is " in printed
    assert not [line for line in printed.splitlines() if line.startswith(("{", "["))]
    assert COLOR not in server.raw()
    shown = printed[printed.index("Keyturn is running") :]
    places = [shown.index(each) for each in (f"{project.url}/\n", "demo-admin", "Request a token", "flask lesson")]
    assert places == sorted(places) < [shown.index("Ctrl-C")]
    assert server.interrupt() == 0
    assert server.text().endswith("Stopped.\n")
    assert not responds(project.url)


def test_the_welcome_is_aligned_and_short() -> None:
    text = welcome(read_settings({}))

    rows = [line for line in text.splitlines() if line.startswith("  demo-")]
    columns = [re.search(r"(kts_.*only|\(a private key: .*?\)) +", row) for row in rows]
    assert len({column.span() for column in columns if column}) == 1
    assert all(columns)
    assert text.count("\n") < 32
    assert max(len(line) for line in text.splitlines() if "curl" not in line) <= COLUMNS + 10


REFUSED = re.compile(
    r'^\d\d:\d\d:\d\d POST /oauth/token     400 invalid_scope demo-reporting post scope="reports:raed"\n'
    r" {9}did you mean reports:read\?  \([0-9a-f]{16}\)$",
    re.MULTILINE,
)


def test_a_request_is_one_readable_line_that_says_what_happened_and_why(
    serve: Callable[..., Terminal], project: Project
) -> None:
    server = serve()
    project.request_token("demo-reporting", scope="reports:raed")
    # A line is printed after its response was sent, and another worker may be quicker.
    wait_for(lambda: bool(REFUSED.search(server.text())))
    project.send("GET", "/tokn?client_secret=kts_0123456789abcdefghij")
    server.wait_for("404 not_found")

    after = server.text().partition("Ctrl-C")[2]
    assert REFUSED.search(after)
    assert "kts_0123" not in after
    assert max(len(line) for line in after.splitlines()) <= COLUMNS
    assert "{" not in after  # the log line that says the same is not printed
    assert after.count("invalid_scope") == 1
    assert f"{COLOR}33m400 invalid_scope{COLOR}0m" in server.raw()


def close_when_closed(connection: socket.socket) -> None:
    """As a browser does."""
    with connection, contextlib.suppress(OSError):
        connection.recv(1)


def test_ctrl_c_stops_without_a_word_of_alarm_while_a_browser_holds_connections(
    serve: Callable[..., Terminal], project: Project
) -> None:
    server = serve()
    held = [socket.create_connection(("127.0.0.1", project.port)) for _ in range(4)]  # in advance: nothing is sent
    threads = [threading.Thread(target=close_when_closed, args=(each,)) for each in held]
    for thread in threads:
        thread.start()
    project.send("GET", "/tokn")
    server.wait_for("404 not_found")

    assert server.interrupt() == 0

    for thread in threads:
        thread.join()
    assert "ERROR" not in server.text()
    assert "memory" not in server.text()


@pytest.mark.parametrize(
    ("environment", "is_colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
    ids=str,
)
def test_colors_are_for_a_terminal_whose_user_wants_them(
    serve: Callable[..., Terminal], project: Project, environment: dict[str, str], is_colored: bool
) -> None:
    server = serve(**environment)
    project.send("GET", "/admin/logs")
    server.wait_for("no_token")

    assert (COLOR in server.raw()) == is_colored


def test_a_warning_is_a_readable_line_too(serve: Callable[..., Terminal], project: Project) -> None:
    file = project.folder / "keyturn.toml"
    server = serve()
    server.interrupt()
    file.write_text(re.sub(r"^.*reports:read.*\n", "", file.read_text(), flags=re.MULTILINE))

    again = serve()

    warnings = [line for line in again.text().splitlines() if " warning: " in line]
    assert warnings
    assert all(re.match(r"\d\d:\d\d:\d\d warning: ", line) for line in warnings)


def test_without_a_terminal_the_lines_are_json_whatever_asks_for_color(live: Callable[..., LiveServer]) -> None:
    server = live(FORCE_COLOR="1")
    call(
        server, "POST", "/oauth/token", "grant_type=client_credentials&scope=x", Authorization=f"Basic {BASIC}", **FORM
    )
    wait_for(lambda: "token_refused" in server.log.read_text())

    log = server.log.read_text()
    (line,) = [json.loads(line) for line in log.splitlines() if line.startswith("{") and "token_refused" in line]
    assert (line["method"], line["path"], line["client_id"]) == ("POST", "/oauth/token", "demo-admin")
    assert COLOR not in log


def test_production_writes_json_in_a_terminal_too_and_records_nothing(project: Project) -> None:
    project.run("prepare")
    for demo in config.DEMO_CLIENTS:
        assert project.run("clients", "delete", demo.client_id).returncode == 0
    (project.folder / "instance/requests.jsonl").unlink(missing_ok=True)
    secret = (project.folder / "instance/secret-key").read_text()
    production = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
    environment = project.environment | production | {"KEYTURN_SECRET_KEYS": secret, "KEYTURN_TRUSTED_PROXIES": "1"}
    server = Terminal([sys.executable, "-m", "gunicorn", "wsgi:app"], project.folder, environment)
    try:
        server.wait_for("Booting worker", count=2)
        project.send("POST", "/oauth/token", {"grant_type": "client_credentials"}, X_Forwarded_Proto="https")
        project.send("GET", "/internal/reports", X_Forwarded_Proto="https")
        wait_for(lambda: "\n" in server.text().partition("access_refused")[2])  # the whole line

        (refused,) = [json.loads(line) for line in server.text().splitlines() if "token_refused" in line]
        (access,) = [json.loads(line) for line in server.text().splitlines() if "access_refused" in line]
        assert (refused["method"], refused["path"]) == ("POST", "/oauth/token")
        assert (access["method"], access["path"]) == ("GET", "/internal/reports")
        assert not (project.folder / "instance/requests.jsonl").exists()
        assert "Keyturn is running" not in server.text()
        # No file is watched: new code needs a restart, and SIGHUP replaces the workers only.
        (project.folder / "wsgi.py").write_text("raise RuntimeError")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("Booting worker", count=4)
        assert project.send("GET", "/openapi.json", X_Forwarded_Proto="https")[0] == 200
        assert "reloaded" not in server.text()
    finally:
        server.process.terminate()
        server.end()


def test_flask_tail_shows_the_same_lines_as_they_come(serve: Callable[..., Terminal], project: Project) -> None:
    serve()
    project.send("GET", "/admin/logs")
    tail = project.flask("tail")
    try:
        tail.wait_for("no_token")
        project.request_token("demo-admin", scope="read:lgos")
        tail.wait_for("did you mean read:logs?")
        assert COLOR in tail.raw()
        assert tail.interrupt() == 0
    finally:
        tail.kill()
    assert "Traceback" not in tail.text()

    plain = project.run("tail", "-n", "1").stdout
    (entry,) = [json.loads(line) for line in project.run("tail", "-n", "1", "--json").stdout.splitlines()]
    assert len(plain.splitlines()) == 1
    assert "invalid_scope demo-admin post" in plain
    assert COLOR not in plain
    assert entry["scope"] == "read:lgos"
    assert project.run("tail", "-n", "0").stdout == ""


def test_flask_tail_goes_on_when_the_older_half_is_dropped(project: Project) -> None:
    program = """
import sys
from pathlib import Path
from app.journal import journal_file
from app.journal.entry import Entry
journal_file.MAX_BYTES = 5_000
journal = journal_file.Journal(Path("instance/requests.jsonl"))
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    journal.append(Entry(at=number, method="GET", path=f"/number/{number}", status=200))
"""

    def write(first: int, end: int) -> None:
        command = [sys.executable, "-c", program, str(first), str(end)]
        subprocess.run(command, cwd=project.folder, env=project.environment, check=True)

    write(0, 3)
    tail = project.flask("tail")
    try:
        tail.wait_for("/number/2")
        for start in range(3, 123, 20):
            write(start, start + 20)
            tail.wait_for(f"/number/{start + 19}")
        numbers = [int(found) for found in re.findall(r"/number/(\d+)", tail.text())]
    finally:
        tail.kill()

    assert numbers == list(range(123))


def test_the_port_of_the_server_is_the_one_that_explain_and_lesson_name(
    serve: Callable[..., Terminal], project: Project
) -> None:
    serve()
    status, body = project.request_token("demo-admin", scope="read:lgos")
    del project.environment["PORT"]

    explained = project.run("explain", "--last").stdout
    lesson = project.run("lesson").stdout

    assert (status, body["error"]) == (400, "invalid_scope")
    assert f"page      {project.url}/errors/invalid_scope" in explained
    assert f"curl -s {project.url}/.well-known/oauth-authorization-server" in lesson
