"""A real server that has a key set, and can be slow, large, wrong, gone, or another one a moment later."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from joserfc import jwk

Respond = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; `send` responds to it."""

    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        with suppress(OSError):  # the client hangs up when it has waited long enough
            self.server.respond(self)

    def send(self, content: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Responds as `respond` says; `paths` are those that were requested."""

    daemon_threads = True

    def __init__(self, respond: Respond, host: str = "127.0.0.1", port: int = 0, tls: Path | None = None) -> None:
        super().__init__((host, port), Request)
        self.respond, self.paths, self.host = respond, list[str](), host
        self.scheme, self.bytes_sent = "http", 0
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"

    def handle_error(self, *_: object) -> None:
        pass  # a client that does not accept the certificate

    def url(self, host: str = "", path: str = "/keys") -> str:
        return f"{self.scheme}://{host or self.host}:{self.server_port}{path}"


@contextmanager
def serving(respond: Respond, host: str = "127.0.0.1", port: int = 0, tls: Path | None = None) -> Iterator[Server]:
    server = Server(respond, host, port, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def key_set(*keys: jwk.Key, **members: object) -> str:
    return json.dumps({"keys": [each.as_dict(private=False) | members for each in keys]})


def sends(*keys: jwk.Key, **headers: str) -> Respond:
    """A key set."""
    return lambda request: request.send(key_set(*keys), **headers)


def sends_text(content: str, status: int = 200, **headers: str) -> Respond:
    return lambda request: request.send(content, status, **headers)


def redirects(location: str) -> Respond:
    return lambda request: request.send("", 302, Location=location)


def says_nothing(request: Request) -> None:
    """Accept the request, and wait until the client hangs up."""
    with suppress(OSError):
        request.connection.recv(1)


def trickles(content: str, seconds: float = 0.2) -> Respond:
    """Send a byte now and then: no single read times out."""

    def respond(request: Request) -> None:
        for each in content:
            request.wfile.write(each.encode())
            request.server.bytes_sent += 1
            time.sleep(seconds)

    return respond


def floods(mebibytes: int) -> Respond:
    """Send a body of many bytes."""

    def respond(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(mebibytes):
            request.wfile.write(b" " * 1_048_576)
            request.server.bytes_sent += 1_048_576

    return respond


def after(seconds: float, respond: Respond) -> Respond:
    def late(request: Request) -> None:
        time.sleep(seconds)
        respond(request)

    return late


def hangs_up(request: Request) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)
