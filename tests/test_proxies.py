"""Keyturn behind nginx and HAProxy, each configured as `docs/behind-a-proxy.md` shows it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url

from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port, missing, wait_for
from tests.support import certificates
from tests.support.hostile_clients import START, chunked, is_open
from tests.support.leaks import suite

PAGE = (ROOT / "docs" / "behind-a-proxy.md").read_text()
FILES = {name: text for text, name in re.findall(r"^```\w+\n(# (\S+\.\w+)\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)}
HOST = "auth.example.com"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BODY = "grant_type=client_credentials"
# How often each hostile client repeats its attack; `make drills` sets more.
ROUNDS = 150 if os.environ.get("DRILLS") else 15
ADDRESS_LIMIT = 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its own certificate, in one file."""
    file = tmp_path_factory.mktemp("tls") / "auth.pem"
    file.write_bytes(certificates.own(HOST))
    return file


@dataclass
class Front:
    """A proxy in front of a Keyturn, and the client registered there."""

    server: LiveServer
    port: int
    certificate: Path
    client: str

    def connection(self) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        return HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)

    def socket(self) -> ssl.SSLSocket:
        connection = self.connection()
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        return connection.sock

    def request_token(self, credentials: str, *headers: tuple[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Request a token with these additional headers, each sent exactly as written."""
        basic = b64encode(credentials.encode()).decode()
        with closing(self.connection()) as connection:
            connection.putrequest("POST", "/oauth/token")
            for name, value in (*FORM.items(), ("Authorization", f"Basic {basic}"), *headers):
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(BODY)))
            connection.endheaders(BODY.encode())
            response = connection.getresponse()
            body = response.read()
        if response.status == 200:
            suite.remember(json.loads(body)["access_token"])
        return response.status, {name.lower(): value for name, value in response.headers.items()}, body


def nginx(folder: Path, fill: Callable[[str], str]) -> list[str]:
    (folder / "auth.conf").write_text(fill(FILES["auth.conf"]))
    paths = "".join(f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid nginx.pid; error_log stderr info; events {{}}"
        f"http {{ access_log access.log; {paths} include auth.conf; }}"
    )
    return ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


def haproxy(folder: Path, fill: Callable[[str], str]) -> list[str]:
    (folder / "auth.cfg").write_text(fill(FILES["auth.cfg"]))
    return ["haproxy", "-db", "-f", "auth.cfg"]


def production(live_servers: Callable[..., LiveServer], url: str, folder: Path, **settings: str) -> LiveServer:
    with closing(sqlite3.connect(make_url(url).database or "")) as connection, connection:
        connection.execute("DELETE FROM clients")  # with demo clients production does not start
    environment = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": f"https://{HOST}", "KEYTURN_TRUSTED_PROXIES": "1"}
    return live_servers(url, folder, **environment, **settings)


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def front(
    request: pytest.FixtureRequest,
    prepared: Callable[[str], str],
    live_servers: Callable[..., LiveServer],
    tmp_path_factory: pytest.TempPathFactory,
    certificate: Path,
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    # One worker, so that its limits count for all.
    limits = {"WEB_CONCURRENCY": "1", "KEYTURN_LIMIT_ADDRESS": f"{ADDRESS_LIMIT}/hour"}
    server = production(live_servers, prepared("sqlite"), folder, **limits)
    made = json.loads(server.flask("clients", "create", "good", "--scope", "read:logs", "--json"))
    suite.remember(made["client_secret"])
    port = free_port()

    def fill(text: str) -> str:
        text = text.replace("127.0.0.1:8000", urlsplit(server.url).netloc).replace(
            "/etc/ssl/auth.pem", str(certificate)
        )
        return re.sub(
            r"(listen |bind :)443", lambda found: f"{found[1].replace(':', '127.0.0.1:')}{port}", text
        ).replace(f"listen {port}", f"listen 127.0.0.1:{port}")

    name, *options = request.param(folder, fill)
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        missing(name, install=f"apt install {name}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(found), *options], cwd=folder, stdout=log, stderr=log)
    wait_for(lambda: process.poll() is not None or listens(port))
    assert process.poll() is None, (folder / "log").read_text()
    yield Front(server, port, certificate, f"{made['client_id']}:{made['client_secret']}")
    process.terminate()
    process.wait(timeout=30)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


HEAD = START.replace("Host: x", f"Host: {HOST}").encode()
HOSTILE = {
    "long-body": HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000,
    "longer-body": HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 900_000,
    "too-long-body": HEAD + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000,
    "long-chunked-body": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 100_000),
    "bad-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "bad-chunk-after-a-good-one": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\nzz\r\n",
    "chunk-without-an-end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\ngrant",
    "cut-short": HEAD + b"Content-Length: 100000\r\n\r\nabc",
    "cut-short-in-the-middle": HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 70_000,
    "long-body-elsewhere": HEAD.replace(b"POST /oauth/token", b"GET /.well-known/jwks.json")
    + b"Content-Length: 100000\r\n\r\n"
    + b"x" * 100_000,
    "hangs-up": HEAD + b"Content-Length: 29\r\n\r\n" + BODY.encode(),
}


def misbehave(front: Front, sent: bytes) -> None:
    with contextlib.suppress(OSError), closing(front.socket()) as connection:
        connection.sendall(sent)
        connection.settimeout(0.2)
        connection.recv(1_000)


def test_no_request_of_a_good_client_fails_while_another_client_misbehaves(front: Front) -> None:
    done = threading.Event()

    def behave() -> list[object]:
        found: list[object] = []
        while not done.is_set() or len(found) < 5:
            try:
                status, _, body = front.request_token(front.client)
                found.append(status if status == 200 else body)
            except (OSError, HTTPException) as error:
                found.append(error)
        return found

    with ThreadPoolExecutor(3 + len(HOSTILE)) as pool:
        good = [pool.submit(behave) for _ in range(3)]
        bad = [
            pool.submit(lambda sent=sent: [misbehave(front, sent) for _ in range(ROUNDS)]) for sent in HOSTILE.values()
        ]
        for each in bad:
            each.result()
        done.set()

    assert [one for each in good for one in each.result() if one != 200] == []


def test_R107_a_client_gets_its_token_while_others_stall_behind_the_proxy(front: Front) -> None:
    with contextlib.ExitStack() as stack:
        stalled = []
        for _ in range(24):
            connection = stack.enter_context(closing(front.socket()))
            connection.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 70_000)
            stalled.append(connection)

        assert [front.request_token(front.client)[0] for _ in range(4)] == [200] * 4

        assert all(is_silent(connection) for connection in stalled)


def is_silent(connection: ssl.SSLSocket) -> bool:
    """Whether the proxy has neither responded nor closed; a TLS ticket is no response."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b"never"
    except ssl.SSLWantReadError:
        return True


@pytest.mark.parametrize("name", ["X-Request-Id", "X_Request_Id", "x-request_id"])
def test_the_id_of_a_request_is_the_proxys_and_not_the_clients(front: Front, name: str) -> None:
    _, headers, _ = front.request_token(front.client, (name, "chosen-by-the-client"))

    assert re.fullmatch("[0-9a-f-]{32,36}", headers["x-request-id"])


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-Ssl"])
def test_R002_the_scheme_is_the_proxys_and_not_the_clients(front: Front, name: str) -> None:
    assert front.request_token(front.client, (name, "http"))[0] == 200


def test_R104_whatever_address_the_client_claims_the_proxy_decides(front: Front) -> None:
    # The last test of this server: its failures count for anyone from the same address.
    pretended = [
        ("X-Forwarded-For", "192.0.2.{n}"),
        ("X_Forwarded_For", "192.0.2.{n}"),
        ("x_forwarded-for", "192.0.2.{n}"),
        ("X-Forwarded-For", '"'),
        ("X-Forwarded-For", '"192.0.2.{n}'),
        ("X-Forwarded-For", "192.0.2.{n}, 192.0.2.{n}"),
        ("Forwarded", "for=192.0.2.{n}"),
        ("X-Real-Ip", "192.0.2.{n}"),
    ]

    found = [
        front.request_token(f"ktc_{n}:wrong", (name, value.format(n=n)))[0]
        for n, (name, value) in enumerate(pretended * 2)
    ]

    # All of them come from one address, and its failures are counted together.
    assert found == [401] * ADDRESS_LIMIT + [429] * (len(found) - ADDRESS_LIMIT)


def test_every_file_of_the_page_is_run() -> None:
    assert set(FILES) == {"auth.conf", "auth.cfg"}


@pytest.fixture
def with_tls(prepared: Callable[[str], str], tmp_path: Path, certificate: Path) -> Iterator[Front]:
    """A gunicorn that ends TLS itself."""
    port, log = free_port(), tmp_path / "server.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {"KEYTURN_SECRET_KEYS": SECRET_KEY, "KEYTURN_DATABASE_URL": prepared("sqlite"), "PORT": str(port)}
    environment["KEYTURN_JOURNAL"] = "off"
    command = [sys.executable, "-m", "gunicorn", "--certfile", certificate, "--keyfile", certificate, "wsgi:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    server = LiveServer(process, f"https://127.0.0.1:{port}", environment, log)
    wait_for(lambda: process.poll() is not None or listens(port))
    yield Front(server, port, certificate, "demo-admin:kts_demo-admin-is-for-learning-only")
    server.stop()


def test_nobody_waits_for_a_client_that_stalls_when_gunicorn_itself_ends_tls(with_tls: Front) -> None:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", with_tls.port)
        without_handshake = [stack.enter_context(socket.create_connection(address)) for _ in range(40)]
        stalled = [stack.enter_context(closing(with_tls.socket())) for _ in range(40)]
        for connection in stalled:
            connection.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 70_000)

        assert [with_tls.request_token(with_tls.client)[0] for _ in range(4)] == [200] * 4

        assert all(is_silent(connection) for connection in stalled)
        assert all(is_open(connection) for connection in without_handshake)
