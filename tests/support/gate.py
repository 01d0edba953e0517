"""A TCP proxy in front of a server, which holds responses back while it is closed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Gate:
    """A proxy on `port` for the server on `target`; while it is closed, no byte of a response passes."""

    listener: socket.socket
    target: int
    is_open: threading.Event = field(default_factory=threading.Event)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def open(self) -> None:
        self.is_open.set()

    def close(self) -> None:
        self.is_open.clear()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [client, server]
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    def pass_on(self, source: socket.socket, sink: socket.socket, waits: bool) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65_536):
                if waits:
                    self.is_open.wait()
                sink.sendall(received)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def gate(target: int) -> Iterator[Gate]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Gate(listener, target)
        found.open()
        threading.Thread(target=found.serve, daemon=True).start()
        yield found
        found.open()
        listener.shutdown(socket.SHUT_RDWR)
    for each in found.sockets:
        each.close()
