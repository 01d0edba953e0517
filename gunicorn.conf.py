"""The settings of `gunicorn wsgi:app`, each with its reason. The worker is `app/serving/gunicorn_worker.py`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

STARTED = time.time_ns()
# On this machine only, unless a deployer says otherwise: `gunicorn --bind 0.0.0.0:8000 wsgi:app`.
# The app reports an invalid PORT, with all other faults; gunicorn would report neither.
PORT = os.environ.get("PORT") or "8000"
bind = f"127.0.0.1:{PORT if PORT.isdecimal() and int(PORT) < 65_536 else 8000}"
# The workers' heartbeat files are in memory where they can be; a read-only system has no other place for them.
SHARED_MEMORY = "/dev/shm"  # noqa: S108, gunicorn makes a file there as in any folder of temporary files
if os.access(SHARED_MEMORY, os.W_OK):
    worker_tmp_dir = SHARED_MEMORY
if not os.environ.get("WEB_CONCURRENCY"):
    workers = 2
# By name: gunicorn imports it later, from the folder of the app.
worker_class = "app.serving.gunicorn_worker.DeadlineWorker"
# A request that waits, as for the database, blocks one thread and not the worker. A slow client blocks none.
threads = 8
# Most systems allow a process 1,024 open files, and a thread needs some for the database.
worker_connections = 900
# Longer than proxies hold an idle connection (nginx and AWS's load balancers 60 s): the proxy must close first, or
# it sends a request to a connection that is being closed. Idle connections cost nothing here.
keepalive = 75
# Seconds before a hung worker is replaced; seconds that a stopping worker has to finish.
timeout = 30
graceful_timeout = 30
# Longer than any token that is issued here, and short enough not to waste memory.
limit_request_line = 4_094
limit_request_fields = 50
limit_request_field_size = 8_190
# Only KEYTURN_TRUSTED_PROXIES decides which headers of a proxy count. gunicorn itself trusts
# X-Forwarded-Proto and SCRIPT_NAME from 127.0.0.1, and from anyone over a unix socket, where the first
# of these lines has no effect.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
# X_Forwarded_For and X-Forwarded-For would become the same WSGI variable.
header_map = "drop"
# The worker reads HTTP/1.1, and sends responses from memory.
http_protocols = "h1"
sendfile = False
# It is a socket in the home directory, which two servers of one user would share.
control_socket_disable = True
# The app is loaded once, before the workers are forked: they start at once and share its memory, and a
# fault in the settings is reported once. New code needs a restart, as new settings do; in development
# `app/serving/reloading.py` loads it again.
preload_app = True
# prometheus_client stores values where workers share them if this variable is set before it is imported.
has_metrics = bool(os.environ.get("KEYTURN_METRICS_BIND"))
if has_metrics:
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "")  # `on_starting` makes the folder
is_development = os.environ.get("KEYTURN_ENV", "") in ("", "development")
# All lines have one form. In development a terminal shows gunicorn's own, as they are.
if not is_development or not sys.stderr.isatty():
    logger_class = "app.gunicorn_log.JsonLogger"
# A terminal shows the requests, and gunicorn's warnings, but not how gunicorn starts and stops.
if is_development:
    loglevel = "warning"
    # Somebody waits there for it to stop, or for the next code, while a browser holds connections open.
    if sys.stderr.isatty():
        graceful_timeout = 2


def on_starting(server: Any) -> None:
    """Make the folder in which the workers count, empty and for this server alone."""
    if has_metrics:
        from app.metrics import shared_files

        shared_files.make(server.cfg.worker_tmp_dir, uid=server.cfg.uid, gid=server.cfg.gid)


def pre_fork(server: Any, worker: Any) -> None:
    """Choose a core for a worker."""
    from app.serving.cores import choose_core

    if os.environ.get("KEYTURN_PIN_WORKERS") != "off":
        worker.core = choose_core(server)


def post_worker_init(worker: Any) -> None:
    """Leave some of its threads to what needs no database, reserve its connections, start its upkeep, and count."""
    from flask import Flask

    from app.health import sighting
    from app.storage import reserved
    from app.storage.waiting import serve_with
    from app.upkeep import upkeep_thread

    serve_with(worker.cfg.threads)
    if isinstance(worker.wsgi, Flask):
        sighting.serves(worker.wsgi, worker)
        reserved.hold(worker.wsgi)
        upkeep_thread.start(worker.wsgi)
    if has_metrics:
        from app.health import measuring

        measuring.start(worker.wsgi)


def worker_exit(_: Any, worker: Any) -> None:
    """Count a worker's last requests, and let another worker serve the metrics."""
    if has_metrics:
        from app.health import measuring

        measuring.finish(worker.wsgi)


def child_exit(_: Any, worker: Any) -> None:
    """In the master: keep what a worker has counted, however it ended."""
    if has_metrics:
        from app.metrics import shared_files

        shared_files.bury(worker.pid)


def when_ready(server: Any) -> None:
    """Once the port is open: refuse to be public by accident, and print what a learner can try."""
    from app.operations.startup import check_hosts, welcome
    from app.settings import read_settings

    settings = read_settings(os.environ)
    # The addresses are read from the sockets, also inherited ones; with `reuse_port` the master has none.
    names = [listener.getsockname() for listener in server.LISTENERS] or server.address
    check_hosts(settings, [name[0] for name in names if isinstance(name, tuple)])
    if not settings.is_production and not settings.faults:
        from app.serving import reloading

        sys.stdout.write(welcome(settings))
        sys.stdout.flush()
        reloading.start(server, settings.resources_file, STARTED)


def pre_exec(server: Any) -> None:
    """At SIGUSR2, start the second master as the first was started.

    gunicorn runs its module by path, where `http` is gunicorn's own: the second master ends with a traceback.
    """
    server.START_CTX["args"] = sys.orig_argv


def on_exit(_: Any) -> None:
    if has_metrics:
        from app.metrics import shared_files

        shared_files.remove()
    if is_development:
        sys.stderr.write("Stopped.\n")


def on_reload(server: Any) -> None:
    """In development, serve the code as it is now; in production SIGHUP only replaces the workers."""
    if is_development:
        from app.serving.reloading import load_again

        load_again(server)
