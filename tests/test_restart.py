"""A restart of the only server fails no request: something else holds its port meanwhile, as systemd does."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port, missing, responds, wait_for
from tests.support import activated
from tests.support.calling import BASIC, FORM
from tests.support.leaks import suite
from tests.support.noon import HTTPS, PATIENCE_SECONDS, Caller, load

UNIT = (ROOT / "deploy" / "keyturn.service").read_text(encoding="utf-8")
DEMO = "demo-admin:kts_demo-admin-is-for-learning-only"


def unit_command(name: str) -> list[str]:
    """A command of the systemd unit, with this Python."""
    (found,) = re.findall(rf"^{name}=(.+)$", UNIT, re.MULTILINE)
    _, *arguments = shlex.split(found)
    return [sys.executable, *arguments]


class Service:
    """What systemd does with the unit and its socket: it holds the port, and starts and stops the server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2_048)
        self.caller = Caller(self.socket.getsockname()[1])
        self.log = folder / "service.log"
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("KEYTURN_")} | {
            "KEYTURN_ENV": "development",
            "KEYTURN_SECRET_KEYS": SECRET_KEY,
            "KEYTURN_DATABASE_URL": url,
            "KEYTURN_JOURNAL": "off",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server with its present settings; systemd does not wait until it accepts connections."""
        prepare = unit_command("ExecStartPre")
        subprocess.run(prepare, cwd=ROOT, env=self.environment, check=True, capture_output=True)
        descriptor = self.socket.fileno()
        command = [sys.executable, activated.__file__, str(descriptor)]
        command += unit_command("ExecStart")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, pass_fds=[descriptor], stdout=log, stderr=log
            )

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            assert self.process.wait(timeout=60) == 0, self.log.read_text(encoding="utf-8")


@pytest.fixture
def service(prepared: Callable[[str], str], tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path, prepared("sqlite"))
    yield made
    made.stop()
    made.socket.close()
    suite.record(made.log.read_text(encoding="utf-8"))


def lifetime(caller: Caller) -> int:
    _, body = caller.form(DEMO, "/oauth/token", grant_type="client_credentials")
    issued = json.loads(body)
    suite.remember(issued["access_token"])
    return int(issued["expires_in"])


def on_new_connections(caller: Caller) -> Callable[[], list[tuple[str, int]]]:
    return lambda: [("a token", caller.token_status(DEMO)), ("a page", caller.send("GET", "/.well-known/jwks.json")[0])]


def on_one_connection(connection: http.client.HTTPConnection) -> Callable[[], list[tuple[str, int]]]:
    """Use one connection until the server says that it closes it, as a proxy does."""
    headers = HTTPS | FORM | {"Authorization": f"Basic {BASIC}"}

    def request() -> list[tuple[str, int]]:
        connection.request("POST", "/oauth/token", "grant_type=client_credentials", headers)
        with closing(connection.getresponse()) as response:
            response.read()
            if response.headers["Connection"] == "close":
                connection.close()
            return [("a token on a connection that goes on", response.status)]

    return request


@contextmanager
def loaded(caller: Caller) -> Iterator[Counter[tuple[str, object]]]:
    """Load on new connections and on one that goes on; no request may fail, from before the block until after it."""
    with closing(http.client.HTTPConnection("127.0.0.1", caller.port, timeout=PATIENCE_SECONDS)) as connection:
        with load([on_new_connections(caller), on_new_connections(caller), on_one_connection(connection)]) as seen:
            wait_for(lambda: sum(seen.values()) > 30)
            yield seen
            before = sum(seen.values())
            wait_for(lambda: sum(seen.values()) > before + 30)
        assert {status for _, status in seen} == {200}, seen


def children(pid: int) -> set[int]:
    with suppress(OSError):  # the process has ended
        return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()}
    return set()


def test_a_restart_of_the_only_server_fails_no_request_and_brings_new_settings(service: Service) -> None:
    caller = service.caller
    service.start()
    assert lifetime(caller) == 3_600

    with loaded(caller):
        for seconds in (600, 1_200) if os.environ.get("DRILLS") else (600,):
            service.stop()
            service.environment["KEYTURN_ACCESS_TOKEN_SECONDS"] = str(seconds)
            service.start()
            wait_for(lambda: lifetime(caller) == seconds, seconds=PATIENCE_SECONDS)  # noqa: B023


@pytest.mark.drill
def test_what_was_started_by_systemds_own_tool_serves_on_the_socket_that_it_passes(
    prepared: Callable[[str], str], tmp_path: Path
) -> None:
    program = shutil.which("systemd-socket-activate")
    if not program:
        missing("systemd-socket-activate", install="apt install systemd")
    service, port = Service(tmp_path, prepared("sqlite")), free_port()
    service.socket.close()
    command = [str(program), f"--listen=127.0.0.1:{port}"]
    # It passes on no environment except what is named.
    command += [f"--setenv={name}={text}" for name, text in service.environment.items()]
    with service.log.open("ab") as log:
        process = subprocess.Popen([*command, *unit_command("ExecStart")], cwd=ROOT, stdout=log, stderr=log)
    server = LiveServer(process, f"http://127.0.0.1:{port}", service.environment, service.log)
    try:
        wait_for(lambda: process.poll() is not None or responds(server.url))
        assert Caller(port).token_status(DEMO) == 200
    finally:
        assert server.stop() == 0


@pytest.mark.drill
def test_sighup_and_usr2_fail_no_request_and_keep_the_settings(live: Callable[..., LiveServer]) -> None:
    server = live(KEYTURN_ACCESS_TOKEN_SECONDS="900")
    caller = Caller(int(server.url.rpartition(":")[2]))
    first = server.process.pid

    with loaded(caller):
        old = children(first)
        os.kill(first, signal.SIGHUP)
        wait_for(lambda: len(children(first)) == 2 and not old & children(first))
        assert lifetime(caller) == 900

        os.kill(first, signal.SIGUSR2)
        wait_for(lambda: [len(children(each)) for each in children(first) if children(each)] == [2])
        (second,) = (each for each in children(first) if children(each))
        assert server.stop() == 0
        assert {lifetime(caller) for _ in range(8)} == {900}

    os.kill(second, signal.SIGTERM)
    wait_for(lambda: not caller.responds())
