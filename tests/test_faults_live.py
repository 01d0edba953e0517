"""Faults on purpose as clients meet them: gunicorn with two workers and Werkzeug's server, raw bytes, real clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests
from werkzeug.serving import make_server

from app.faults.table import FAULTS, Kind
from tests.conftest import LiveServer, build_app, close, free_port
from tests.support.hostile_clients import connect, read_response
from tests.support.leaks import suite
from tests.test_faults import SECRET, basic, names
from tests.test_resource_server import Api, started  # noqa: F401, the second is a fixture

BODY = b"grant_type=client_credentials"


def request_bytes(name: str, path: str = "/oauth/token", body: bytes = BODY) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(f'fault-{name}')['Authorization']}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def exchange(url: str, sent: bytes) -> bytes:
    """Everything that the server sends until it closes the connection."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


def request_token(url: str, name: str, path: str = "/oauth/token", **form: str) -> requests.Response:
    data = {"grant_type": "client_credentials", **form}
    response = requests.post(
        url + path, data=data, auth=(f"fault-{name}", SECRET), timeout=20, allow_redirects=False
    )  # fmt: skip
    if "access_token" in response.text:
        suite.remember(response.text.partition('"access_token": "')[2].partition('"')[0])
    return response


@pytest.fixture
def werkzeug_url(prepared: Callable[[str], str]) -> Iterator[str]:
    port = free_port()
    app = build_app(database_url=prepared("sqlite"), issuer=f"http://127.0.0.1:{port}")
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.shutdown()
    thread.join()
    server.server_close()
    close(app)


@pytest.fixture(params=["gunicorn", "werkzeug"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "werkzeug":
        return str(request.getfixturevalue("werkzeug_url"))
    return str(request.getfixturevalue("live")().url)


def test_the_connection_is_dropped_before_the_first_byte(url: str) -> None:
    assert exchange(url, request_bytes("drop")) == b""
    with pytest.raises(requests.ConnectionError, match=r"RemoteDisconnected|Connection reset"):
        request_token(url, "drop")
    assert requests.get(f"{url}/.well-known/jwks.json", timeout=20).status_code == 200


def test_the_connection_is_closed_in_the_middle_of_the_body(url: str) -> None:
    head, _, body = exchange(url, request_bytes("cut")).partition(b"\r\n\r\n")

    announced = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(body) < announced
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError), match="IncompleteRead"):
        request_token(url, "cut")


def test_a_client_that_tries_again_gets_its_token(url: str) -> None:
    with pytest.raises(requests.ConnectionError):
        request_token(url, "drop-once")

    assert request_token(url, "drop-once").json()["token_type"] == "Bearer"


def test_what_is_complete_http_leaves_the_connection_usable(live: Callable[..., LiveServer]) -> None:
    """Every other fault of a response, by raw bytes: one response, of which the length is right, and the next one."""
    server = live()
    for name in sorted(names(Kind.RESPONSE) - {"drop", "cut", "slow-5s"}):
        with connect(server) as connection:
            for fault in (name, "429"):
                connection.sendall(request_bytes(fault))
                response = read_response(connection)
                assert response, name
                assert response.headers["x-keyturn-fault"] == fault
                assert int(response.headers["content-length"]) == len(response.body), name


def test_a_chunked_form_is_a_form(live: Callable[..., LiveServer]) -> None:
    body = BODY + b"&client_id=fault-429&client_secret=" + SECRET.encode()
    head = (
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with connect(live()) as connection:
        connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        response = read_response(connection)

    assert response
    assert response.status == 429


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("suffix", "faulty"), [("once", 1), ("first3", 3)])
def test_of_twenty_requests_at_once_exactly_the_first_have_the_fault(
    live: Callable[..., LiveServer], kind: str, suffix: str, faulty: int
) -> None:
    url = live(kind).url

    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: request_token(url, f"429-{suffix}"), range(20)))

    assert sorted(each.status_code for each in responses) == [200] * (20 - faulty) + [429] * faulty


def test_slow_responses_delay_no_others(live: Callable[..., LiveServer]) -> None:
    url = live(WEB_CONCURRENCY="1").url
    ended: list[str] = []

    def slow() -> requests.Response:
        response = request_token(url, "slow-6s")
        ended.append("slow")
        return response

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(slow) for _ in range(5)]
        while not any(each.done() for each in running):  # the fifth is refused as soon as four are slow
            time.sleep(0.05)
        for _ in range(20):
            assert request_token(url, "429").status_code == 429
        ended.append("others")
        responses = [each.result() for each in running]

    assert ended == ["slow", "others", "slow", "slow", "slow", "slow"]
    assert sorted(each.status_code for each in responses) == [200] * 4 + [503]


API = {"no-scope": 403}


def test_an_api_elsewhere_refuses_each_token_at_fault(
    live: Callable[..., LiveServer],
    started: Callable[..., Api],  # noqa: F811
) -> None:
    server = live()
    api = started(server.url, "jwt")
    good = request_token(server.url, "negative-expires-in", scope="shipments:read").json()["access_token"]
    bad = {
        name: request_token(server.url, name, scope="shipments:read").json()["access_token"]
        for name in sorted(names(Kind.TOKEN))
    }

    found = {name: api.get(token) for name, token in bad.items()}

    assert api.status(good) == 200
    assert {name: each[0] for name, each in found.items()} == dict.fromkeys(bad, 401) | API
    assert {each[2]["error"] for name, each in found.items() if name not in API} == {"invalid_token"}


def partners_token(issuer: str) -> str:
    form = {"grant_type": "client_credentials", "scope": "shipments:read"}
    auth = ("demo-partner", "kts_demo-partner-is-for-learning-only")
    token = str(requests.post(f"{issuer}/oauth/token", form, auth=auth, timeout=20).json()["access_token"])
    suite.remember(token)
    return token


@pytest.mark.parametrize("name", sorted(names(Kind.ISSUER)))
def test_an_api_with_an_issuer_at_fault_never_accepts_a_token_that_it_cannot_check(
    live: Callable[..., LiveServer],
    started: Callable[..., Api],  # noqa: F811
    name: str,
) -> None:
    server = live()
    used = FAULTS[name].used_as.replace("-5s", "-1s")
    token = partners_token(server.url + used)

    status = started(server.url + used, "jwt").status(token)

    wanted = {"jwks-slow-5s": 200, "metadata-slow-5s": 200, "jwks-rotated": 401}
    assert status == wanted.get(name, 503)


def test_an_api_that_fetches_the_keys_again_survives_a_rotation(
    live: Callable[..., LiveServer],
    started: Callable[..., Api],  # noqa: F811
) -> None:
    server = live()
    issuer = f"{server.url}/faults/jwks-rotated-once~api"
    api = started(issuer, "jwt")
    token = partners_token(issuer)

    first = api.status(token)
    end = time.monotonic() + 60
    while (status := api.status(token)) != 200 and time.monotonic() < end:
        time.sleep(0.2)

    assert (first, status) == (401, 200)
