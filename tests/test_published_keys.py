"""Clients whose keys are at an address, as an operator registers and sees them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc import jwk

from tests.conftest import Machine, Operator, demo
from tests.support import stopped_clock
from tests.support.key_server import Server, sends, sends_text, serving
from tests.support.keyed import Keyed, public_set, register
from tests.support.pages import PAGES, pattern

KEY, NEXT = (jwk.ECKey.generate_key("P-256") for _ in range(2))
NOWHERE = "http://127.0.0.1:1/keys"


@pytest.fixture
def source() -> Iterator[Server]:
    with serving(sends(KEY)) as server:
        yield server


@pytest.fixture
def let_pass() -> Iterator[Callable[[int], None]]:
    """Lets seconds pass, which otherwise stand still; a test names it first."""
    with stopped_clock.stopped() as let_pass:
        yield let_pass


def create(operator: Operator, uri: str, *options: str) -> dict[str, Any]:
    return operator.run("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", uri, *options)


def test_a_client_that_publishes_its_keys_has_no_secret(operator: Operator, source: Server) -> None:
    made = create(operator, source.url())

    assert (made["jwks_uri"], made["token_endpoint_auth_method"]) == (source.url(), "private_key_jwt")
    assert (made["secrets"], made["keys"], "client_secret" in made) == ([], [], False)
    assert made["key_set"]["keys"] == [{"kid": KEY.thumbprint(), "alg": None}]
    assert made["key_set"]["fresh_until"] == made["key_set"]["fetched_at"] + 3_600
    assert Keyed(operator.app, made["client_id"], KEY).send().status_code == 200
    assert source.paths == ["/keys"]


def test_a_client_whose_keys_cannot_be_fetched_is_registered_with_a_warning(app: Flask) -> None:
    done = app.test_cli_runner().invoke(
        args=["clients", "create", "far", "--scope", "read:logs", "--jwks-uri", NOWHERE]
    )

    assert done.exit_code == 0
    assert "Connection refused. It gets no token until the server can fetch its keys." in done.stderr
    assert "key_set                     not fetched yet" in done.stdout


def test_show_and_keys_say_what_the_address_sent_last_and_when(
    let_pass: Callable[[int], None], operator: Operator, source: Server
) -> None:
    made = create(operator, source.url())
    source.respond = sends_text("", 404)
    let_pass(4_000)
    client = Keyed(operator.app, made["client_id"], KEY)
    assert client.send().status_code == 200  # by the last good set

    found = operator.run("clients", "show", "far")["key_set"]
    typed = [operator.app.test_cli_runner().invoke(args=["clients", each, "far"]).stdout for each in ("show", "keys")]

    failure = f"127.0.0.1:{source.server_port} responded with status 404 to the request for the key set"
    assert (found["failure"], [each["kid"] for each in found["keys"]]) == (failure, [KEY.thumbprint()])
    for said in typed:
        assert f"{KEY.thumbprint()}: fetched_at 20" in said
        assert f", then {failure}" in said
    assert typed[1].startswith(f"At {source.url()}: ")


def test_keys_that_changed_are_fetched_by_a_command(operator: Operator, source: Server, new_app: Any) -> None:
    made = create(operator, source.url())
    source.respond = sends(NEXT)

    found = operator.run("clients", "keys", "far", "--fetch")

    assert [each["kid"] for each in found["key_set"]["keys"]] == [NEXT.thumbprint()]
    assert Keyed(new_app(), made["client_id"], NEXT).send().status_code == 200
    source.respond = sends_text("", 500)
    assert "responded with status 500" in operator.is_refused("clients", "keys", "far", "--fetch", code=3)
    assert Keyed(new_app(), made["client_id"], NEXT).send().status_code == 200
    assert "demo-admin has no jwks_uri" in operator.is_refused("clients", "keys", "demo-admin", "--fetch")


def test_a_fetch_by_a_command_reaches_the_servers_within_a_minute(
    let_pass: Callable[[int], None], operator: Operator, source: Server, new_app: Callable[..., Flask]
) -> None:
    """A key leaks: it is removed at the address, and the operator does not wait until the set is no longer fresh."""
    client = Keyed(operator.app, create(operator, source.url())["client_id"], KEY)
    other = Keyed(new_app(), client.client_id, KEY)
    assert [each.send().status_code for each in (client, other)] == [200, 200]
    source.respond = sends(NEXT)
    operator.run("clients", "keys", "far", "--fetch")
    let_pass(2)
    new = client.make(key=NEXT, header={"kid": NEXT.thumbprint()})
    assert client.send(new).status_code == 200  # where it is missing, it is looked for

    let_pass(61)

    assert [each.send().status_code for each in (client, other)] == [401, 401]


URIS = [
    ("ftp://keys.example/a", "a jwks_uri is an https URL"),
    ("https://user:pass@keys.example/a", "a jwks_uri is an https URL"),
    ("https://keys.example/a#b", "a jwks_uri is an https URL"),
    ("https://keys.example/a b", "a jwks_uri is an https URL"),
    ("https://keys.example/" + "a" * 1_024, "a jwks_uri is an https URL"),
    ("https://", "a jwks_uri is an https URL"),
]


@pytest.mark.parametrize(("uri", "sentence"), URIS)
def test_a_jwks_uri_that_cannot_be_one_is_refused(operator: Operator, uri: str, sentence: str) -> None:
    assert sentence in operator.is_refused("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", uri)
    assert sentence in operator.is_refused("clients", "update", "demo-admin", "--jwks-uri", uri)


def test_in_production_a_jwks_uri_is_https(new_app: Callable[..., Flask]) -> None:
    operator = Operator(new_app(env="production", issuer="https://auth.example.com", trusted_proxies="1"))

    said = operator.is_refused("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", NOWHERE)

    assert "in production a jwks_uri is an https URL" in said


def test_a_client_moves_from_stored_keys_to_an_address_without_a_pause(
    app: Flask, operator: Operator, source: Server, tmp_path: Path
) -> None:
    client = register(app, tmp_path)
    refused = operator.is_refused("clients", "update", "keyed", "--jwks-uri", NOWHERE)
    assert "Nothing was changed: the keys of keyed that are stored here would end" in refused
    assert client.send().status_code == 200
    source.respond = sends(client.key, NEXT)

    made = operator.run("clients", "update", "keyed", "--jwks-uri", source.url())

    assert made["changes"]["jwks_uri"] == {"old": None, "new": source.url()}
    for key in (client.key, NEXT):
        assert client.send(client.make(key=key, header={"kid": key.thumbprint()})).status_code == 200
    found = demo(app, "demo-admin").events(client_id=client.client_id)
    events = [each["event"] for each in found if not each["event"].startswith("token_")]
    assert events == ["client_updated", "client_key_removed", "client_created"]
    assert all(each["state"] == "ended" for each in operator.run("clients", "keys", "keyed")["keys"])
    added = operator.is_refused("clients", "add-key", "keyed", "--jwks", public_set(tmp_path, KEY))
    assert "the keys of keyed are at its jwks_uri" in added


def test_a_client_moves_back_to_stored_keys(operator: Operator, source: Server, tmp_path: Path) -> None:
    client = Keyed(operator.app, create(operator, source.url())["client_id"], KEY)

    done = operator.app.test_cli_runner().invoke(args=["clients", "update", "far", "--jwks-uri", "none"])
    assert "It has no key that works, and gets no token: `flask clients add-key far` gives it one." in done.stdout
    assert client.send().json["hint"].startswith("the client has no key")
    operator.run("clients", "add-key", "far", "--jwks", public_set(tmp_path, KEY))

    assert client.send().status_code == 200


def test_R029_a_client_that_uses_a_secret_only_may_publish_no_keys(
    app: Flask, operator: Operator, source: Server
) -> None:
    strict = operator.register("strict", "--scope", "read:logs", "--auth-method", "client_secret_post")
    assert "may not use a key" in operator.is_refused("clients", "update", "strict", "--jwks-uri", source.url())

    operator.run("clients", "update", "strict", "--jwks-uri", source.url(), "--auth-method", "any")

    assert Keyed(app, strict.client_id, KEY).send().status_code == 200
    assert strict.request_token().status_code == 200
    operator.run("clients", "revoke-secret", "strict", "secret-1")  # without --last: its keys work
    operator.run("clients", "update", "strict", "--auth-method", "private_key_jwt")
    assert Keyed(app, strict.client_id, KEY).send().status_code == 200
    assert Machine(app, strict.client_id, "kts_x").request_token().status_code == 401


@pytest.mark.parametrize("other", ["--jwks", "--generate-key"])
def test_keys_come_from_one_place(operator: Operator, source: Server, tmp_path: Path, other: str) -> None:
    file = public_set(tmp_path, KEY) if other == "--jwks" else str(tmp_path / "new.pem")

    said = operator.is_refused(
        *("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", source.url(), other, file), code=2
    )

    assert "a key comes from one place" in said
    assert not (tmp_path / "new.pem").exists()


def test_nothing_of_a_private_key_that_is_published_is_stored_or_shown(operator: Operator, source: Server) -> None:
    both = {"keys": [KEY.as_dict(private=True), NEXT.as_dict(private=False)]}
    source.respond = sends_text(json.dumps(both))

    made = create(operator, source.url())

    assert [each["kid"] for each in made["key_set"]["keys"]] == [NEXT.thumbprint()]
    client = Keyed(operator.app, made["client_id"], KEY)
    assert "no key of the client has the kid" in client.send(client.make(header={"kid": KEY.thumbprint()})).json["hint"]


def test_the_commands_of_the_page_print_what_it_shows(app: Flask, source: Server) -> None:
    page = next(each for each in PAGES if each.name == "docs/keys.md")
    commands = [(command, shown) for command, shown in page.commands() if "publisher" in command]
    uri = "https://publisher.example.com/jwks.json"

    for command, shown in commands:
        done = app.test_cli_runner().invoke(args=shlex.split(command.replace(uri, source.url()))[1:])
        assert pattern(shown).fullmatch(done.stdout.replace(source.url(), uri).strip()), done.stdout
    assert len(commands) == 2
