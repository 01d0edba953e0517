"""Keys that are elsewhere: what is fetched, from where, how often, and what happens while it cannot be (R040)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from joserfc import jwk

from app import clock
from app.clients import registration
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.remote_keys import addresses
from tests.conftest import Operator, demo
from tests.support import key_server
from tests.support.key_server import Respond, Server, key_set, redirects, sends, sends_text, serving
from tests.support.keyed import Keyed

KEY, NEXT, FOREIGN = (jwk.ECKey.generate_key("P-256") for _ in range(3))
ISSUER_METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def source() -> Iterator[Server]:
    with serving(sends(KEY)) as server:
        yield server


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the clocks of this process, until the test ends."""
    monkeypatch.setattr(clock, "ahead", clock.ahead)
    monkeypatch.setattr(clock, "passed", clock.passed)
    return clock.let_pass


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
    ("redirect", "redirects to another server", at(redirects("/keys"))),  # for ever
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


@pytest.mark.parametrize(
    ("name", "sentence", "prepare"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BROKEN)]
)
def test_R040_each_fault_of_a_source_has_its_own_sentence(
    reader: Flask, source: Server, name: str, sentence: str, prepare: Callable[[Server], str]
) -> None:
    client = cold(reader, prepare(source), name=f"far-{secrets.token_hex(4)}")

    response = client.send()

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    assert sentence in response.json["hint"]
    assert [each for each, other in ASSERTION_CAUSES.items() if other.matches(response.json["hint"])] == [name]
