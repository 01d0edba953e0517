"""This file is what `gunicorn wsgi:app` needs, each line with its reason."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from typing import Any

# On this machine only, unless a deployer says otherwise: `gunicorn --bind 0.0.0.0:8000 wsgi:app`.
bind = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
if "WEB_CONCURRENCY" not in os.environ:
    workers = 2
# Threads, so that a client that sends its body slowly holds up one thread and not a worker.
worker_class = "gthread"
threads = 8
# No time-out of gunicorn's ends a request that stands still: the sockets' own does (see when_ready).
STALLED_SECONDS = 10
# A connection that is kept saves its client a handshake for every token.
keepalive = 15
# A worker whose main loop stands still for so many seconds is replaced; one that shall end has so many to finish.
timeout = 30
graceful_timeout = 20
# Longer than any token that is issued here, shorter than what wastes memory.
limit_request_line = 4_094
limit_request_fields = 50
limit_request_field_size = 8_190
# gunicorn itself believes X-Forwarded-Proto from 127.0.0.1: only KEYTURN_TRUSTED_PROXIES shall count.
forwarded_allow_ips = ""
# A socket in the home directory, which two servers of one user would share.
control_socket_disable = True


def without_the_request(record: logging.LogRecord) -> bool:
    """Gunicorn logs the line of a request that it cannot read, and whatever secret stands in it."""
    if str(record.msg).startswith("Invalid request"):
        record.msg, record.args = "Invalid request, refused by gunicorn", ()
    return True


def on_starting(_: Any) -> None:
    """Refuse to start once, before there are workers that would each say the same."""
    from app import create_app
    from app.prepare import refuse_to_start

    refuse_to_start(create_app())


def when_ready(server: Any) -> None:
    """Bound the wait for a client that stalls, and tell a learner what to try, once the port is open."""
    import config
    from app.prepare import welcome

    logging.getLogger("gunicorn.error").addFilter(without_the_request)
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # inherited by every connection
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STALLED_SECONDS, 0))
    settings = config.load(os.environ)
    if not settings.is_production and not settings.faults:
        sys.stdout.write(welcome(settings))
        sys.stdout.flush()
