"""This file is what `gunicorn wsgi:app` needs, each line with its reason.

What gunicorn lacks stands here too: a bound on the time of a request, a calm Ctrl-C, connections that are
shared evenly, and threads that stay where they are. `docs/performance.md` has the figures.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import socket
import sys
import threading
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# On this machine only, unless a deployer says otherwise: `gunicorn --bind 0.0.0.0:8000 wsgi:app`.
# A PORT that is none is named by the app, with all other faults; gunicorn would name neither.
PORT = os.environ.get("PORT") or "8000"
bind = f"127.0.0.1:{PORT if PORT.isdecimal() and int(PORT) < 65_536 else 8000}"
if "WEB_CONCURRENCY" not in os.environ:
    workers = 2
# Threads, so that a client that sends its body slowly holds up one thread and not a worker.
threads = 8
# Seconds for a whole request, from its first byte to its last.
REQUEST_SECONDS = 10
# A connection that is kept saves its client a handshake for every token.
keepalive = 15
# So long a thread waits for the next request of its connection, while no other connection wants the thread.
LINGER_SECONDS = 0.05
# A worker whose main loop stands still for so many seconds is replaced; one that shall end has so many to finish.
timeout = 30
graceful_timeout = 30
# Longer than any token that is issued here, shorter than what wastes memory.
limit_request_line = 4_094
limit_request_fields = 50
limit_request_field_size = 8_190
# gunicorn itself believes X-Forwarded-Proto from 127.0.0.1: only KEYTURN_TRUSTED_PROXIES shall count.
forwarded_allow_ips = ""
# A socket in the home directory, which two servers of one user would share.
control_socket_disable = True
# The app is loaded once, before the workers are forked from it: they start at once and share its memory,
# and a server that must not start says so once. New code needs a restart, as new settings do.
preload_app = True


def has_more(conn: Any) -> bool:
    """Whether the client sends something within LINGER_SECONDS, or has done so already."""
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(conn.parser.unreader.buf.getvalue() or poll.poll(LINGER_SECONDS * 1_000))


class DeadlineWorker(ThreadWorker):
    """gunicorn's worker with threads, which cuts off a client that trickles, and does not pass its work around."""

    def init_process(self) -> None:
        # gunicorn asks for a dozen settings per request, and looks for each in three steps.
        vars(self.cfg).update((name, setting.get()) for name, setting in self.cfg.settings.items())
        self.deadlines: dict[socket.socket, float] = {}
        threading.Thread(target=self.cut_off, name="deadlines", daemon=True).start()
        super().init_process()

    def handle_quit(self, sig: int, frame: Any) -> None:
        # Ctrl-C reaches a worker twice, from the terminal and from its master. gunicorn's own handler takes
        # a lock, so the second waits for the first for ever: end as for SIGTERM, which takes none.
        self.handle_exit(sig, frame)

    def accept(self, listener: socket.socket) -> None:
        # All workers are told of a new connection, and the first to wake would take them all, and keep them:
        # who has fewer is to be first, by half a millisecond at the most.
        if self.cfg.workers > 1:
            time.sleep(min(self.nr_conns, 5) / 10_000)
        super().accept(listener)

    def handle(self, conn: Any) -> Any:
        kept = self.handle_one(conn)
        # While there is a thread for every connection, each waits for the next request itself: to hand the
        # connection to the main thread and back costs a fifth of a small request.
        while kept is True and self.alive and self.nr_conns <= self.cfg.threads and has_more(conn):
            kept = self.handle_one(conn)
        return kept

    def handle_one(self, conn: Any) -> Any:
        sock = conn.sock
        self.deadlines[sock] = time.monotonic() + REQUEST_SECONDS
        try:
            return super().handle(conn)
        finally:
            self.deadlines.pop(sock, None)

    def cut_off(self) -> None:
        while True:
            time.sleep(1)
            late = [(sock, time.monotonic() - end) for sock, end in list(self.deadlines.items())]
            for sock, seconds in late:
                if seconds > 0:  # read no more, so that a refusal can still be sent; a little later not even that
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RD if seconds < REQUEST_SECONDS else socket.SHUT_RDWR)


worker_class = DeadlineWorker
# By chance: of the servers on one machine, containers above all, not every one shall begin with the same core.
FIRST_CORE = secrets.randbelow(1_024)


def without_the_request(record: logging.LogRecord) -> bool:
    """Gunicorn logs the line of a request that it cannot read, and whatever secret stands in it."""
    if str(record.msg).startswith("Invalid request"):
        record.msg, record.args = "Invalid request, refused by gunicorn", ()
    return True


def pre_fork(server: Any, worker: Any) -> None:
    """Choose a core for a worker: one that as few others have as possible."""
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        first = FIRST_CORE % len(cores)
        taken = [each.core for each in server.WORKERS.values()]
        worker.core = min(cores[first:] + cores[:first], key=taken.count)


def post_fork(_: Any, worker: Any) -> None:
    """Keep all threads of a worker on its core: Python runs one of them at a time anyway.

    Free to move, each hand-over would wake another core: a third more CPU time for every token.
    """
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # where it is forbidden, the server runs without it
            os.sched_setaffinity(0, {worker.core})


def post_worker_init(worker: Any) -> None:
    """Leave some of its threads to what needs no database."""
    from app.storage.waiting import serve_with

    serve_with(worker.cfg.threads)


def when_ready(server: Any) -> None:
    """Refuse to be reached from outside by accident, and tell a learner what to try, once the port is open."""
    from app.operations.startup import check_hosts, welcome
    from app.settings import read_settings

    logging.getLogger("gunicorn.error").addFilter(without_the_request)
    settings = read_settings(os.environ)
    # The sockets say where they are, whoever opened them; with `reuse_port` the master has none.
    names = [listener.getsockname() for listener in server.LISTENERS] or server.address
    check_hosts(settings, [name[0] for name in names if isinstance(name, tuple)])
    if not settings.is_production and not settings.faults:
        sys.stdout.write(welcome(settings))
        sys.stdout.flush()
