"""Keys that are elsewhere: what is fetched, from where, how often, and what happens while it cannot be (R040)."""

from __future__ import annotations

import difflib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk
from werkzeug.test import TestResponse

from app.clients import registration
from app.clock import now
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.refusals.key_set_causes import KEY_SET_CAUSES
from app.remote_keys import addresses, fetching, key_sets, public_key, running_fetches
from app.remote_keys.careful_get import Document
from app.remote_keys.fetched_key_set import CLAIM
from app.remote_keys.key_source import KeySetError, KeySource, place
from app.remote_keys.running_fetches import RunningFetches, Standing
from app.remote_keys.taking_turns import CLAIM_SECONDS
from tests.conftest import LiveServer, Operator, demo, wait_for
from tests.support import certificates, key_server, stopped_clock
from tests.support.calling import BASIC, FORM, call
from tests.support.fake_issuer import RSA_KEYS
from tests.support.key_server import Respond, Server, after, key_set, redirects, sends, sends_text, serving, trickles
from tests.support.keyed import GRANT, TYPE, Keyed, public_set
from tests.support.work import STATEMENTS, WRITES, counted

KEY, NEXT, FOREIGN = (jwk.ECKey.generate_key("P-256") for _ in range(3))
ISSUER_METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def source() -> Iterator[Server]:
    with serving(sends(KEY)) as server:
        yield server


@pytest.fixture
def let_pass() -> Iterator[Callable[[int], None]]:
    """Lets seconds pass, which otherwise stand still; a test names it first."""
    with stopped_clock.stopped() as let_pass:
        yield let_pass


@pytest.fixture
def client(app: Flask, source: Server) -> Keyed:
    """A client whose keys are at the source; they were fetched when it was registered."""
    made = Operator(app).run("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", source.url())
    source.paths.clear()
    return Keyed(app, made["client_id"], KEY)


def cold(app: Flask, uri: str, name: str = "cold") -> Keyed:
    """A client whose keys were never fetched."""
    with app.app_context():
        made, _ = registration.register(name, scope="read:logs", jwks_uri=uri)
        return Keyed(app, made.client_id, KEY)


ADDRESSES = [
    ("93.184.215.14", True, True, True),
    ("2606:2800:220:1::1", True, True, True),
    ("64:ff9b::5db8:d70e", True, True, True),  # NAT64 of the first
    ("::ffff:93.184.215.14", True, True, True),
    ("10.1.2.3", False, True, False),
    ("172.31.255.255", False, True, False),
    ("192.168.0.1", False, True, False),
    ("100.64.0.1", False, True, False),
    ("fd12:3456::1", False, True, False),
    ("::ffff:10.1.2.3", False, True, False),
    ("64:ff9b::a01:203", False, True, False),
    ("2002:a01:203::1", False, True, False),  # 6to4 of 10.1.2.3
    ("127.0.0.1", False, False, True),
    ("127.255.0.9", False, False, True),
    ("::1", False, False, True),
    ("::ffff:127.0.0.1", False, False, True),
    ("64:ff9b::7f00:1", False, False, True),
    ("2002:7f00:1::", False, False, True),
    ("0.0.0.0", False, False, False),
    ("::", False, False, False),
    ("169.254.169.254", False, False, False),
    ("::ffff:169.254.169.254", False, False, False),
    ("64:ff9b::a9fe:a9fe", False, False, False),
    ("2002:a9fe:a9fe::1", False, False, False),
    ("fe80::1", False, False, False),
    ("fe80::1%2", False, False, False),
    ("fec0::1", False, False, False),
    ("fd00:ec2::254", False, False, False),
    ("fd20:ce::254", False, False, False),
    ("100.100.100.200", False, False, False),
    ("168.63.129.16", False, False, False),
    ("192.0.0.192", False, False, False),
    ("198.18.0.1", False, False, False),
    ("224.0.0.1", False, False, False),
    ("240.0.0.1", False, False, False),
    ("255.255.255.255", False, False, False),
    ("ff02::1", False, False, False),
    ("2001::1", False, False, False),  # Teredo
    ("2001:db8::1", False, False, False),
    ("::7f00:1", False, False, False),  # IPv4-compatible
    ("64:ff9b:1::7f00:1", False, False, False),
]


@pytest.mark.parametrize(("address", "usual", "private", "here"), ADDRESSES)
def test_R040_keys_are_fetched_from_these_addresses_only(address: str, usual: bool, private: bool, here: bool) -> None:
    """In production; of an issuer with private_network; and in development."""
    allowed = [
        addresses.is_allowed(address, private=False, loopback=False),
        addresses.is_allowed(address, private=True, loopback=False),
        addresses.is_allowed(address, private=False, loopback=True),
    ]

    assert allowed == [usual, private, here]


def test_R030_a_client_authenticates_with_a_key_that_it_publishes(client: Keyed, source: Server) -> None:
    assert client.send().status_code == 200
    assert client.send(client.make(header={"kid": KEY.thumbprint()})).status_code == 200
    assert client.send(client.make(key=FOREIGN)).json["hint"].startswith("the signature is wrong")
    assert client.send(path="/oauth/revoke", token="x").status_code == 200
    assert source.paths == []  # it was fetched when the client was registered
    found = demo(client.app, "demo-admin").events(client_id=client.client_id, event="token_issued")
    assert {each["credential"] for each in found} == {KEY.thumbprint()}


def at(respond: Respond, path: str = "/keys") -> Callable[[Server], str]:
    def prepare(server: Server) -> str:
        server.respond = respond
        return server.url(path=path)

    return prepare


PRIVATE = KEY.as_dict(private=True)
# Each cause with a source that has it, and the sentence that the operator reads.
BROKEN: list[tuple[str, str, Callable[[Server], str]]] = [
    ("unreachable", "Connection refused", lambda _: "http://127.0.0.1:1/keys"),
    ("unreachable", "from no.such.invalid: the name does not resolve", lambda _: "http://no.such.invalid/keys"),
    ("unreachable", "the connection was closed", at(key_server.hangs_up)),
    ("unreachable", "or its response is not HTTP", at(lambda request: request.wfile.write(b"kts_x\r\n\r\n"))),
    ("unreachable", "TLS failed", lambda server: server.url().replace("http:", "https:")),
    ("status", "responded with status 404", at(sends_text("", 404))),
    ("status", "responded with status 304", at(sends_text("", 304))),
    ("redirect", "redirects to another server", at(redirects("http://127.0.0.1:1/keys"))),
    ("redirect", "redirects to another server", at(redirects("//169.254.169.254/keys"))),
    ("redirect", "or more than 3 times", at(redirects("/keys"))),  # for ever
    ("too_large", "at most 256 KiB", at(sends_text(key_set(KEY) + " " * 262_144))),
    ("too_large", "at most 100 keys", at(sends_text(json.dumps({"keys": [{}] * 101})))),
    ("not_a_key_set", "it is not JSON", at(sends_text("<html>"))),
    ("not_a_key_set", "it is not JSON", at(sends_text("[" * 100_000))),
    ("not_a_key_set", "it has no list `keys`", at(sends_text("[]"))),
    ("not_a_key_set", "it has no list `keys`", at(sends_text('{"keys": 5}'))),
    ("no_usable_key", "has 1 keys, and none", at(sends_text(json.dumps({"keys": [PRIVATE]})))),
    ("no_usable_key", "has 0 keys, and none", at(sends_text('{"keys": []}'))),
    ("address_forbidden", "10.0.0.1, from which no keys are fetched", lambda _: "http://10.0.0.1/keys"),
    ("address_forbidden", "169.254.169.254, from", lambda _: "http://169.254.169.254/keys"),
    ("address_forbidden", "has the address 0.0.0.0,", lambda server: server.url("0")),
]


def resolving(monkeypatch: pytest.MonkeyPatch, *replies: list[str]) -> list[str]:
    """Let the name keys.test have these addresses, one list at each look-up; returns the names that are looked up.

    A name below .invalid has none (RFC 6761, section 6.4); a resolver of the machine that is slow has no part in it.
    """
    real, looked_up = socket.getaddrinfo, list[str]()

    def resolve(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host != "keys.test":
            return real(host, port, *args, **more)
        looked_up.append(host)
        found = replies[min(len(looked_up), len(replies)) - 1]
        return [each for address in found for each in real(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return looked_up


@pytest.mark.parametrize(
    ("name", "sentence", "prepare"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BROKEN)]
)
def test_R040_each_fault_of_a_source_has_its_own_sentence(
    reader: Flask,
    source: Server,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    sentence: str,
    prepare: Callable[[Server], str],
) -> None:
    resolving(monkeypatch)
    client = cold(reader, prepare(source), name=f"far-{secrets.token_hex(4)}")

    response = client.send()

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    assert sentence in response.json["hint"]
    assert [each for each, other in ASSERTION_CAUSES.items() if other.matches(response.json["hint"])] == [name]


def found_by(app: Flask, source: KeySource) -> str:
    """The sentence that tells why the keys of a source cannot be had."""
    with app.app_context(), pytest.raises(KeySetError) as caught:
        key_sets.find(source, None)
    return str(caught.value)


DISCOVERED = [
    ("discovery_differs", "are of another issuer: https://other.example", {"issuer": "https://other.example"}),
    ("discovery_differs", "are of another issuer: none", {"issuer": None}),
    ("discovery_differs", "are of another issuer: http://localhost:9000", {"issuer": "http://localhost:9000"}),
    ("not_metadata", "it has no jwks_uri", {"jwks_uri": 5}),
    ("address_forbidden", "169.254.169.254", {"jwks_uri": "http://169.254.169.254/latest"}),
    ("not_https", "by https only", {"jwks_uri": "file:///etc/passwd"}),
    ("not_https", "only: gopher://127.0.0.1 is no", {"jwks_uri": "gopher://127.0.0.1/"}),
    ("not_https", "only: the one that is named is no", {"jwks_uri": "/keys"}),
    ("unreachable", "the address is not valid", {"jwks_uri": "http://[::1"}),
]


@pytest.mark.parametrize(("name", "sentence", "changes"), DISCOVERED)
def test_R040_each_fault_of_an_issuers_metadata_has_its_own_sentence(
    reader: Flask, source: Server, name: str, sentence: str, changes: dict[str, Any]
) -> None:
    issuer = source.url(path=f"/{secrets.token_hex(4)}")
    metadata = {"issuer": issuer, "jwks_uri": source.url()} | changes
    source.respond = sends_text(json.dumps(metadata))

    said = found_by(reader, KeySource(issuer, by_discovery=True))

    assert sentence in said
    assert [each for each, other in ASSERTION_CAUSES.items() if other.matches(said)] == [name]


def test_R040_the_key_set_of_an_issuer_is_where_its_metadata_say(reader: Flask, source: Server) -> None:
    issuer = source.url(path="/tenant/")
    metadata = json.dumps({"issuer": issuer, "jwks_uri": source.url()})
    source.respond = lambda request: request.send(metadata if "well-known" in request.path else key_set(KEY))

    with reader.app_context():
        (found,) = key_sets.find(KeySource(issuer, by_discovery=True), None)

    assert found.kid == KEY.thumbprint()
    assert source.paths == ["/tenant/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize("rest", ["", "/keys?token=x", "?token=x", "?at=a@b", "#x"])
def test_nothing_but_the_host_of_an_address_is_in_a_sentence(rest: str) -> None:
    assert place(f"https://user:word@keys.example:8443{rest}") == "keys.example:8443"


def test_every_cause_of_a_source_is_shown() -> None:
    shown = {name for name, *_ in [*BROKEN, *DISCOVERED]} | {"slow", "certificate", "file_unreadable", "busy"}

    assert shown == set(KEY_SET_CAUSES)


def test_R040_a_slow_source_is_left_after_three_seconds(reader: Flask) -> None:
    """The attack: a source that sends a byte now and then, so that no single read times out."""
    begin = "HTTP/1.1 200 OK\r\n"
    kinds = (key_server.says_nothing, trickles(begin + "x" * 99), trickles(f"{begin}\r\n" + "[" * 99))

    def check(respond: Respond) -> tuple[str, bool]:
        with serving(respond) as server, reader.app_context():
            said = str(key_sets.check(KeySource(server.url())))
            return said[-16:], server.bytes_sent < 60  # at five in a second

    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(check, kinds))

    assert said == [("within 3 seconds", True)] * 3


def test_R040_no_more_is_read_than_a_key_set_may_have(reader: Flask) -> None:
    with serving(key_server.floods(128)) as server, reader.app_context():
        assert "at most 256 KiB" in str(key_sets.check(KeySource(server.url())))
        assert server.bytes_sent < 64 * 1_048_576  # the rest is in the buffers of the two sockets


def test_R040_a_redirect_on_the_same_server_is_followed_and_none_to_elsewhere(reader: Flask, source: Server) -> None:
    """The attack: a key set that redirects to an address which only this machine can reach."""
    with serving(sends(FOREIGN)) as other, reader.app_context():
        source.respond = lambda request: (
            request.send(key_set(KEY)) if request.path == "/moved" else request.send("", 308, Location="/moved")
        )
        assert key_sets.check(KeySource(source.url())) is None
        assert source.paths == ["/keys", "/moved"]

        source.respond = redirects(other.url())
        assert "redirects to another server" in str(key_sets.check(KeySource(source.url())))
        assert other.paths == []


def test_R040_a_name_that_resolves_to_another_address_a_moment_later_changes_nothing(
    reader: Flask, source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: DNS rebinding, between the check of an address and the connection."""
    with serving(sends(FOREIGN), host="127.0.0.2", port=source.server_port) as other, reader.app_context():
        looked_up = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])

        assert key_sets.check(KeySource(source.url("keys.test"))) is None

        assert (source.paths, other.paths, looked_up) == (["/keys"], [], ["keys.test"])


def test_R040_a_name_with_one_forbidden_address_is_refused(
    reader: Flask, source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1", "10.0.0.1"])

    with reader.app_context():
        said = key_sets.check(KeySource(source.url("keys.test")))

    assert said == "keys.test has the address 10.0.0.1, from which no keys are fetched"
    assert source.paths == []


def test_R040_the_next_address_is_tried_if_one_refuses(
    reader: Flask, source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])

    with reader.app_context():
        assert key_sets.check(KeySource(source.url("keys.test"))) is None


@pytest.fixture
def production(new_app: Callable[..., Flask]) -> Flask:
    return new_app(env="production", issuer="https://auth.example.com", trusted_proxies="1")


def test_R040_in_production_this_machine_is_not_reached_and_http_is_refused(
    production: Flask, source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    with production.app_context():
        for private in (False, True):
            secure = KeySource(source.url("keys.test").replace("http:", "https:"), private_network=private)
            assert "has the address 127.0.0.1" in str(key_sets.check(secure))
        assert "by https only" in str(key_sets.check(KeySource(source.url("keys.test"))))
    assert source.paths == []


def test_R040_the_certificate_must_be_that_of_the_name(
    reader: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: another server at the address of the name."""
    own = tmp_path / "own.pem"
    own.write_bytes(certificates.own("keys.test"))
    looked_up = resolving(monkeypatch, ["127.0.0.1"])
    with serving(sends(KEY), tls=own) as server, reader.app_context():
        said = key_sets.check(KeySource(server.url("keys.test")))
        assert said is not None
        assert said.startswith("the certificate of keys.test:")
        assert "self-signed" in said
        assert KEY_SET_CAUSES["certificate"].matches(said)

        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        assert key_sets.check(KeySource(server.url("keys.test"))) is None
        assert looked_up == ["keys.test"] * 2  # once for each fetch: the connection is made to what was checked
        assert "not valid for '127.0.0.1'" in str(key_sets.check(KeySource(server.url("127.0.0.1"))))


FRESH = [
    ("", 3_600),
    ("max-age=900", 900),
    ("public, MAX-AGE=900, must-revalidate", 900),
    ("max-age=1", 300),
    ("max-age=7200", 3_600),
    ("max-age=" + "9" * 5_000, 3_600),
    ("max-age=soon", 3_600),
    ("no-store", 300),
    ("no-cache, max-age=900", 300),
]


@pytest.mark.parametrize(("header", "seconds"), FRESH)
def test_R040_a_key_set_is_fresh_for_its_max_age_within_bounds(header: str, seconds: int) -> None:
    assert fetching.fresh_seconds(Document(b"", {"cache-control": header})) == seconds


def test_R040_what_a_cache_has_held_is_fresh_for_less() -> None:
    assert fetching.fresh_seconds(Document(b"", {"cache-control": "max-age=900", "age": "500"})) == 400
    assert fetching.fresh_seconds(Document(b"", {"cache-control": "max-age=900", "age": "x" * 500})) == 900


def rotated(client: Keyed, key: jwk.Key) -> TestResponse:
    """A request that is signed with a key and names it."""
    return client.send(client.make(key=key, header={"kid": key.thumbprint()}))


def test_R040_a_key_set_is_fetched_once_while_it_is_fresh(
    let_pass: Callable[[int], None], client: Keyed, source: Server, new_app: Callable[..., Flask]
) -> None:
    source.respond = sends(KEY, Cache_Control="max-age=1200")
    other = Keyed(new_app(), client.client_id, KEY)
    let_pass(3_600)
    for each in (client, other, client, other):
        assert each.send().status_code == 200
    assert len(source.paths) == 1

    let_pass(1_199)
    assert [each.send().status_code for each in (client, other)] == [200, 200]
    assert len(source.paths) == 1

    let_pass(1)
    assert [each.send().status_code for each in (other, client)] == [200, 200]
    assert len(source.paths) == 2


def test_R040_an_unknown_kid_lets_all_workers_fetch_again_at_most_once_a_minute(
    let_pass: Callable[[int], None], client: Keyed, source: Server, new_app: Callable[..., Flask]
) -> None:
    """The attack: assertions with random kids, each of which would cause a request to the source."""
    other = Keyed(new_app(), client.client_id, KEY)
    assert other.send().status_code == 200
    let_pass(60)
    source.respond = sends(KEY, NEXT)

    assert [rotated(each, NEXT).status_code for each in (client, other)] == [200, 200]
    assert len(source.paths) == 1
    source.respond = sends(NEXT, FOREIGN)
    for each in (client, other) * 5:
        assert (
            "no key of the client has the kid"
            in each.send(each.make(header={"kid": secrets.token_hex(8)})).json["hint"]
        )
    assert rotated(client, FOREIGN).status_code == 401
    assert len(source.paths) == 1

    let_pass(60)
    assert [rotated(each, FOREIGN).status_code for each in (other, client)] == [200, 200]
    assert rotated(client, KEY).status_code == 401  # it is no longer published
    assert len(source.paths) == 2


def test_an_unknown_kid_soon_after_a_fetch_writes_nothing(client: Keyed) -> None:
    client.token()
    with counted(client.app) as work:
        for _ in range(3):
            assert client.send(client.make(header={"kid": secrets.token_hex(8)})).status_code == 401
        done = list(work.done)

    assert [each for each in done if each.startswith(WRITES)] == []
    assert done.count("verify") == 3


def test_R040_a_process_has_few_fetches_and_fewer_requests_that_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources whose resolver never responds, each with what it did last, and what it may then take."""
    monkeypatch.setattr(running_fetches, "SECONDS", 60)  # no request gives up before the others have come
    fetches, go_on, started = RunningFetches(), threading.Event(), list[str]()

    def wait(name: str, standing: Standing) -> bool:
        def fetch() -> None:
            started.append(name)
            go_on.wait()

        return fetches.wait(KeySource(name), standing, fetch)

    with ThreadPoolExecutor(2) as threads:
        waits = []
        for name in ("new-1", "new-2"):
            waits.append(threads.submit(wait, name, Standing.NEW))
            wait_for(lambda name=name: name in started)  # type: ignore[misc]
        refused = [
            wait("new-1", Standing.NEW),
            wait("new-3", Standing.NEW),
            wait("failed", Standing.FAILED),
            wait("good-1", Standing.GOOD),  # it is fetched, and no request waits for that
            wait("good-2", Standing.GOOD),
        ]
        wait_for(lambda: "good-1" in started)
        go_on.set()

    assert refused == [False] * 5
    assert [each.result() for each in waits] == [True, True]
    assert started == ["new-1", "new-2", "good-1"]
    wait_for(lambda: wait("failed", Standing.FAILED))  # when the others have ended


def test_R040_two_workers_fetch_once_together(app: Flask, source: Server, new_app: Callable[..., Flask]) -> None:
    source.respond = after(0.3, sends(KEY))
    client = cold(app, source.url())
    senders = [client, Keyed(new_app(), client.client_id, KEY)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: senders[number % 2].send(), range(8)))

    assert len(source.paths) == 1
    statuses = [each.status_code for each in found]
    assert statuses.count(200) >= 2  # one that waits in each worker
    assert set(statuses) <= {200, 503}
    assert {each.headers.get("Retry-After") for each in found if each.status_code == 503} <= {"5"}
    assert [each.send().status_code for each in senders] == [200, 200]


def test_R040_the_last_good_keys_are_used_for_a_day_while_the_source_is_down(
    let_pass: Callable[[int], None], client: Keyed, source: Server
) -> None:
    assert client.send().status_code == 200
    source.respond = sends_text("", 500)

    let_pass(3_600 + 86_399)
    assert client.send().status_code == 200
    assert "responded with status 500" in rotated(client, NEXT).json["hint"]

    let_pass(1)
    assert "responded with status 500" in client.send().json["hint"]
    let_pass(300)
    source.respond = sends(KEY)
    assert client.send().status_code == 200


def test_R040_a_source_that_is_down_is_tried_less_and_less(
    let_pass: Callable[[int], None], app: Flask, source: Server, new_app: Callable[..., Flask]
) -> None:
    source.respond = sends_text("", 500)
    client = cold(app, source.url())
    other = Keyed(new_app(), client.client_id, KEY)
    tries = []
    for second in range(0, 1_000, 5):
        for each in (client, other):
            assert each.send().status_code == 401
        if len(source.paths) > len(tries):
            tries.append(second)
        let_pass(5)

    assert tries == [0, 10, 30, 70, 150, 310, 610, 910]
    assert len(source.paths) == len(tries)
    source.respond = sends(KEY)
    let_pass(300)
    assert [each.send().status_code for each in (client, other)] == [200, 200]


def test_R040_a_third_request_waits_for_no_key_set(reader: Flask, source: Server) -> None:
    """Three sources that say nothing: of two one request waits, and every other one is refused at once."""
    source.respond = key_server.says_nothing
    slow = [cold(reader, source.url(path=f"/{name}"), name) for name in ("a", "b", "c")]
    with ThreadPoolExecutor(9) as threads:
        found = list(threads.map(lambda number: slow[number % 3].send(), range(9)))

    statuses = [each.status_code for each in found]
    assert statuses.count(401) + statuses.count(503) == 9
    assert statuses.count(503) > 4  # all but two, unless it takes three seconds to send them
    refused = next(each for each in found if each.status_code == 503)
    assert (refused.json["error"], refused.headers["Retry-After"]) == ("temporarily_unavailable", "5")
    assert KEY_SET_CAUSES["busy"].matches(refused.json["hint"])
    wait_for(lambda: slow[0].send().status_code == 401)  # its fetch has ended, or the next one
    assert KEY_SET_CAUSES["slow"].matches(slow[0].send().json["hint"])


def test_R025_a_source_that_fails_counts_towards_no_limit(
    app: Flask, source: Server, new_app: Callable[..., Flask]
) -> None:
    source.respond = sends_text("", 500)
    client = cold(app, source.url())
    limited = Keyed(new_app(limit_failures="2/hour"), client.client_id, KEY)

    assert [limited.send().status_code for _ in range(4)] == [401] * 4

    good = Keyed(limited.app, cold(app, source.url(path="/good"), "good").client_id, KEY)
    source.respond = sends(KEY)
    assert [good.send(good.make(key=FOREIGN)).status_code for _ in range(3)] == [401, 401, 429]


def test_R024_in_production_a_source_that_fails_has_the_response_of_an_unknown_client(
    production: Flask, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch)
    known = cold(app, "https://no.such.invalid/keys")
    senders = [Keyed(production, each, KEY) for each in (known.client_id, "ktc_aaaaaaaaaaaaaaaaaaaaaa")]

    with counted(production) as work:
        responses, verified = [], []
        for each in senders:
            sent = {"client_assertion": each.make(aud="https://auth.example.com"), "client_assertion_type": TYPE}
            responses.append(
                production.test_client().post("/oauth/token", data=GRANT | sent, headers={"X-Forwarded-Proto": "https"})
            )
            verified.append(len(work.take("verify")))

    assert {(each.status_code, each.data) for each in responses} == {(401, responses[0].data)}
    assert verified == [1, 1]


def test_a_published_key_costs_no_more_than_a_stored_one(client: Keyed) -> None:
    client.token()
    with counted(client.app) as work:
        client.token()
        done = list(work.done)
        found, written = work.take(*STATEMENTS)

    assert found.startswith("SELECT")
    assert written.startswith("INSERT INTO used_assertions")
    assert [done.count(each) for each in ("verify", "digest", "import")] == [1, 1, 0]


def test_of_keys_with_one_kid_and_of_keys_without_one_that_of_the_algorithm_is_taken(
    reader: Flask, source: Server
) -> None:
    """RFC 7517, section 4.5: keys of other kinds may have one kid."""
    source.respond = sends_text(key_set(RSA_KEYS[0], KEY, kid="shared"))
    client = cold(reader, source.url(path="/both"), name="both")

    assert client.token(client_assertion=client.make(header={"kid": "shared"}))
    assert client.token()
    assert Keyed(reader, client.client_id, RSA_KEYS[0], "RS256").send().status_code == 200


def test_a_kid_that_nobody_has_is_compared_with_few_of_a_hundred(
    reader: Flask, source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone may send one, and each comparison of long ones takes a millisecond."""
    compared, real = [], difflib.SequenceMatcher.set_seq1
    monkeypatch.setattr(difflib.SequenceMatcher, "set_seq1", lambda self, a: (compared.append(a), real(self, a))[1])
    kids = [f"{n:0128}" for n in range(100)]
    source.respond = sends_text(json.dumps({"keys": [KEY.as_dict(private=False) | {"kid": kid} for kid in kids]}))
    client = cold(reader, source.url(path="/hundred"), name="hundred")

    assert "did you mean 000" in client.send(client.make(header={"kid": "1" + kids[0][1:]})).json["hint"]
    assert 0 < len([each for each in compared if each]) <= 8


KINDS = [
    ("EC", "P-256", ("ES256",)),
    ("EC", "P-384", ("ES384",)),
    ("EC", "P-521", ("ES512",)),
    ("OKP", "Ed25519", ("Ed25519", "EdDSA")),
    ("RSA", 2_048, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
]


@pytest.mark.parametrize(("kty", "size", "algorithms"), KINDS)
def test_a_key_fits_the_algorithms_of_its_kind(kty: Any, size: Any, algorithms: tuple[str, ...]) -> None:
    key = jwk.generate_key(kty, size)

    (found,) = public_key.read(key_set(key), "here")
    (named,) = public_key.read(key_set(key, alg=algorithms[0], kid="blue"), "here")

    assert (found.kid, found.alg, found.algorithms) == (key.thumbprint(), None, algorithms)
    assert (named.kid, named.alg, named.algorithms) == ("blue", algorithms[0], algorithms[:1])
    assert [found.fits(each) for each in (*algorithms, "HS256", "none")] == [True] * len(algorithms) + [False] * 2
    assert public_key.read(public_key.written((found, named)), "here") == (found, named)


def test_a_key_that_cannot_be_used_is_left_out_and_nothing_of_a_private_one_is_stored() -> None:
    """RFC 7517, section 5: a key of another kind makes no set useless."""
    other = jwk.ECKey.generate_key("P-256")
    public = KEY.as_dict(private=False)
    left_out: list[Any] = [
        5,
        {},
        {"kty": "XYZ"},
        {"kty": [], "crv": {}},
        {"kty": "oct", "k": "c2VjcmV0"},
        other.as_dict(private=True),
        public | {"use": "enc"},
        public | {"key_ops": ["sign"]},
        public | {"key_ops": 5},
        public | {"alg": "RS256"},
        public | {"alg": []},
        public | {"kid": 5},
        public | {"kid": "kts_secret"},
        public | {"kid": "x" * 129},
        public | {"x": "AA"},
        public | {"y": 5},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": 5, "e": []},
        {"kty": "OKP", "crv": "X25519", "x": public["x"]},
        {"kty": "EC", "crv": "Ed25519", "x": public["x"]},
    ]

    found = public_key.read(json.dumps({"keys": [*left_out, public]}), "here")

    assert [each.kid for each in found] == [KEY.thumbprint()]
    assert str(other.as_dict(private=True)["d"]) not in public_key.written(found)


def test_R040_the_key_set_of_a_file_is_read_again_when_it_changes(
    reader: Flask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "cluster.json"
    source = KeySource(str(file), is_file=True)

    def kids() -> list[str]:
        with reader.app_context():
            return [each.kid for each in key_sets.find(source, None)]

    assert f"{file} cannot be read: No such file" in found_by(reader, source)
    file.write_text("{")
    assert "it is not JSON" in found_by(reader, source)
    public_set(tmp_path, KEY, name="cluster.json")
    assert kids() == [KEY.thumbprint()]

    replace(file, key_set(NEXT))
    assert kids() == [NEXT.thumbprint()]

    replace(file, "[]")
    assert [kids(), kids()] == [[NEXT.thumbprint()]] * 2
    assert caplog.text.count("the keys that it had stay in use") == 1
    file.unlink()
    assert kids() == [NEXT.thumbprint()]
    replace(file, key_set(KEY, NEXT) + " " * 262_144)
    assert kids() == [NEXT.thumbprint()]
    replace(file, key_set(KEY))
    assert kids() == [KEY.thumbprint()]


def replace(file: Path, content: str) -> None:
    """As Kubernetes replaces a mounted file: by another one, at once."""
    new = file.with_suffix(".new")
    new.write_text(content)
    os.replace(new, file)


def test_R040_a_key_set_file_that_may_not_be_read_is_named(reader: Flask, tmp_path: Path) -> None:
    said = found_by(reader, KeySource(str(tmp_path), is_file=True))

    assert said == f"the key set file {tmp_path} cannot be read: Is a directory"
    assert KEY_SET_CAUSES["file_unreadable"].matches(said)
    with reader.app_context():
        assert key_sets.check(KeySource(str(tmp_path), is_file=True)) == said


def test_R040_a_pipe_in_the_place_of_a_key_set_file_is_not_waited_for(reader: Flask, tmp_path: Path) -> None:
    pipe = tmp_path / "keys.json"
    os.mkfifo(pipe)
    said: list[str] = []
    reading = threading.Thread(target=lambda: said.append(found_by(reader, KeySource(str(pipe), is_file=True))))

    reading.start()
    reading.join(10)
    if reading.is_alive():
        pipe.write_text("")  # let it go on

    assert said == [f"the key set file {pipe} cannot be read: it is not a regular file"]


def test_an_error_that_is_remembered_does_not_grow(reader: Flask, source: Server, tmp_path: Path) -> None:
    """Its traceback would hold the frames of every request that was refused for it."""
    source.respond = sends_text("", 500)
    for each in (KeySource(source.url(path="/remembered")), KeySource(str(tmp_path), is_file=True)):
        depths = []
        for _ in range(3):
            with reader.app_context(), pytest.raises(KeySetError) as caught:
                key_sets.find(each, None)
            depths.append(len(caught.traceback))
        assert len(set(depths)) == 1


def test_the_operator_reads_why_keys_cannot_be_had_and_what_to_do(app: Flask, source: Server) -> None:
    source.respond = sends_text("", 404)
    client = cold(app, source.url())
    response = client.send()

    (found,) = Operator(app).run("explain", response.headers["X-Request-Id"])["events"]

    assert found["reason"].endswith("responded with status 404 to the request for the key set")
    assert found["do"] == KEY_SET_CAUSES["status"].remedy
    assert found["client_id"] == client.client_id


def test_a_worker_that_was_killed_while_it_fetched_holds_the_source_up_for_seconds(
    let_pass: Callable[[int], None], app: Flask, source: Server
) -> None:
    client = cold(app, source.url())
    with app.app_context():
        CLAIM.run(source=source.url(), until=now() + CLAIM_SECONDS, moment=now(), far=now() + 999)

    let_pass(CLAIM_SECONDS)

    assert client.send().status_code == 200


@pytest.mark.parametrize("status", [200, 500])
def test_R040_a_worker_that_was_stopped_while_it_fetched_undoes_no_newer_fetch(
    let_pass: Callable[[int], None],
    client: Keyed,
    source: Server,
    new_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    """A key leaks and is withdrawn; a worker that fetched it before goes on hours later."""
    let_pass(3_600)
    other, fetch = Keyed(new_app(), client.client_id, NEXT), fetching.fetch

    def fetch_and_stop(of: KeySource) -> fetching.Fetched:
        monkeypatch.setattr(fetching, "fetch", fetch)
        try:
            return fetch(of)
        finally:
            let_pass(2 * CLAIM_SECONDS)
            source.respond = sends(NEXT)
            assert other.send().status_code == 200

    monkeypatch.setattr(fetching, "fetch", fetch_and_stop)
    source.respond = sends_text(key_set(KEY), status)

    assert [client.send().status_code, rotated(client, NEXT).status_code] == [401, 200]
    assert len(source.paths) == 2
    with client.app.app_context():
        last = key_sets.last_fetch(KeySource(source.url()))
    assert last
    assert (last.failures, [each.kid for each in last.keys]) == (0, [NEXT.thumbprint()])


def test_a_clock_that_was_a_year_ahead_keeps_no_key_set_for_a_year(
    let_pass: Callable[[int], None], client: Keyed, source: Server
) -> None:
    year = 365 * 86_400
    let_pass(year)
    assert client.send().status_code == 200
    source.respond = sends_text("", 500)
    let_pass(4_000)
    assert client.send().status_code == 200  # the failure is stored, and when the next try is
    source.paths.clear()

    let_pass(-year)

    source.respond = sends(NEXT)
    assert [rotated(client, each).status_code for each in (KEY, NEXT)] == [401, 200]
    assert source.paths == ["/keys"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.sampled_from([str(KEY.as_dict()[name]) for name in "xy"] + ["AQAB", "w" * 342])
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]) | JSON,
        "crv": st.sampled_from(["P-256", "P-384", "Ed25519", "X25519"]) | JSON,
        **dict.fromkeys("xyne", NUMBERS | JSON),
        **dict.fromkeys(("kid", "alg", "use", "key_ops"), JSON),
    },
)


@given(st.fixed_dictionaries({"keys": st.lists(MEMBERS | JSON, max_size=3) | JSON}) | JSON)
@settings(max_examples=150, deadline=None)
def test_no_key_set_ends_in_another_error(document: Any) -> None:
    try:
        found = public_key.read(json.dumps(document), "there")
    except KeySetError as error:
        assert any(each.matches(str(error)) for each in KEY_SET_CAUSES.values())  # noqa: PT017
    else:
        assert public_key.read(public_key.written(found), "here") == found


@pytest.mark.drill
def test_R040_a_source_that_says_nothing_holds_up_no_other_client(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(certificates.own("localhost"))
    server = live(SSL_CERT_FILE=str(own))
    options = ("--scope", "read:logs", "--json")
    with serving(key_server.says_nothing) as dead, serving(sends(KEY), tls=own) as good:
        clients = {}
        for name, uri in (("dead", dead.url()), ("well", good.url("localhost"))):
            made = json.loads(server.flask("clients", "create", name, "--jwks-uri", uri, *options))
            clients[name] = Keyed(None, made["client_id"], KEY)  # type: ignore[arg-type]
        dead.paths.clear()

        def send(name: str) -> int:
            sent = GRANT
            headers = FORM
            if name == "secret":
                headers = FORM | {"Authorization": f"Basic {BASIC}"}
            else:
                sent = sent | {"client_assertion": clients[name].make(aud=server.url), "client_assertion_type": TYPE}
            return call(server, "POST", "/oauth/token", urlencode(sent), **headers)[0]

        with ThreadPoolExecutor(60) as threads:
            held_up = [threads.submit(send, "dead") for _ in range(40)]
            others = list(threads.map(send, ["secret", "well"] * 40))
            statuses = [each.result() for each in held_up]

    assert others == [200] * 80
    assert statuses.count(401) + statuses.count(503) == 40
    assert statuses.count(503) > 20  # at once
    assert dead.paths == ["/keys"]  # one worker has tried, once
