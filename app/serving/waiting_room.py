"""The poller of a worker's main thread, in which every wait for a client takes place.

A wait for its next byte, for the rest of its request, for it to read a response or to hang up blocks neither
a thread nor the main thread. Written for gunicorn 27.0, whose worker waits for each of these in a thread or
on the main thread.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import ThreadWorker

from app.serving.connection import Connection

# Seconds for a request, from its first byte to its last, and for a client to read a response.
REQUEST_SECONDS = 10
RESPONSE_SECONDS = 10
# Seconds that a client has to hang up after a response that said `Connection: close`.
HANG_UP_SECONDS = 2
# How often time-outs are checked.
SWEEP_SECONDS = 0.25
# The bound for all incomplete requests and all unread responses of a worker together.
WAITING_BYTES = 67_108_864

Step = Callable[[Connection], None]


class WaitingRoom(ThreadWorker):
    """gunicorn's worker with threads, which get only complete requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # All connections in the poller except gunicorn's idle ones, in the order in which they came there,
        # each with the step for when its time is over. Used by the main thread only.
        self.waiting: dict[Connection, Step] = {}
        self.next_sweep = 0.0
        self.lacks_files = False

    def watch(self, conn: Connection, then: Step, *, seconds: float, too_late: Step, event: int = EVENT_READ) -> None:
        conn.waits_since = time.monotonic()
        conn.deadline = conn.waits_since + seconds
        self.waiting[conn] = too_late
        self.poller.register(conn.sock, event, lambda _: then(conn))

    def unwatch(self, conn: Connection) -> None:
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def drop(self, conn: Connection) -> None:
        if conn in self.waiting:
            self.unwatch(conn)
        self.nr_conns -= 1
        conn.close()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, and read what it has sent.

        gunicorn gives a new connection to a thread, which waits up to 5 s for its first byte.
        Every worker wakes for a new connection: the least loaded one gets a head start of up to 0.5 ms, or
        one worker would accept them all.
        """
        if self.cfg.workers > 1:
            time.sleep(min(self.nr_conns, 5) / 10_000)
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # this ends gunicorn's own worker
                self.lacks_files = True  # room is made after the other events, which may be of the one that goes
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        sock.setblocking(False)
        if self.cfg.is_ssl:
            with contextlib.suppress(OSError):  # the handshake is a part of reading, and is not waited for either
                sock = ssl_context(self.cfg).wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.nr_conns += 1
        self.enqueue_req(Connection(self.cfg, sock, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection to a thread if its request is complete; otherwise wait for the rest.

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
        seconds = REQUEST_SECONDS if conn.received.data else self.cfg.keepalive
        self.watch(conn, self.on_arriving, seconds=seconds, too_late=self.give_up)

    def on_arriving(self, conn: Connection) -> None:
        if not conn.received.data:
            conn.deadline = time.monotonic() + REQUEST_SECONDS
        conn.receive()
        if conn.is_ready():
            self.stop_waiting(conn)

    def stop_waiting(self, conn: Connection) -> None:
        """Give what has arrived of a request to a thread."""
        if conn.received.data:
            self.unwatch(conn)
            super().enqueue_req(conn)
        else:
            self.drop(conn)

    def give_up(self, conn: Connection) -> None:
        conn.received.is_final = True  # what there is of a request is refused
        self.stop_waiting(conn)

    def send_rest(self, conn: Connection, then: Step) -> None:
        """Send the rest of a response as the client reads it, and then continue.

        gunicorn waits for the client in a thread, without end.
        """

        def on_writable(conn: Connection) -> None:
            try:
                conn.sock.send_unsent()
            except OSError:  # gunicorn's worker ends of what is raised here
                self.drop(conn)
                return
            if not conn.sock.unsent:
                self.unwatch(conn)
                then(conn)

        self.watch(conn, on_writable, seconds=RESPONSE_SECONDS, too_late=self.drop, event=EVENT_WRITE)

    def leave(self, conn: Connection) -> None:
        """End our side of a connection, and close it once the client has ended its own.

        To close at once would reset the connection, and the client might lose the response.
        gunicorn waits for the client on the main thread, for up to 2 s in which nothing else is done.
        """
        try:
            if not conn.has_ended:
                conn.sock.shutdown(socket.SHUT_WR)
                self.watch(conn, self.on_leaving, seconds=HANG_UP_SECONDS, too_late=self.drop)
        except (OSError, ValueError):  # it is broken, or closed
            conn.has_ended = True
        if conn.has_ended:
            self.drop(conn)

    def on_leaving(self, conn: Connection) -> None:
        if conn.discard():
            self.drop(conn)

    def murder_pending(self) -> None:
        """Drop what has waited too long, and what is over WAITING_BYTES; gunicorn calls this after every event."""
        if self.lacks_files:
            self.lacks_files = False
            for _ in range(min(self.cfg.threads, self.nr_conns // 2)):  # some are for the database
                self.make_room()
        if self.nr_conns >= self.worker_connections - 1:
            self.make_room()
        now = time.monotonic()
        if now < self.next_sweep:
            return
        self.next_sweep = now + SWEEP_SECONDS
        for conn, too_late in list(self.waiting.items()):
            if conn.deadline < now:
                too_late(conn)
        size = sum(each.size() for each in self.waiting)
        while size > WAITING_BYTES:
            oldest = next(iter(self.waiting))
            size -= oldest.size()
            self.drop(oldest)

    def make_room(self) -> None:
        """Close the connection that has waited longest, so that one more can be accepted.

        gunicorn accepts none once it is full, until one ends by itself.
        """
        oldest = next(iter(self.waiting), None)
        idle = self.keepalived_conns[0] if self.keepalived_conns else None
        if idle and (oldest is None or idle.timeout - self.cfg.keepalive < oldest.waits_since):
            idle.timeout = 0
            self.murder_keepalived()
        elif oldest:
            self.drop(oldest)

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop, give a connection that has sent nothing yet as little time as gunicorn gives a used one."""
        super()._cap_keepalive(deadline)
        for conn in self.waiting:
            if not conn.size():
                conn.deadline = min(conn.deadline, deadline)
