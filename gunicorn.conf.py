"""This file is what `gunicorn wsgi:app` needs, each line with its reason."""

from __future__ import annotations

import os
import sys
from typing import Any

# On this machine only, unless a deployer says otherwise: `gunicorn --bind 0.0.0.0:8000 wsgi:app`.
bind = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
# Threads, so that a client that sends its body slowly holds up one thread and not a worker.
worker_class = "gthread"
threads = 4
# A connection that is kept saves its client a handshake for every token.
keepalive = 15
# A worker that does not answer for so many seconds is replaced; one that shall end has so many to finish.
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


def when_ready(_: Any) -> None:
    """Tell a learner what to try, once the port is open."""
    import config
    from app.prepare import welcome

    settings = config.load(os.environ)
    if not settings.is_production and not settings.faults:
        sys.stdout.write(welcome(settings))
        sys.stdout.flush()
