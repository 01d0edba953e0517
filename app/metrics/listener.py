"""The listener that serves the metrics of all workers, on an address of its own: one worker has it.

A file's lock decides which one, and the system gives it back when that worker ends, however it ends. The others try
again every half second.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from functools import partial
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from app.clock import monotonic
from app.logs import log
from app.metrics import shared_files

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"
CLIENT_SECONDS = 5  # how long a client may take to send its request, or to read
MOST_CLIENTS = 8
LAST_SECONDS = 2  # that a worker waits for its last responses, as it ends
POLL_SECONDS = 0.1


class ImpatientRequest(WSGIRequestHandler):
    timeout = CLIENT_SECONDS
    # Line by line, as the library sends it, a response that is cut off after its status would be an empty scrape.
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, its name in the library
        """Scrapes are not logged."""


class Listener(ThreadingMixIn, WSGIServer):
    """A server of metrics: a few clients at once, each with a bound in time."""

    daemon_threads = True

    def __init__(self, bind: str, application: WSGIApplication) -> None:
        host, _, port = bind.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.Semaphore(MOST_CLIENTS)
        super().__init__((host, int(port)), ImpatientRequest)
        self.set_app(application)

    def server_bind(self) -> None:
        # The library's own looks the host's name up in DNS, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def stop(self) -> None:
        """Accept no more clients, and let those that wait have their responses."""
        self.shutdown()
        self.server_close()
        end = monotonic() + LAST_SECONDS
        for _ in range(MOST_CLIENTS):
            self._places.acquire(timeout=max(0, end - monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or was too slow; the library prints a traceback."""


def only_metrics(registry: CollectorRegistry) -> WSGIApplication:
    """The library's app serves the metrics at every path."""
    metrics = make_wsgi_app(registry)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return respond(start_response, "404 Not Found", f"The metrics are at {PATH}.")
        try:
            found: Iterable[bytes] = metrics(environ | {"QUERY_STRING": ""}, start_response)
        except Exception as error:  # the library's server would print it, and nothing else would be in the log
            log.error("the metrics cannot be collected", exc_info=error)
            return respond(start_response, "500 Internal Server Error", "The log has the cause.")
        return found

    return application


def respond(start_response: StartResponse, status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]


class Turn:
    """A worker's attempt to get the listener."""

    def __init__(self, bind: str, registry: CollectorRegistry) -> None:
        self._bind = bind
        self._registry = registry
        self._lock: int | None = None
        self._listener: Listener | None = None
        self._has_ended = False
        self._one_at_a_time = threading.Lock()
        self._has_logged = False

    def take(self) -> None:
        """Open the listener, if no other worker of this server has it."""
        with self._one_at_a_time:
            if self._listener or self._has_ended:
                return
            if self._lock is None:
                self._lock = shared_files.lock(shared_files.path() / shared_files.LISTENING)
            if self._lock is not None:
                self._open()

    def end(self) -> None:
        """Close the listener, and let another worker have it."""
        with self._one_at_a_time:
            self._has_ended = True
            if self._listener:
                self._listener.stop()
            if self._lock is not None:
                os.close(self._lock)

    def _open(self) -> None:
        try:
            self._listener = Listener(self._bind, only_metrics(self._registry))
        except OSError as error:
            if not self._has_logged:  # after USR2 the former server has it for a while
                self._has_logged = True
                log.error("the metrics cannot be served at %s: %s", self._bind, error.strerror or error)
            return
        log.info("the metrics are at http://%s%s", self._bind, PATH)
        serve = partial(self._listener.serve_forever, POLL_SECONDS)
        threading.Thread(target=serve, name="metrics listener", daemon=True).start()
