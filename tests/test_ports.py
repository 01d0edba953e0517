"""The ports of the tests' servers: what one process of the tests has chosen, no other is given meanwhile."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.conftest import bound_to, free_port, responds

CHOOSE = """
import socket
for _ in range(40_000):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        print(found.getsockname()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be held for a server")
def test_a_port_that_a_server_will_have_is_given_to_no_other_process() -> None:
    chosen = {free_port() for _ in range(20)}

    chosen_by_another = subprocess.run([sys.executable, "-c", CHOOSE], capture_output=True, text=True, check=True)

    assert len(chosen) == 20
    assert chosen & {int(line) for line in chosen_by_another.stdout.split()} == set()


def test_a_server_can_have_the_port_and_until_then_nobody_responds_there() -> None:
    port = free_port()
    assert not responds(f"http://127.0.0.1:{port}")

    with bound_to(port) as server:
        server.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
