"""Raw connections to a running server, and clients that misbehave: what only a socket can do."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.conftest import LiveServer

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
START = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}"
STALL = 40  # seconds after which a test gives up; the server does so after REQUEST_SECONDS


def connect(server: LiveServer) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), timeout=STALL)


def everything(connection: socket.socket) -> bytes:
    """Everything that arrives until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            received += part
    return received


def exchange(server: LiveServer, sent: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes; return everything until the server closes the connection. A test fails if it hangs."""
    with connect(server) as connection:
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def statuses(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def announces_the_end(self) -> bool:
        return self.headers.get("connection") == "close"


def read_response(connection: socket.socket) -> Response | None:
    """One response, by its Content-Length; None if the connection was closed without one."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            assert received == b"", received
            return None
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65_536)
    return Response(int(first.split()[1]), headers, body)


def chunked(body: bytes, size: int = 8_192) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither closed the connection nor sent anything."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def crowd(server: LiveServer, sent: bytes, size: int, receive_buffer: int = 0) -> Iterator[list[socket.socket]]:
    """`size` connections, each of which has sent this and stays open."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(size)]
        for connection in connections:
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.sendall(sent)
        yield connections
