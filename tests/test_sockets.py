"""What only a socket can send, to gunicorn with two workers: broken, slow, oversized and pipelined requests."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import LiveServer, responds, wait_for
from tests.support.calling import token
from tests.support.hostile_clients import (
    FORM,
    STALL,
    START,
    Response,
    chunked,
    connect,
    crowd,
    everything,
    exchange,
    is_open,
    read_response,
    statuses,
)


@pytest.fixture(scope="module")
def server(
    prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, live_servers: Callable[..., LiveServer]
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("sockets"))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", id="chunk-size"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\n5\r\ngrantXX", id="chunk-end"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\n-5\r\ngrant\r\n0\r\n\r\n", id="chunk-negative"),
        pytest.param(f"{START}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="two-lengths"),
        pytest.param(f"{START}Content-Length: -1\r\n\r\n", id="length-negative"),
        pytest.param(f"{START}Content-Length: x\r\n\r\n", id="length-no-number"),
        pytest.param(f"{START}Content-Length: 5\r\nContent-Length: 6\r\n\r\ngrant", id="length-twice"),
        pytest.param(f"{START}Content-Length: 99999999\r\n\r\n", id="too-long"),
        pytest.param(f"{START}X: {'y' * 9_000}\r\n\r\n", id="header-too-long"),
        pytest.param(START + "".join(f"X{n}: y\r\n" for n in range(60)) + "\r\n", id="too-many-headers"),
        pytest.param(f"POST /{'x' * 5_000} HTTP/1.1\r\nHost: x\r\n\r\n", id="line-too-long"),
        pytest.param(f"{START}Bad Header\r\n\r\n", id="header-without-colon"),
        pytest.param("POST /oauth/token\r\n\r\n", id="no-version"),
        pytest.param("\x00\x01\x02\x03\r\n\r\n", id="no-http"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(
            f"POST http://evil.example/oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 0\r\n\r\n",
            id="absolute",
        ),
        pytest.param("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", id="asterisk"),
        pytest.param("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", id="connect"),
    ],
)
def test_R107_a_broken_request_is_refused_and_the_server_goes_on(server: LiveServer, sent: str) -> None:
    received = exchange(server, sent.encode("latin-1"), half_close=True)

    assert all(400 <= status < 500 or status == 505 for status in statuses(received)), received
    assert responds(server.url)


@pytest.mark.parametrize("path", ["/oauth/token", "/admin/logs"])
def test_R107_a_body_that_is_cut_off_is_refused_whole(server: LiveServer, path: str) -> None:
    sent = f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 100\r\n\r\ngrant_type=client_credentials"

    received = exchange(server, sent.encode(), half_close=True)

    assert statuses(received) in ([400], [])
    if received:
        assert json.loads(received.partition(b"\r\n\r\n")[2])["error"] == "invalid_request"


GET = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n"
# What a client sends before it stalls, and how many clients do so.
CROWDS = [
    pytest.param("", 400, id="nothing"),
    pytest.param("G", 200, id="one-byte"),
    pytest.param(GET, 200, id="half-a-head"),
    pytest.param(f"{START}Content-Length: 100\r\n\r\ng", 200, id="half-a-body"),
    pytest.param(f"{START}Content-Length: 900000\r\n\r\n{'x' * 70_000}", 60, id="much-of-a-long-body"),
    pytest.param(f"{START}Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n", 200, id="half-the-chunks"),
    pytest.param(f"{START}Expect: 100-continue\r\nContent-Length: 900000\r\n\r\n", 200, id="expects-and-waits"),
]


@pytest.mark.parametrize(("sent", "size"), CROWDS)
def test_R107_a_client_gets_its_token_while_others_send_a_part_and_wait(
    server: LiveServer, sent: str, size: int
) -> None:
    with crowd(server, sent.encode(), size) as waiting:
        for connection in waiting if "Expect" in sent else []:
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"

        tokens = [token(server) for _ in range(4)]

        # The order counts: the tokens came before the server gave up any of these.
        assert [is_open(connection) for connection in waiting] == [True] * size
    assert all(tokens)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"{GET}Connection: close\r\n\r\n", id="close"),
        pytest.param("NO HTTP\r\n\r\n", id="malformed"),
        pytest.param(f"{START}Content-Length: 3000000\r\n\r\n", id="too-long"),
    ],
)
def test_R107_a_client_gets_its_token_while_others_do_not_hang_up(server: LiveServer, sent: str) -> None:
    with crowd(server, sent.encode(), 100) as silent:
        tokens = [token(server) for _ in range(4)]

        # Each has its response, and the server has closed its end; the client's own end is open.
        assert all(everything(connection).startswith(b"HTTP/1.1 ") for connection in silent)
    assert all(tokens)


def test_R107_a_client_gets_its_token_while_persistent_connections_all_close_at_once(server: LiveServer) -> None:
    with crowd(server, f"{GET}\r\n".encode(), 200) as silent:
        for connection in silent:
            assert read_response(connection)
            connection.sendall(f"{GET}Connection: close\r\n\r\n".encode())

        assert token(server)
        assert all(everything(connection).startswith(b"HTTP/1.1 200") for connection in silent)
    assert "WORKER TIMEOUT" not in server.log.read_text()


def test_a_connection_more_than_a_worker_has_room_for_takes_the_place_of_an_idle_one(
    prepared: Callable[[str], str], tmp_path: Path, live_servers: Callable[..., LiveServer]
) -> None:
    few = live_servers(prepared("sqlite"), tmp_path, GUNICORN_CMD_ARGS="--worker-connections 20", WEB_CONCURRENCY="1")
    with crowd(few, b"G", 30) as partial, crowd(few, f"{GET}\r\n".encode(), 30) as idle:
        assert token(few)

        assert not is_open(partial[0])
        assert len(idle) == 30
    assert few.stop() == 0


def test_attack_idle_connections_take_the_place_of_older_ones_and_not_of_one_whose_request_arrives(
    prepared: Callable[[str], str], tmp_path: Path, live_servers: Callable[..., LiveServer]
) -> None:
    few = live_servers(prepared("sqlite"), tmp_path, GUNICORN_CMD_ARGS="--worker-connections 20", WEB_CONCURRENCY="1")
    with crowd(few, f"{GET}\r\n".encode(), 12) as used:
        assert all(read_response(connection) for connection in used)
        time.sleep(0.1)  # longer than a thread lingers
        with connect(few) as arriving, crowd(few, GET.encode(), 10):
            arriving.sendall(f"{GET}\r\n".encode())
            response = read_response(arriving)

        assert response
        assert response.status == 200
        assert not all(is_open(connection) for connection in used)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_worker_that_may_open_no_more_files_closes_an_idle_connection_and_goes_on(
    prepared: Callable[[str], str], tmp_path: Path, live_servers: Callable[..., LiveServer]
) -> None:
    server = live_servers(prepared("sqlite"), tmp_path, WEB_CONCURRENCY="1")
    (worker,) = psutil.Process(server.process.pid).children()
    assert token(server)  # the files that it needs for the database are open
    most = worker.num_fds() + 20
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (most, most))

    with crowd(server, b"", 60) as idle:
        assert token(server)

        assert not is_open(idle[0])
    assert worker.is_running()
    assert server.stop() == 0


def test_a_client_gets_its_token_while_others_do_not_read_their_responses(server: LiveServer) -> None:
    many = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1_200  # much more than a socket buffers
    with crowd(server, many, 24, receive_buffer=4_096) as deaf:
        workers = psutil.Process(server.process.pid).children()
        wait_for(lambda: sum(each.cpu_percent(interval=0.2) for each in workers) < 10)  # all buffers are full

        tokens = [token(server) for _ in range(4)]

        # The tokens came before the server gave any of these up.
        ours = {connection.getsockname() for connection in deaf}
        assert ours <= {tuple(each.raddr) for each in established(server)}
    assert all(tokens)


def test_attack_a_client_that_reads_nothing_and_resets_its_connection_ends_no_worker(server: LiveServer) -> None:
    workers = psutil.Process(server.process.pid).children()
    open_files = sum(each.num_fds() for each in workers)
    many = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1_200
    with crowd(server, many, 4, receive_buffer=4_096) as deaf:
        wait_for(lambda: sum(each.cpu_percent(interval=0.2) for each in workers) < 10)  # all buffers are full
        for connection in deaf:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets

    wait_for(lambda: sum(each.num_fds() for each in workers) <= open_files)
    assert token(server)
    assert all(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert "Worker exiting" not in server.log.read_text()


def established(server: LiveServer) -> list[Any]:
    """The connections that the workers have not begun to close."""
    workers = psutil.Process(server.process.pid).children()
    found = [each for worker in workers for each in worker.net_connections()]
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED]


def test_a_client_that_reads_slowly_gets_all_responses_in_their_order(server: LiveServer) -> None:
    with connect(server) as slow:
        slow.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 600)
        time.sleep(1)  # so that the buffers are full before reading begins
        slow.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert statuses(everything(slow)) == [200] * 600 + [404]


def test_a_connection_goes_on_after_requests_that_came_in_parts(server: LiveServer) -> None:
    get, post = (GET, "\r\n"), (f"{START}Content-Length: 12\r\n\r\n", "grant_type=x")
    with connect(server) as connection:
        for parts in (get, post, get, post):
            for part in parts:
                time.sleep(0.1)  # longer than a thread lingers
                connection.sendall(part.encode())

            response = read_response(connection)
            assert response
            assert not response.announces_the_end


def test_a_client_that_waits_for_permission_to_send_its_body_gets_it_once(server: LiveServer) -> None:
    with connect(server) as careful:
        careful.sendall(f"{START}Expect: 100-continue\r\nContent-Length: 12\r\n\r\n".encode())
        assert careful.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"

        careful.sendall(b"grant_type=x")

        response = read_response(careful)
        assert response
        assert response.status == 400
        assert_connection_is_as_announced(careful, response)


def assert_connection_is_as_announced(connection: socket.socket, response: Response | None) -> None:
    """The next request is served, unless the response said that it would not be (RFC 9112, section 9.6)."""
    if response is None or response.announces_the_end:
        assert connection.recv(1) == b""
        return
    connection.sendall(f"{GET}\r\n".encode())
    following = read_response(connection)
    assert following
    assert following.status == 200


LENGTHS = [0, 10, 16_384, 16_385, 65_535, 65_536, 100_000, 1_048_577, 3_000_000]
TARGETS = ["POST /oauth/token", "POST /oauth/introspect", "PUT /inventory/a", "GET /.well-known/jwks.json", "PUT /x"]
CREDENTIALS = ["", "Authorization: Basic ZGVtby1hZG1pbjprdHNfd3Jvbmc=\r\n", "Authorization: Bearer x\r\n"]


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["nobody", "wrong-secret", "bearer"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_response_to_a_body_of_any_length_tells_whether_the_connection_goes_on(
    server: LiveServer, target: str, credentials: str
) -> None:
    head = f"{target} HTTP/1.1\r\nHost: x\r\n{FORM}{credentials}"
    for length in LENGTHS:
        body = b"x" * length
        for framed in (
            f"{head}Content-Length: {length}\r\n\r\n".encode() + body,
            f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(body),
        ):
            with connect(server) as connection:
                connection.sendall(framed)
                assert_connection_is_as_announced(connection, read_response(connection))


CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("ending", ["stays", "half-close"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f"{CHUNKED}zz\r\nabc\r\n0\r\n\r\n", id="no-chunk-size"),
        pytest.param(f"{CHUNKED}3\r\nabcdef\r\n0\r\n\r\n", id="chunk-longer-than-its-size"),
        pytest.param(f"{CHUNKED}3;=\r\nabc\r\n0\r\n\r\n", id="bad-extension"),
        pytest.param(f"{CHUNKED}3\r\nabc\r\n0\r\nno trailer\r\n\r\n", id="bad-trailer"),
        pytest.param(f"{CHUNKED}fffffffff\r\nabc", id="endless-chunk"),
        pytest.param(f"{CHUNKED}{'1' * 40_000}", id="endless-size"),
        pytest.param(f"{CHUNKED}0\r\n{'x: y' * 100_000}", id="endless-trailer"),
        pytest.param("Content-Length: 5\r\nExpect: x\r\n\r\n", id="unknown-expectation"),
        pytest.param(f"X: {'y' * 50_000}\r\n\r\n", id="endless-header"),
    ],
)
def test_a_response_to_a_broken_body_tells_that_the_connection_ends(
    server: LiveServer, target: str, body: str, ending: str
) -> None:
    with connect(server) as connection:
        connection.sendall(f"{target} HTTP/1.1\r\nHost: x\r\n{FORM}{body}".encode())
        if ending == "half-close":
            connection.shutdown(socket.SHUT_WR)

        response = read_response(connection)

        assert response
        assert 400 <= response.status < 500
        assert response.announces_the_end
        assert json.loads(response.body)["error"]
        assert connection.recv(1) == b""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("body", ["Content-Length: 100000\r\n\r\n", CHUNKED], ids=["length", "chunks"])
def test_a_response_to_a_body_that_is_cut_short_tells_that_the_connection_ends(
    server: LiveServer, target: str, body: str
) -> None:
    with connect(server) as connection:
        connection.sendall(f"{target} HTTP/1.1\r\nHost: x\r\n{FORM}{body}5\r\nabc".encode())
        connection.shutdown(socket.SHUT_WR)

        response = read_response(connection)

        assert response
        assert response.announces_the_end


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param("GET /kts_reflected\r\n\r\n", 400, id="no-version"),
        pytest.param(f"GET /{'kts_reflected' * 400} HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="line-too-long"),
        pytest.param(f"{GET}X: {'kts_reflected' * 700}\r\n\r\n", 431, id="header-too-long"),
        pytest.param(f"{GET}Expect: kts_reflected\r\n\r\n", 417, id="expectation"),
        pytest.param(f"{START}Transfer-Encoding: kts_reflected\r\n\r\n", 501, id="transfer-coding"),
        pytest.param(f"{GET}kts_reflected\r\n\r\n", 400, id="no-colon"),
    ],
)
def test_R059_R061_what_gunicorn_refuses_is_refused_in_json_and_nothing_of_it_comes_back(
    server: LiveServer, sent: str, status: int
) -> None:
    head, _, body = exchange(server, sent.encode()).partition(b"\r\n\r\n")

    assert statuses(head) == [status]
    assert b"Content-Type: application/json" in head
    assert b"Cache-Control: no-store" in head
    assert json.loads(body)["error"] == "invalid_request"
    assert b"kts_reflected" not in head + body
    assert "kts_reflected" not in server.log.read_text()


def test_R107_clients_that_stall_or_trickle_are_cut_off(server: LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        stalled, in_body, in_head = (stack.enter_context(connect(server)) for _ in range(3))
        stalled.sendall(f"{START}Content-Length: 100\r\n\r\ng".encode())
        in_body.sendall(f"{START}Content-Length: 100\r\n\r\n".encode())
        in_head.sendall(START.encode())
        trickling = {in_body, in_head}
        for _ in range(STALL):
            for connection in list(trickling):
                if is_open(connection):
                    connection.sendall(b"x")
                else:
                    trickling.discard(connection)
            if not trickling:
                break
            time.sleep(1)  # a second later, the next byte

        assert not trickling
        stalled.settimeout(STALL)
        in_body.settimeout(STALL)
        assert statuses(everything(stalled)) == statuses(everything(in_body)) == [400]


def test_R107_pipelined_requests_get_responses_in_their_order_or_none(server: LiveServer) -> None:
    keys = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"
    token = f"{START}Content-Length: 12\r\n\r\ngrant_type=x"
    last = "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    received = exchange(server, (keys + token + keys + last).encode())

    # After a response the server may close the connection (RFC 9112, section 9.3.2); the client requests again.
    found = statuses(received)
    assert found
    assert found == [200, 400, 200, 404][: len(found)]


def test_no_secret_of_a_request_that_gunicorn_refuses_reaches_its_log(server: LiveServer) -> None:
    secret = "kts_leaked-by-a-wrong-length"
    body = f"grant_type=client_credentials&client_secret={secret} x"

    exchange(server, f"{START}Content-Length: 5\r\n\r\n{body}\r\n\r\n".encode())
    exchange(server, f"GET /x?client_secret={secret}\r\n\r\n".encode())
    exchange(server, f"GET / HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n".encode())

    log = Path(server.log).read_text(encoding="utf-8")
    assert "refused by gunicorn" in log
    assert secret not in log
