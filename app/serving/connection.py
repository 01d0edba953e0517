"""A connection: what its client has sent is received without waiting, and read from memory by gunicorn's parser."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from gunicorn import http
from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import TConn

from app.serving.received import Received

RECEIVE_BYTES = 65_536
NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class PatientSocket:
    """A socket that never blocks, whatever gunicorn sets it to.

    What cannot be sent yet is in `unsent`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.unsent = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def settimeout(self, _: float | None) -> None:
        """It never waits."""

    def sendall(self, data: bytes) -> None:
        self.unsent += data
        if len(self.unsent) == len(data):  # otherwise the client has not read what was sent before
            self.send_unsent()

    def send_unsent(self) -> None:
        try:
            del self.unsent[: self._sock.send(self.unsent)]
        except NOTHING_YET:
            return
        except OSError:
            self.unsent.clear()  # the client no longer reads it
            raise

    def receive(self) -> bytes | None:
        """The bytes that have arrived; empty if the client has ended its side, None if there are none yet."""
        try:
            data = self._sock.recv(RECEIVE_BYTES)
            while data and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
                data += self._sock.recv(RECEIVE_BYTES)  # decrypted data wakes no poller
        except NOTHING_YET:
            return None
        except OSError:
            return b""
        return data


class Connection(TConn):
    """gunicorn's connection, with the bytes that no request has used yet, and its deadline."""

    sock: PatientSocket

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, PatientSocket(sock), client, server)
        # Its source is empty: the parser reads what the worker passes to it, and never the socket.
        self.parser = http.get_parser(cfg, [], client)
        self.data_ready = True
        self.received = Received()
        self.has_ended = False  # the client has sent its last byte
        self.waits_since = self.deadline = 0.0

    def size(self) -> int:
        """How many bytes are in memory for it."""
        return len(self.received.data) + len(self.sock.unsent)

    def receive(self) -> None:
        """Read what has arrived, without waiting."""
        data = self.sock.receive()
        if data:
            self.received.add(data)
        elif data is not None:
            self.has_ended = self.received.is_final = True

    def is_ready(self) -> bool:
        """Whether a request is complete, or nothing more of it comes.

        A client that waits for permission to send its body (RFC 9110, section 10.1.1) gets it here.
        """
        is_whole = self.received.is_whole()
        if self.received.expects_continue and not is_whole:
            self.received.expects_continue = False
            with contextlib.suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return is_whole

    def discard(self) -> bool:
        """Drop what has arrived, without waiting; True if the client has hung up."""
        return self.sock.receive() == b""


class BrokenBody:
    """The body of a request that cannot be read: it raises the error again if the app reads it."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, _: int | None = None) -> bytes:
        raise self.error


def reads_body(req: Any) -> bool:
    """Read the body of gunicorn's request, which is in memory, and put it back.

    Returns:
        Whether it is complete and well formed, so that the next request of the connection can be found.
    """
    body = req.body
    announced = body.reader.length if isinstance(body.reader, LengthReader) else None
    if announced == 0:
        return True
    try:
        data = body.read()
    except Exception as error:
        # Read again, gunicorn's parser would take the fault for the end of the body.
        req.body = BrokenBody(error)
        return False
    body.buf.write(data)
    return announced is None or len(data) == announced
