"""A small proxy that terminates TLS in front of a server, as production needs one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support import certificates

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "x-forwarded-proto", "x-forwarded-for"}


@contextmanager
def https(port: int, upstream: int, folder: Path) -> Iterator[None]:
    """Serve https on a port of this machine, and send each request on to another port."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def send_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            headers |= {"X-Forwarded-Proto": "https", "X-Forwarded-For": self.client_address[0]}
            with closing(HTTPConnection("127.0.0.1", upstream, timeout=30)) as connection:
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                received = response.read()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(received)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = send_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    (folder / "front.pem").write_bytes(certificates.own("localhost"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "front.pem")
    server = ThreadingHTTPServer(("127.0.0.1", port), Front)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
