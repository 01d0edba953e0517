"""A real HTTP server that records each request as it arrives, and responds with 200."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Arrived:
    """A request as it arrived: header names in lower case, values as their bytes say in Latin-1."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def said(self, *names: str) -> tuple[object, ...]:
        """What must be the same however the request is sent: method, path, these headers, and the form or body."""
        kind = self.headers.get("content-type", "").split(";")[0]
        body: object = self.body
        if kind == FORM:
            body = parse_qsl(self.body.decode(), keep_blank_values=True)
        headers = {name: self.headers.get(name) for name in map(str.lower, names) if name != "content-type"}
        return self.method, unquote(self.path), kind, headers, body


@dataclass
class Echo:
    url: str
    arrived: list[Arrived] = field(default_factory=list)

    def take(self) -> Arrived:
        """The one request that arrived since the last call."""
        (found,) = self.arrived
        self.arrived.clear()
        return found


@contextmanager
def echo() -> Iterator[Echo]:
    class Note(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Callable[[], None]:
            """Record any method: `http.server` looks for `do_GET`, `do_PUT` and so on."""
            if not name.startswith("do_"):
                raise AttributeError(name)
            return self.note

        def note(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.arrived.append(Arrived(self.command, self.path, headers, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Note) as server:
        found = Echo(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
