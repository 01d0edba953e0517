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


class Connection(TConn):
    """gunicorn's connection, with the bytes that no request has used yet, and the time until it is waited for."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        # Its source is empty: the parser reads what the worker has put before it, and never the socket.
        self.parser = http.get_parser(cfg, [], client)
        self.data_ready = True
        self.received = Received()
        self.has_ended = False  # the client has sent its last byte
        self.deadline = 0.0

    def receive(self) -> None:
        """Read what is there, without waiting."""
        self.sock.setblocking(False)
        try:
            data = self.sock.recv(RECEIVE_BYTES)
            while data and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
                data += self.sock.recv(RECEIVE_BYTES)  # what is decrypted already wakes no poller
        except NOTHING_YET:
            return
        except OSError:
            data = b""
        self.received.add(data)
        if not data:
            self.has_ended = self.received.is_final = True

    def is_ready(self) -> bool:
        """Whether a request is whole, or nothing more of it comes.

        A client that waits for permission to send its body (RFC 9110, section 10.1.1) gets it here.
        """
        is_whole = self.received.is_whole()
        if self.received.expects_continue and not is_whole:
            self.received.expects_continue = False
            with contextlib.suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return is_whole

    def discard(self) -> bool:
        """Read and forget what is there, without waiting; whether the client has hung up."""
        try:
            return not self.sock.recv(RECEIVE_BYTES)
        except NOTHING_YET:
            return False
        except OSError:
            return True


class BrokenBody:
    """A body that cannot be read, for an app that reads it."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, _: int | None = None) -> bytes:
        raise self.error


def reads_body(req: Any) -> bool:
    """Read the body of gunicorn's request, which is in memory, and put it back.

    Returns:
        Whether it is all here and well formed, so that the next request of the connection can be found.
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
