"""Granian, the second server that the README names: it serves the same, starts and stops the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

import pytest

from tests.calling import BASIC, FORM, ask, call, events, token
from tests.conftest import ROOT, SECRET_KEY, LiveServer, answers, free_port, wait_for


def command(port: int) -> list[str]:
    """As the README shows it, at this port."""
    (shown,) = [line for line in (ROOT / "README.md").read_text().splitlines() if "/granian --interface" in line]
    words = shown.partition("`.venv/bin/granian ")[2].partition("`")[0].split()
    return [sys.executable, "-m", "granian", "--port", str(port), *words]


@pytest.fixture
def granian(prepared: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    servers: list[LiveServer] = []

    def start(kind: str = "sqlite", *options: str, **settings: str) -> LiveServer:
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        environment |= {"PORT": str(port), "KEYTURN_SECRET_KEYS": SECRET_KEY, "KEYTURN_DATABASE_URL": prepared(kind)}
        log = tmp_path / "granian.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command(port), *options], cwd=ROOT, env=environment | settings, stdout=output, stderr=output
            )
        servers.append(LiveServer(process, f"http://127.0.0.1:{port}", environment, log))
        wait_for(lambda: process.poll() is not None or answers(servers[-1].url))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("options", [(), ("--blocking-threads", "1")], ids=["as-it-comes", "one-thread"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_granian_issues_checks_and_revokes_in_every_worker(
    granian: Callable[..., LiveServer], kind: str, options: tuple[str, ...]
) -> None:
    server = granian(kind, *options)
    for client in ("demo-partner", "demo-opaque"):
        bearer = ask(server, client, scope="inventory:read")
        assert {call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] for _ in range(8)} == {200}

        ask(server, client, "/oauth/revoke", token=bearer)

        assert {call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] for _ in range(8)} == {401}


def test_granian_keeps_the_trail_while_it_runs_and_stops_when_it_is_told(granian: Callable[..., LiveServer]) -> None:
    server = granian()
    for _ in range(20):
        token(server)

    wait_for(lambda: sum(int(str(each["count"])) for each in events(server, "event=token_issued")) >= 20)

    assert server.stop() == 0


def test_R107_under_granian_a_stalled_body_holds_up_nobody_else(granian: Callable[..., LiveServer]) -> None:
    server = granian()
    address = urlsplit(server.url).hostname, urlsplit(server.url).port
    stalled = [create_connection(address, timeout=30) for _ in range(16)]
    head = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {BASIC}\r\n"
    head += f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: 29\r\n\r\ngrant_type"
    for each in stalled:
        each.sendall(head.encode())

    assert [len(token(server)) > 100 for _ in range(8)] == [True] * 8

    for each in stalled:
        with closing(each):
            each.sendall(b"=client_credentials")
            assert each.recv(1_000).startswith(b"HTTP/1.1 200")


def test_granian_does_not_start_on_a_fault_and_says_why(granian: Callable[..., LiveServer]) -> None:
    server = granian(KEYTURN_ENV="production")

    assert server.process.wait(timeout=30) != 0
    assert "KEYTURN_ISSUER must be an https URL in production." in server.log.read_text()


def test_granian_answers_in_json_what_it_cannot_read(granian: Callable[..., LiveServer]) -> None:
    status, _, body = call(granian(), "POST", "/oauth/token", "x" * 20_000, **FORM)

    assert (status, json.loads(body)["error"]) == (413, "invalid_request")
