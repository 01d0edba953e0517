"""The server as deployed: gunicorn, two workers, signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import make_url

import config
from tests.conftest import ROOT, SECRET_KEY, LiveServer, kid_of, responds, wait_for
from tests.support.calling import BASIC, FORM, call, events, send_form, token


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_R077_every_worker_signs_with_the_same_key_and_accepts_every_token(
    live: Callable[..., LiveServer], kind: str
) -> None:
    server = live(kind)

    tokens = [token(server) for _ in range(20)]
    sets = {call(server, "GET", "/.well-known/jwks.json")[2] for _ in range(20)}

    assert len({kid_of(each) for each in tokens}) == len(sets) == 1
    assert {call(server, "GET", "/inventory", Authorization=f"Bearer {each}")[0] for each in tokens} == {200}


def test_R028_what_the_operator_changes_takes_effect_on_every_worker_at_once(live: Callable[..., LiveServer]) -> None:
    server = live()
    token(server)

    server.flask("clients", "disable", "demo-admin")

    for _ in range(10):
        status, _, _ = call(
            server, "POST", "/oauth/token", "grant_type=client_credentials", Authorization=f"Basic {BASIC}", **FORM
        )
        assert status == 401


@pytest.mark.parametrize("client", ["demo-partner", "demo-opaque"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_R095_a_revoked_token_is_refused_by_every_worker_at_once(
    live: Callable[..., LiveServer], kind: str, client: str
) -> None:
    server = live(kind)
    bearers = [send_form(server, client, scope="inventory:read") for _ in range(4)]
    for bearer in bearers:
        assert call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] == 200

        send_form(server, client, "/oauth/revoke", token=bearer)

        assert {call(server, "GET", "/inventory", Authorization=f"Bearer {bearer}")[0] for _ in range(8)} == {401}


def test_R104_gunicorn_trusts_no_proxy_header_by_itself(live: Callable[..., LiveServer]) -> None:
    server = live()
    for demo in config.DEMO_CLIENTS:
        server.flask("clients", "delete", demo.client_id)
    environment = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
    production = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"], **environment)

    status, _, body = call(production, "POST", "/oauth/token", "grant_type=x", X_Forwarded_Proto="https", **FORM)

    assert (status, json.loads(body)["error_description"]) == (400, "This address accepts https only.")


def test_trap_gunicorn_opens_a_control_socket_in_the_home_directory(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live(HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))

    assert responds(server.url)
    assert list(tmp_path.rglob("gunicorn.ctl")) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_no_event_is_lost_when_the_server_is_stopped(live: Callable[..., LiveServer], how: signal.Signals) -> None:
    server = live()
    for _ in range(10):
        token(server, "read:logs")

    os.kill(server.process.pid, how)
    assert server.process.wait(timeout=30) == 0
    again = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"])

    issued = [each for each in events(again, "event=token_issued&limit=200") if each["scope"] == "read:logs"]
    assert sum(int(str(each["count"])) for each in issued) == 10
    assert "Traceback" not in server.log.read_text()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux shows what a process has open")
def test_no_connection_to_the_database_is_open_when_the_workers_are_forked(prepared: Callable[[str], str]) -> None:
    url = prepared("sqlite")
    file = Path(make_url(url).database or "")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM clients")  # with demo clients production does not start
    look = (
        "import gc; gc.disable(); import os, wsgi; print(*(os.readlink(f.path) for f in os.scandir('/proc/self/fd')))"
    )
    environment = os.environ | {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
    environment |= {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}
    server = subprocess.run([sys.executable, "-c", look], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert server.returncode == 0, server.stderr
    assert "/dev/null" in server.stdout or "pipe" in server.stdout
    assert file.name not in server.stdout


def cores_of(master: psutil.Process) -> list[list[int]]:
    """The cores that each worker may use."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [worker.cpu_affinity() for worker in master.children()]
    return []


def all_cores() -> list[int]:
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core, or does not let a process choose")
    return sorted(os.sched_getaffinity(0))


def test_each_worker_keeps_to_a_core_and_a_new_one_takes_the_core_that_is_free(
    live: Callable[..., LiveServer],
) -> None:
    expected = [[core] for core in all_cores()]
    master = psutil.Process(live(WEB_CONCURRENCY=str(len(expected))).process.pid)
    wait_for(lambda: len(master.children()) == len(expected))

    for _ in range(2):
        (first, *_) = master.children()
        first.kill()
        wait_for(lambda gone=first: gone not in master.children() and sorted(cores_of(master)) == expected)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"WEB_CONCURRENCY": "1"}, id="fewer-workers-than-cores"),
        pytest.param({"WEB_CONCURRENCY": str((os.cpu_count() or 1) + 1)}, id="one-core-would-get-more"),
        pytest.param({"WEB_CONCURRENCY": str(os.cpu_count()), "KEYTURN_PIN_WORKERS": "off"}, id="switched-off"),
    ],
)
def test_a_worker_may_use_every_core_where_they_would_not_be_shared_evenly(
    live: Callable[..., LiveServer], settings: dict[str, str]
) -> None:
    cores = all_cores()
    server = live(**settings)
    master = psutil.Process(server.process.pid)

    wait_for(lambda: len(master.children()) == int(settings["WEB_CONCURRENCY"]))
    assert {call(server, "GET", "/.well-known/jwks.json")[0] for _ in range(8)} == {200}  # the workers are up

    assert cores_of(master) == [cores] * len(master.children())


def wait_until_each_responds(server: LiveServer) -> None:
    """A worker that has just been forked accepts no connection yet: stop the others, so that it must."""
    workers = psutil.Process(server.process.pid).children()
    for worker in workers:
        others = [each for each in workers if each != worker]
        for each in others:
            each.suspend()
        try:
            wait_for(lambda: responds(server.url))
        finally:
            for each in others:
                each.resume()


def test_persistent_connections_are_shared_and_more_than_threads_are_served(
    live: Callable[..., LiveServer],
) -> None:
    server = live()
    workers = psutil.Process(server.process.pid).children
    wait_for(lambda: len(workers()) == 2)
    wait_until_each_responds(server)
    with contextlib.ExitStack() as stack:
        address = urlsplit(server.url).netloc
        connections = [stack.enter_context(closing(http.client.HTTPConnection(address, timeout=30))) for _ in range(40)]

        def request_over(connections: list[http.client.HTTPConnection]) -> None:
            for connection in connections:
                connection.request("GET", "/.well-known/jwks.json")
                assert connection.getresponse().read()

        request_over(connections)  # many: on a busy machine a worker may be late for a few
        found = [worker.net_connections() for worker in workers()]
        request_over(connections * 2)

    assert all(any(each.status == psutil.CONN_ESTABLISHED for each in worker) for worker in found)


def test_a_worker_that_is_killed_is_replaced_and_nothing_changes_for_clients(
    live: Callable[..., LiveServer],
) -> None:
    server = live()
    before = token(server)
    children = (
        Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="utf-8").split()
    )

    os.kill(int(children[0]), signal.SIGKILL)

    wait_for(lambda: responds(server.url))
    for _ in range(10):
        assert call(server, "GET", "/inventory", Authorization=f"Bearer {before}")[0] == 200


def test_when_the_master_is_killed_its_port_is_free_and_its_workers_close_their_connections(
    live: Callable[..., LiveServer],
) -> None:
    killed = live()
    place = urlsplit(killed.url)
    with closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:

        def connection_is_closed() -> bool:
            connection.request("GET", "/.well-known/jwks.json")
            response = connection.getresponse()
            assert response.read()
            return response.headers["Connection"] == "close"

        assert not connection_is_closed()
        killed.process.kill()

        wait_for(connection_is_closed, seconds=20)  # it keeps requesting: an idle connection is closed anyway
    wait_for(lambda: not responds(killed.url))
    assert token(live(PORT=str(place.port)))


# gunicorn's settings, with a second between the fork of a worker and its own handlers of signals.
SLOW_TO_BOOT = """
import pathlib, time
exec(pathlib.Path("gunicorn.conf.py").read_text())
loglevel, workers, graceful_timeout = "info", 1, 3
folder = pathlib.Path({folder!r})

def post_fork(_, worker):
    (folder / f"forked-{{worker.pid}}").touch()
    time.sleep(1)

def worker_exit(_, worker):
    (folder / f"ended-{{worker.pid}}").touch()
"""


def test_a_stop_is_obeyed_by_a_worker_that_is_still_booting(live: Callable[..., LiveServer], tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_TO_BOOT.format(folder=str(tmp_path)))
    server = live(GUNICORN_CMD_ARGS=f"--config {tmp_path}/slow.py")
    (first,) = psutil.Process(server.process.pid).children()

    first.kill()
    wait_for(lambda: len(list(tmp_path.glob("forked-*"))) == 2)

    assert server.stop() == 0
    (second,) = {each.name for each in tmp_path.glob("forked-*")} - {f"forked-{first.pid}"}
    assert [each.name for each in tmp_path.glob("ended-*")] == [second.replace("forked", "ended")]
