"""However gunicorn is started, the same headers count; a start without our configuration is reported."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port, wait_for
from tests.support.hostile_clients import FORM, Response, read_response

GUNICORN = [sys.executable, "-m", "gunicorn"]
CONFIGURED = ["--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]


@dataclass
class Way:
    """A way to start gunicorn: its command, its directory, and where it listens."""

    command: list[str]
    directory: Path
    address: str | tuple[str, int]
    listener: socket.socket | None = None


def over_tcp(_: Path) -> Way:
    port = free_port()
    return Way([*GUNICORN, "--bind", f"127.0.0.1:{port}"], ROOT, ("127.0.0.1", port))


def over_a_unix_socket(folder: Path) -> Way:
    return Way([*GUNICORN, "--bind", f"unix:{folder}/keyturn.sock"], ROOT, f"{folder}/keyturn.sock")


def activated(listener: socket.socket) -> Way:
    """As systemd does it: the socket is file 3, and LISTEN_PID is the process itself."""
    script = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
    listener.listen()
    return Way(["bash", "-c", script, "bash", *GUNICORN], ROOT, listener.getsockname(), listener)


def by_an_activated_tcp_socket(_: Path) -> Way:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return activated(listener)


def by_an_activated_unix_socket(folder: Path) -> Way:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/activated.sock")
    return activated(listener)


def from_another_directory(folder: Path) -> Way:
    port = free_port()
    return Way([*GUNICORN, *CONFIGURED, "--bind", f"127.0.0.1:{port}"], folder, ("127.0.0.1", port))


def from_another_directory_by_the_path_of_python(folder: Path) -> Way:
    port = free_port()
    command = [*GUNICORN, *CONFIGURED[:2], "--pythonpath", str(ROOT), "--bind", f"127.0.0.1:{port}"]
    return Way(command, folder, ("127.0.0.1", port))


def with_chdir_alone(folder: Path) -> Way:
    port = free_port()
    return Way([*GUNICORN, "--chdir", str(ROOT), "--bind", f"127.0.0.1:{port}"], folder, ("127.0.0.1", port))


WAYS = (
    over_tcp,
    over_a_unix_socket,
    by_an_activated_tcp_socket,
    by_an_activated_unix_socket,
    from_another_directory,
    from_another_directory_by_the_path_of_python,
)
PRODUCTION = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
Start = Callable[..., LiveServer]


@pytest.fixture
def start(prepared: Callable[[str], str], tmp_path: Path) -> Iterator[Start]:
    """Starts gunicorn in one of the ways, on a database without demo clients."""
    servers: list[LiveServer] = []

    def run(way: Way, **settings: str) -> LiveServer:
        url = prepared("sqlite")
        with closing(sqlite3.connect(make_url(url).database or "")) as connection, connection:
            connection.execute("DELETE FROM clients")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        environment |= {
            "KEYTURN_SECRET_KEYS": SECRET_KEY,
            "KEYTURN_DATABASE_URL": url,
            "KEYTURN_JOURNAL": "off",
        } | settings
        files = (way.listener.fileno(),) if way.listener else ()
        log = tmp_path / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*way.command, "wsgi:app"],
                cwd=way.directory,
                env=environment,
                stdout=output,
                stderr=output,
                pass_fds=files,
            )
        if way.listener:
            way.listener.close()
        servers.append(LiveServer(process, "", environment, log))
        wait_for(lambda: process.poll() is not None or accepts(way))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


def connect(way: Way) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX if isinstance(way.address, str) else socket.AF_INET)
    connection.settimeout(30)
    try:
        connection.connect(way.address)
    except OSError:
        connection.close()
        raise
    return connection


def accepts(way: Way) -> bool:
    try:
        connect(way).close()
    except OSError:
        return False
    return True


def request_token(way: Way, headers: str, path: str = "/oauth/token") -> Response:
    with connect(way) as connection:
        body = "grant_type=client_credentials"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: {len(body)}\r\n{headers}\r\n"
        connection.sendall((head + body).encode())
        response = read_response(connection)
    assert response
    return response


HTTPS_CLAIMED = (
    "",
    "X-Forwarded-Proto: https\r\n",
    "X-Forwarded-Ssl: on\r\n",
    "X-Forwarded-Protocol: ssl\r\n",
    "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
    "X_Forwarded_Proto: https\r\n",
    "SCRIPT_NAME: /zzz\r\n",
    "Script-Name: /zzz\r\n",
    "PATH_INFO: /zzz\r\n",
    "SCRIPT_NAME: /oauth\r\n",
)


@pytest.mark.parametrize("way", WAYS)
def test_R002_R104_no_header_of_a_proxy_is_trusted_by_gunicorn(
    start: Start, tmp_path: Path, way: Callable[[Path], Way]
) -> None:
    chosen = way(tmp_path)
    start(chosen, **PRODUCTION)

    for headers in HTTPS_CLAIMED:
        response = request_token(chosen, headers)

        assert response.status == 400
        assert json.loads(response.body)["error_description"] == "This address accepts https only.", headers
    assert request_token(chosen, "SCRIPT_NAME: /zzz\r\n", "/zzz/oauth/token").status == 404


@pytest.mark.parametrize("way", [over_tcp, over_a_unix_socket])
def test_R104_the_header_of_a_trusted_proxy_counts(start: Start, tmp_path: Path, way: Callable[[Path], Way]) -> None:
    chosen = way(tmp_path)
    start(chosen, **PRODUCTION, KEYTURN_TRUSTED_PROXIES="1")
    forwarded = "X-Forwarded-For: 192.0.2.1\r\n"

    assert request_token(chosen, f"{forwarded}X-Forwarded-Proto: https\r\n").status == 401
    assert request_token(chosen, f"{forwarded}X-Forwarded-Proto: http\r\n").status == 400
    assert request_token(chosen, f"{forwarded}X_Forwarded_Proto: https\r\nX-Forwarded-Proto: http\r\n").status == 400
    assert request_token(chosen, f"{forwarded}X-Forwarded-Proto: https\r\nSCRIPT_NAME: /zzz\r\n").status == 401


def test_production_refuses_a_gunicorn_that_has_not_read_our_configuration(start: Start, tmp_path: Path) -> None:
    server = start(with_chdir_alone(tmp_path), **PRODUCTION)

    assert server.process.wait(timeout=30) == 3
    assert f"--config {ROOT}/gunicorn.conf.py --chdir {ROOT}" in server.log.read_text()


@pytest.mark.parametrize("way", [with_chdir_alone, over_tcp])
def test_development_says_so_in_one_line(start: Start, tmp_path: Path, way: Callable[[Path], Way]) -> None:
    chosen = way(tmp_path)
    server = start(chosen)

    assert request_token(chosen, "").status == 401
    assert server.log.read_text().count("gunicorn runs without Keyturn's configuration") == (way is with_chdir_alone)


def test_another_worker_class_is_another_configuration(start: Start, tmp_path: Path) -> None:
    chosen = over_tcp(tmp_path)
    chosen.command += ["--worker-class", "sync"]

    assert start(chosen, **PRODUCTION).process.wait(timeout=30) == 3
