"""gunicorn's worker with threads, in which no client delays another, and no response promises what does not follow.

Written for gunicorn 27.0. Each method that overrides one of gunicorn's says what gunicorn does instead.
A thread gets only complete requests (`waiting_room.py`), and never reads from a socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from concurrent.futures import Future
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders

from app.serving.connection import Connection, PatientSocket, reads_body
from app.serving.refusal import is_ours, response_to
from app.serving.waiting_room import WaitingRoom

# How long a thread waits for the next request on its connection, while no other connection needs the thread.
LINGER_SECONDS = 0.05


class DeadlineWorker(WaitingRoom):
    """The worker class of `gunicorn.conf.py`."""

    core: int | None = None  # chosen before the fork, by `cores.py`

    def init_process(self) -> None:
        """Pin the process to its core, and store gunicorn's settings as attributes.

        gunicorn reads a dozen settings per request, and looks each up in three steps: 40 of 395 µs.
        """
        if self.core is not None:
            with contextlib.suppress(OSError):  # where it is forbidden, the server runs without it
                os.sched_setaffinity(0, {self.core})
        self.cfg.__dict__.update((name, setting.get()) for name, setting in self.cfg.settings.items())
        super().init_process()

    def init_signals(self) -> None:
        """Obey a signal to stop that came while this worker booted.

        Until here it has the handlers of its master, which only queue a signal: gunicorn's worker forgets it, and
        its master waits for `graceful_timeout` and kills it.
        """
        master = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        super().init_signals()
        queued = getattr(master, "SIG_QUEUE", None)  # this process's copy
        while queued and not queued.empty():
            if (sig := queued.get_nowait()) in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                self.handle_exit(sig, None)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End as for SIGTERM.

        Ctrl-C reaches a worker twice, from the terminal and from its master. gunicorn's own method takes a
        lock in a signal handler, so the second waits for the first for ever.
        """
        self.handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Whether the master is alive; if it was killed, stop, and free its port for the next one.

        gunicorn's worker continues to serve its connections and to hold the port, for up to 30 s.
        """
        if super().is_parent_alive():
            return True
        self.alive = False
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        return False

    def handle(self, conn: Connection) -> bool:
        """Respond to a request, and to the next ones of its connection if they come at once.

        While there is a thread for every connection, each waits for the next request itself: handing the
        connection to the main thread and back, as gunicorn does, costs a fifth of a small request.
        """
        goes_on = self.handle_one(conn)
        while goes_on and self.alive and self.nr_conns <= self.cfg.threads and has_next(conn):
            goes_on = self.handle_one(conn)
        return goes_on

    def handle_one(self, conn: Connection) -> bool:
        if conn.received.is_head_too_long():
            self.handle_error(None, conn.sock, conn.client, LimitRequestHeaders("too long"))
            return False
        conn.parser.unreader.unread(conn.received.take())
        goes_on = super().handle(conn) is True
        conn.received.add(conn.parser.unreader.take_buffered())
        return goes_on

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Respond, with `Connection: close` if the connection cannot go on (RFC 9112, section 9.6).

        gunicorn promises to keep the connection, and finds out afterwards that it cannot skip the body.
        """
        req._expected_100_continue = False  # `Connection.is_ready` has sent it
        if not reads_body(req):
            req.force_close()
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Skip a body that the app has not read, whatever its length: gunicorn gives up at 64 KiB."""
        return bool(keepalive and conn.parser.finish_body())

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Wait until the client has read its response, and then for its next request or for it to hang up."""
        goes_on = not fs.cancelled() and not fs.exception() and fs.result()

        def go_on(conn: Connection) -> None:
            if not goes_on or (conn.has_ended and not conn.received.data):
                self.leave(conn)
            elif not conn.received.data:
                super(DeadlineWorker, self).finish_request(conn, fs)
            elif conn.is_ready():
                super(WaitingRoom, self).enqueue_req(conn)
            else:
                self.wait_for_rest(conn)

        if conn.sock.unsent:
            self.send_rest(conn, go_on)
        else:
            go_on(conn)

    def handle_error(self, req: Any, client: PatientSocket, addr: Any, exc: Exception) -> None:
        """Refuse what is not a valid request, in JSON.

        gunicorn sends a page that repeats a part of the request, and logs that part, with any secret in it.
        """
        if is_ours(exc):
            self.log.error("A request failed", exc_info=exc)
        else:
            self.log.warning("Invalid request, refused by gunicorn: %s", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(response_to(exc))


def has_next(conn: Connection) -> bool:
    """Whether the next request of a connection is complete, or soon will be, and its response would be read."""
    if conn.sock.unsent:
        return False
    if not conn.received.data:
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        if not poll.poll(LINGER_SECONDS * 1_000):
            return False
        conn.receive()
    return bool(conn.received.data) and conn.is_ready()
