"""The poller of a worker's main thread, where everything waits that waits for a client.

For its next byte, for the rest of its request, for it to hang up: none of these costs a thread or the
main thread's time. Written for gunicorn 27.0, whose worker waits for each of them in a thread, or on the
main thread itself.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import ThreadWorker

from app.serving.connection import Connection

# Seconds for a request, from its first byte to its last.
REQUEST_SECONDS = 10
# Seconds that a client has to hang up after a response that said `Connection: close`.
HANG_UP_SECONDS = 2
# How often time-outs are looked for.
SWEEP_SECONDS = 0.25
# Of all requests of a worker that are not whole yet.
UNFINISHED_BYTES = 67_108_864


class WaitingRoom(ThreadWorker):
    """gunicorn's worker with threads, which are given a request only when it is here as a whole."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Sets in the order of arrival, both in the poller and touched by the main thread only.
        self.arriving: dict[Connection, None] = {}  # with a part of a request, or nothing yet
        self.leaving: dict[Connection, None] = {}  # answered, until the client hangs up
        self.next_sweep = 0.0

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, and read what it has sent.

        gunicorn gives a new connection to a thread, which waits up to 5 s for its first byte.
        All workers are woken by a new connection, and the first one would take and keep them all:
        one that has fewer is to be first, by half a millisecond at most.
        """
        if self.cfg.workers > 1:
            time.sleep(min(self.nr_conns, 5) / 10_000)
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # gunicorn's worker ends of it
                self.make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        if self.cfg.is_ssl:
            sock.setblocking(False)  # the handshake is a part of reading, and is not waited for either
            with contextlib.suppress(OSError):
                sock = ssl_context(self.cfg).wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.nr_conns += 1
        self.enqueue_req(Connection(self.cfg, sock, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection to a thread if its request is whole; otherwise wait for the rest.

        gunicorn gives it to a thread, which waits for the rest.
        """
        conn.receive()
        if conn.has_ended and not conn.received.data:
            self.drop(conn)
        elif conn.is_ready():
            super().enqueue_req(conn)
        else:
            self.wait_for_rest(conn)

    def wait_for_rest(self, conn: Connection) -> None:
        conn.deadline = time.monotonic() + (REQUEST_SECONDS if conn.received.data else self.cfg.keepalive)
        self.arriving[conn] = None
        self.watch(conn, self.on_arriving_readable)

    def watch(self, conn: Connection, callback: Callable[[Connection], None]) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, EVENT_READ, lambda _: callback(conn))

    def on_arriving_readable(self, conn: Connection) -> None:
        if not conn.received.data:
            conn.deadline = time.monotonic() + REQUEST_SECONDS
        conn.receive()
        if conn.is_ready():
            self.stop_waiting(conn)

    def stop_waiting(self, conn: Connection) -> None:
        """Take a connection out of the poller: its request is whole, or its client or its time has ended."""
        del self.arriving[conn]
        self.poller.unregister(conn.sock)
        if conn.received.data:
            super().enqueue_req(conn)
        else:
            self.drop(conn)

    def leave(self, conn: Connection) -> None:
        """End our side of a connection, and close it once the client has ended its own.

        To close at once would reset the connection, and the client might lose the response.
        gunicorn waits for the client on the main thread, for up to 2 s in which nothing else is done.
        """
        try:
            if not conn.has_ended:
                conn.sock.shutdown(socket.SHUT_WR)
                self.watch(conn, self.on_leaving_readable)
        except (OSError, ValueError):
            conn.has_ended = True
        if conn.has_ended:
            self.drop(conn)
            return
        conn.deadline = time.monotonic() + HANG_UP_SECONDS
        self.leaving[conn] = None

    def on_leaving_readable(self, conn: Connection) -> None:
        if conn.discard():
            self.stop_leaving(conn)

    def stop_leaving(self, conn: Connection) -> None:
        del self.leaving[conn]
        self.poller.unregister(conn.sock)
        self.drop(conn)

    def drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """End what has waited too long, and what is too much; gunicorn calls this after every event."""
        if self.nr_conns >= self.worker_connections - 1:
            self.make_room()
        now = time.monotonic()
        if now < self.next_sweep:
            return
        self.next_sweep = now + SWEEP_SECONDS
        for conn in [each for each in self.leaving if each.deadline < now]:
            self.stop_leaving(conn)
        for conn in [each for each in self.arriving if each.deadline < now]:
            conn.received.is_final = True  # the app refuses what there is of it
            self.stop_waiting(conn)
        unfinished = sum(len(each.received.data) for each in self.arriving)
        while unfinished > UNFINISHED_BYTES:
            unfinished -= self.give_up_oldest()

    def give_up_oldest(self) -> int:
        """Close the connection whose request has been arriving for longest; returns how many bytes that frees."""
        conn = next(iter(self.arriving))
        dropped = len(conn.received.take())
        self.stop_waiting(conn)
        return dropped

    def make_room(self) -> None:
        """Close the connection that has been idle for longest, so that one more can be accepted.

        gunicorn accepts none once it is full, until one ends by itself.
        """
        if self.leaving:
            self.stop_leaving(next(iter(self.leaving)))
        elif self.arriving:
            self.give_up_oldest()
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0
            self.murder_keepalived()

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop, give a connection that has sent nothing yet as little time as gunicorn gives a used one."""
        super()._cap_keepalive(deadline)
        for conn in self.arriving:
            if not conn.received.data:
                conn.deadline = min(conn.deadline, deadline)
