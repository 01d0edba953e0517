"""Keys in the files of `flask apply` and in the lines of an import: a register without a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc import jwk
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from tests.conftest import Operator, demo
from tests.support.key_server import sends, serving
from tests.support.keyed import Keyed, public_set
from tests.test_apply import faults

SIGNER = '[clients.signer]\nscope = "read:logs"\n'


def new_key(kid: str) -> jwk.ECKey:
    return jwk.ECKey.generate_key("P-256", {"kid": kid})


def declared(*keys: jwk.Key, of: str = SIGNER) -> str:
    """A client of a file, with the public part of some keys; without any, with an empty list."""
    tables = [
        "\n".join(
            [
                "[[clients.signer.jwks.keys]]",
                *(f'{name} = "{value}"' for name, value in each.as_dict(private=False).items()),
            ]
        )
        for each in keys
    ]
    return "\n".join([of, *tables] if tables else [of, "jwks.keys = []", ""]) + "\n"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    """Of SQLite, unless a test is of both."""
    return prepared(getattr(request, "param", "sqlite"))


ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clients.toml"


def apply(operator: Operator, file: Path, text: str, *options: str) -> dict[str, Any]:
    """Apply a file; without a place for secrets, which it must not need."""
    file.write_text(text, encoding="utf-8")
    return operator.run("apply", str(file), *options)


def signer(app: Flask, key: jwk.Key) -> Keyed:
    shown = Operator(app).run("clients", "show", "signer")
    return Keyed(app, shown["client_id"], key)


def status(app: Flask, key: jwk.Key) -> int:
    client = signer(app, key)
    return client.send(client.make(header={"kid": key.kid})).status_code


def events(app: Flask, *names: str) -> list[tuple[str, str]]:
    found = demo(app, "demo-admin").events(limit="50")
    return [(each["event"], each.get("reason", "")) for each in reversed(found) if each["event"] in names]


def test_a_declared_key_authenticates_its_client_which_has_no_secret(
    app: Flask, operator: Operator, file: Path
) -> None:
    key = new_key("first")

    done = apply(operator, file, declared(key))
    again = apply(operator, file, declared(key))

    assert done["created"][0]["changes"]["jwks"] == {"old": None, "new": ["first"]}
    assert done["created"][0]["changes"]["auth_method"]["new"] == "private_key_jwt"
    assert (done["without_key"], again["changed"], again["unchanged"]) == ([], False, 1)
    assert operator.run("clients", "show", "signer")["secrets"] == []
    assert status(app, key) == 200


def test_a_plan_prints_the_kids_and_nothing_of_a_key(app: Flask, operator: Operator, file: Path) -> None:
    old, new = new_key("first"), new_key("second")
    apply(operator, file, declared(old))
    file.write_text(declared(old, new), encoding="utf-8")

    dry = app.test_cli_runner().invoke(args=["apply", str(file), "--dry-run"])

    assert "    jwks              first -> first, second\n" in dry.stdout
    assert new.as_dict(private=False)["x"] not in dry.stdout
    assert status(app, new) == 401


@ON_BOTH
def test_a_key_is_rotated_by_editing_the_file(app: Flask, operator: Operator, file: Path) -> None:
    old, new = new_key("first"), new_key("second")
    apply(operator, file, declared(old))

    apply(operator, file, declared(old, new))
    both = (status(app, old), status(app, new))
    done = apply(operator, file, declared(new))

    assert both == (200, 200)
    assert done["updated"][0]["changes"] == {"jwks": {"old": ["first", "second"], "new": ["second"]}}
    assert (status(app, old), status(app, new)) == (401, 200)
    assert events(app, "client_key_added", "client_key_removed", "client_updated") == [
        ("client_key_added", "kid second"),
        ("client_key_removed", "kid first"),
    ]


@ON_BOTH
def test_eight_keys_are_replaced_by_eight_others_at_once(app: Flask, operator: Operator, file: Path) -> None:
    old, new = ([new_key(f"{name}-{number}") for number in range(8)] for name in ("old", "new"))
    apply(operator, file, declared(*old))

    apply(operator, file, declared(*new))

    assert [status(app, old[0]), *(status(app, each) for each in new)] == [401] + [200] * 8


def test_a_file_without_keys_leaves_them_and_an_empty_list_ends_all(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    declared_key, by_hand = new_key("first"), new_key("by-hand")
    keyed = SIGNER + 'auth_method = "private_key_jwt"\n'
    apply(operator, file, declared(declared_key))
    operator.run("clients", "add-key", "signer", "--jwks", public_set(tmp_path, by_hand))

    left = apply(operator, file, keyed)
    works = status(app, by_hand)
    ended = apply(operator, file, declared(of=keyed))

    assert (left["changed"], left["without_key"], works) == (False, [], 200)
    assert (ended["changed"], ended["without_key"]) == (True, ["signer"])
    assert (status(app, by_hand), status(app, declared_key)) == (401, 401)
    printed = app.test_cli_runner().invoke(args=["apply", str(file)]).stdout
    assert "Without a key, and so without tokens: signer." in printed


@ON_BOTH
def test_a_key_that_an_operator_has_ended_is_not_brought_back_by_a_file(
    app: Flask, operator: Operator, file: Path
) -> None:
    leaked, other = new_key("leaked"), new_key("other")
    apply(operator, file, declared(leaked, other))
    operator.run("clients", "remove-key", "signer", "leaked")

    done = apply(operator, file, declared(leaked, other))

    assert (done["changed"], done["ended"]) == (False, ["signer leaked"])
    assert (status(app, leaked), status(app, other)) == (401, 200)
    printed = app.test_cli_runner().invoke(args=["apply", str(file)]).stdout
    assert "Ended for good, and declared by a file: signer leaked. It stays ended: remove it from the file." in printed


def test_a_key_gets_another_kid_by_the_file_but_one_that_has_ended_does_not_come_back_by_that(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    key, other = new_key("one"), new_key("other")
    renamed, again = (jwk.ECKey.import_key(key.as_dict(private=True) | {"kid": kid}) for kid in ("two", "three"))
    apply(operator, file, declared(key, other))

    apply(operator, file, declared(renamed, other))
    works = (status(app, key), status(app, renamed))
    second = apply(operator, file, declared(renamed, other))
    operator.run("clients", "remove-key", "signer", "two")
    done = apply(operator, file, declared(again, other))

    assert (works, second["changed"], second["ended"]) == ((401, 200), False, [])
    assert (done["changed"], done["ended"]) == (False, ["signer three"])
    assert status(app, again) == 401
    refused = operator.is_refused("clients", "add-key", "signer", "--jwks", public_set(tmp_path, again))
    assert "the key three of signer was ended for good: create a new one" in refused


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_a_key_that_has_ended_does_not_come_back_with_zeros_before_a_number(
    operator: Operator, file: Path, tmp_path: Path, kind: str
) -> None:
    """Some programs write a zero octet before a number (RFC 7518, section 6.3.1): the key is the same."""
    leaked = new_key("leaked") if kind == "EC" else jwk.RSAKey.generate_key(2_048, {"kid": "leaked"})
    apply(operator, file, declared(leaked, new_key("other")))
    operator.run("clients", "remove-key", "signer", "leaked")
    number = "x" if kind == "EC" else "n"
    padded = leaked.as_dict(private=False) | {"kid": "padded"}
    padded[number] = urlsafe_b64encode(b"\0" + urlsafe_b64decode(padded[number].encode())).decode()

    done = apply(operator, file, declared(jwk.import_key(padded)))
    (tmp_path / "padded.json").write_text(json.dumps({"keys": [padded]}))
    refused = operator.is_refused("clients", "add-key", "signer", "--jwks", str(tmp_path / "padded.json"))

    assert done["ended"] == ["signer padded"]
    assert "the key padded of signer was ended for good" in refused


def test_the_key_that_replaced_a_leaked_one_stays_while_the_file_is_older(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    leaked, replacement = new_key("leaked"), new_key("replacement")
    apply(operator, file, declared(leaked))
    operator.run("clients", "add-key", "signer", "--jwks", public_set(tmp_path, replacement))
    operator.run("clients", "remove-key", "signer", "leaked")

    done = apply(operator, file, declared(leaked))

    assert (done["changed"], done["ended"], done["without_key"]) == (False, ["signer leaked"], [])
    assert (status(app, leaked), status(app, replacement)) == (401, 200)


def test_the_address_that_replaced_a_leaked_key_stays_while_the_file_is_older(operator: Operator, file: Path) -> None:
    leaked, new = new_key("leaked"), new_key("new")
    apply(operator, file, declared(leaked))
    with serving(sends(new)) as server:
        operator.run("clients", "update", "signer", "--jwks-uri", server.url())

        done = apply(operator, file, declared(leaked))

        assert operator.run("clients", "show", "signer")["jwks_uri"] == server.url()
    assert (done["changed"], done["ended"], done["without_key"]) == (False, ["signer leaked"], [])


def test_another_key_under_a_kid_that_was_used_is_refused_before_anything_is_done(
    operator: Operator, file: Path
) -> None:
    apply(operator, file, declared(new_key("one")))
    other = '[clients.other]\nscope = "read:logs"\nauth_method = "private_key_jwt"\n'
    file.write_text(declared(new_key("one")) + other, encoding="utf-8")

    refused = [operator.is_refused("apply", str(file), *options) for options in ((), ("--dry-run",))]

    assert all(
        "line 1: signer has another key with the kid one: give the new one another kid" in each for each in refused
    )
    assert "other" not in [each["name"] for each in operator.run("clients", "list")["clients"]]


def test_a_client_with_a_secret_gets_a_key_and_keeps_its_secret(app: Flask, operator: Operator, file: Path) -> None:
    machine, key = operator.register("signer", "--scope", "read:logs"), new_key("first")

    apply(operator, file, declared(key, of=SIGNER + 'auth_method = "any"\n'))
    both = (machine.request_token().status_code, status(app, key))
    apply(operator, file, declared(key))

    assert both == (200, 200)
    assert (machine.request_token().status_code, status(app, key)) == (401, 200)


PUBLIC = new_key("a").as_dict(private=False)
MEMBERS = f'x = "{PUBLIC["x"]}"\ny = "{PUBLIC["y"]}"\n'
EC = f'kty = "EC"\ncrv = "P-256"\n{MEMBERS}'
PRIVATE = "Sx7" * 15
KEY = "[[clients.signer.jwks.keys]]\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            f'{KEY}{EC}d = "Sx7"\n', "line 3: [clients.signer] key 1 of jwks is a private key: give", id="private"
        ),
        pytest.param(f'{KEY}{EC}d = "Sx7"\n', "Anyone who can read the file has it: create another key", id="in-git"),
        pytest.param(f"{KEY}{EC}d = '{PRIVATE}'", "a, line 8: here is what looks like a secret", id="private-line"),
        pytest.param(
            f'# {{"kty": "EC", "d": "{PRIVATE}"}}', "a, line 3: here is what looks like", id="private-comment"
        ),
        pytest.param(f'{KEY}kty = "oct"\nk = "Sx7"\n', "key 1 of jwks is a secret of an HMAC", id="hmac"),
        pytest.param(f"{KEY}{EC}{KEY}{EC}kid = 3\n", "a, line 8: [clients.signer] the kid of key 2", id="second"),
        pytest.param(f"{KEY}{EC}{KEY}{EC}", "a, line 3: [clients.signer] two keys of jwks have one kid", id="twice"),
        pytest.param(f"{KEY}{EC}" * 9, "jwks has 9 keys: a client has at most 8", id="nine"),
        pytest.param(
            f"{KEY}{EC.replace('P-256', 'P-384')}", "key 1 of jwks must be an RSA key for RS256, or", id="crv"
        ),
        pytest.param(f"{KEY}{EC}kid = 3\n", "the kid of key 1 of jwks is not 1 to 128", id="kid"),
        pytest.param("jwks = []\n", "line 3: [clients.signer] jwks must be a JSON Web Key Set: ", id="list"),
        pytest.param('jwks.keys = ["x"]\n', "[clients.signer] jwks must be a JSON Web Key Set: ", id="no-table"),
        pytest.param("jwks.kyes = []\n", "[clients.signer] jwks must be a JSON Web Key Set: ", id="misspelt"),
        pytest.param(
            f'auth_method = "client_secret_basic"\n{KEY}{EC}',
            "[clients.signer] auth_method client_secret_basic leaves the jwks without a use: it needs private_key_jwt",
            id="method",
        ),
        pytest.param(
            f'{KEY}{EC}[clients.x]\nscoep = "a"\n', "a, line 9: [clients.x] scoep is unknown", id="line-after"
        ),
    ],
)
def test_what_is_wrong_with_declared_keys_is_named_with_its_line(reader: Flask, text: str, fault: str) -> None:
    found = faults(reader, SIGNER + text)

    assert any(fault in each for each in found), found
    assert "Sx7" not in "".join(found)


@ON_BOTH
def test_an_import_has_keys_too_and_no_client_of_it_needs_a_secret(
    app: Flask, operator: Operator, tmp_path: Path
) -> None:
    key, lines = new_key("theirs"), tmp_path / "clients.jsonl"
    line = {"client_id": "signer", "scope": "read:logs", "jwks": {"keys": [key.as_dict(private=False)]}}
    lines.write_text(json.dumps(line))

    done = operator.run("clients", "import", str(lines))
    again = operator.run("clients", "import", str(lines))
    lines.write_text(json.dumps(line | {"jwks": {"keys": []}}))
    other = operator.is_refused("clients", "import", str(lines))
    lines.write_text(json.dumps(line | {"secrets": [{"sha256": "0" * 64}]}))
    both = operator.is_refused("clients", "import", str(lines), "--random-secrets")

    assert (done["imported"], done["without_secret"], done["without_key"]) == (1, [], [])
    assert again["unchanged"] == 1
    assert status(app, key) == 200
    assert "registered already, with another auth_method and jwks" in other
    assert "secrets are of no use to a client that authenticates by private_key_jwt only" in both


@ON_BOTH
def test_a_client_s_keys_move_to_an_address_and_back_as_the_file_says(
    app: Flask, operator: Operator, file: Path
) -> None:
    key, address = new_key("first"), "http://127.0.0.1:1/jwks"
    apply(operator, file, declared(key))

    elsewhere = apply(operator, file, f'{SIGNER}jwks_uri = "{address}"\n')
    shown = operator.run("clients", "show", "signer")
    again = apply(operator, file, f'{SIGNER}jwks_uri = "{address}"\n')
    left_out = apply(operator, file, f'{SIGNER}auth_method = "private_key_jwt"\n')
    back = apply(operator, file, declared(new_key("second")))
    none = apply(operator, file, f'{SIGNER}auth_method = "private_key_jwt"\njwks_uri = "none"\njwks.keys = []\n')

    assert elsewhere["updated"][0]["changes"] == {
        "jwks": {"old": ["first"], "new": []},
        "jwks_uri": {"old": None, "new": address},
    }
    assert (shown["jwks_uri"], status(app, key)) == (address, 401)
    assert (again["changed"], left_out["changed"], left_out["without_key"]) == (False, False, [])
    assert [each["unfetched"] for each in (elsewhere, again, back, none)] == [["signer"], [], [], []]
    assert back["updated"][0]["changes"]["jwks_uri"] == {"old": address, "new": None}
    assert none["without_key"] == ["signer"]
    assert events(app, "client_updated")[0] == ("client_updated", f"jwks_uri +{address}")


def test_a_declared_address_of_keys_needs_no_secret(app: Flask, operator: Operator, file: Path) -> None:
    done = apply(operator, file, f'{SIGNER}jwks_uri = "https://signer.example/jwks"\n')

    assert done["created"][0]["changes"]["auth_method"]["new"] == "private_key_jwt"
    assert (operator.run("clients", "show", "signer")["secrets"], done["without_key"]) == ([], [])
    file.write_text(f'{SIGNER}jwks_uri = "none"\nauth_method = "private_key_jwt"\n', encoding="utf-8")
    dry = app.test_cli_runner().invoke(args=["apply", str(file), "--dry-run"]).stdout
    assert "    jwks_uri          https://signer.example/jwks -> none\n" in dry
