"""What only a socket can say, to gunicorn with two workers: broken, slow, oversized and pipelined requests."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import LiveServer, answers

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
START = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}"
STALL = 40  # seconds after which a test gives up; the server does so after REQUEST_SECONDS of gunicorn.conf.py


@pytest.fixture(scope="module")
def server(
    prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, live_servers: Callable[..., LiveServer]
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("sockets"))


def connect(server: LiveServer) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), timeout=STALL)


def exchange(server: LiveServer, sent: bytes, *, half_close: bool = False) -> bytes:
    """Everything that the server answers until it closes the connection; a test fails if it hangs."""
    with connect(server) as connection:
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            received += part
    return received


def statuses(received: bytes) -> list[int]:
    return [int(line.split()[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", id="chunk-size"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\n5\r\ngrantXX", id="chunk-end"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\n-5\r\ngrant\r\n0\r\n\r\n", id="chunk-negative"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="two-lengths"),
        pytest.param(f"{START}Content-Length: -1\r\n\r\n", id="length-negative"),
        pytest.param(f"{START}Content-Length: x\r\n\r\n", id="length-no-number"),
        pytest.param(f"{START}Content-Length: 5\r\nContent-Length: 6\r\n\r\ngrant", id="length-twice"),
        pytest.param(f"{START}Content-Length: 99999999\r\n\r\n", id="too-long"),
        pytest.param(f"{START}X: {'y' * 9_000}\r\n\r\n", id="header-too-long"),
        pytest.param(START + "".join(f"X{n}: y\r\n" for n in range(60)) + "\r\n", id="too-many-headers"),
        pytest.param(f"POST /{'x' * 5_000} HTTP/1.1\r\nHost: x\r\n\r\n", id="line-too-long"),
        pytest.param(f"{START}Bad Header\r\n\r\n", id="header-without-colon"),
        pytest.param("POST /oauth/token\r\n\r\n", id="no-version"),
        pytest.param("\x00\x01\x02\x03\r\n\r\n", id="no-http"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(
            f"POST http://evil.example/oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 0\r\n\r\n",
            id="absolute",
        ),
        pytest.param("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", id="asterisk"),
        pytest.param("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", id="connect"),
    ],
)
def test_R107_a_broken_request_is_refused_and_the_server_goes_on(server: LiveServer, sent: str) -> None:
    received = exchange(server, sent.encode("latin-1"), half_close=True)

    assert all(400 <= status < 500 or status == 505 for status in statuses(received)), received
    assert answers(server.url)


@pytest.mark.parametrize("path", ["/oauth/token", "/admin/logs"])
def test_R107_a_body_that_is_cut_off_is_refused_whole(server: LiveServer, path: str) -> None:
    sent = f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 100\r\n\r\ngrant_type=client_credentials"

    received = exchange(server, sent.encode(), half_close=True)

    assert statuses(received) in ([400], [])
    if received:
        assert json.loads(received.partition(b"\r\n\r\n")[2])["error"] == "invalid_request"


def test_R107_stalled_bodies_do_not_stop_the_server_for_good(server: LiveServer) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(server)) for _ in range(24)]
        for connection in stalled:
            connection.sendall(f"{START}Content-Length: 100\r\n\r\ng".encode())

        with connect(server) as polite:  # all threads are taken: it waits for their time-out, and is answered
            polite.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert statuses(polite.recv(65_536)) == [200]

        assert statuses(stalled[0].recv(65_536)) == [400]


@pytest.mark.parametrize("begin", [f"{START}Content-Length: 100\r\n\r\n", START], ids=["body", "header"])
def test_R107_a_client_that_trickles_is_cut_off(server: LiveServer, begin: str) -> None:
    with connect(server) as connection:
        connection.sendall(begin.encode())
        connection.settimeout(1)
        for _ in range(STALL):
            try:
                connection.sendall(b"x")
                connection.recv(65_536)
            except TimeoutError:
                continue  # a second later, the next byte
            except OSError:
                pass
            return  # refused, or closed

    pytest.fail("it was never cut off")


def test_R107_pipelined_requests_are_answered_in_their_order_or_not_at_all(server: LiveServer) -> None:
    keys = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"
    token = f"{START}Content-Length: 12\r\n\r\ngrant_type=x"
    last = "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    received = exchange(server, (keys + token + keys + last).encode())

    # After an answer the server may close the connection (RFC 9112, section 9.3.2): the client asks again.
    found = statuses(received)
    assert found
    assert found == [200, 400, 200, 404][: len(found)]


def test_no_secret_of_a_request_that_gunicorn_refuses_reaches_its_log(server: LiveServer) -> None:
    secret = "kts_leaked-by-a-wrong-length"
    body = f"grant_type=client_credentials&client_secret={secret} x"

    exchange(server, f"{START}Content-Length: 5\r\n\r\n{body}\r\n\r\n".encode())
    exchange(server, f"GET /x?client_secret={secret}\r\n\r\n".encode())
    exchange(server, f"GET / HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n".encode())

    log = Path(server.log).read_text()
    assert "refused by gunicorn" in log
    assert secret not in log
