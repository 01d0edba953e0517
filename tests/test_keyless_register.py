"""A register of twenty clients in git, all by key or by trust: applied twice, a key rotated, and no secret anywhere."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from joserfc import jwk

from app.clients import declaration
from tests.conftest import LiveServer, Operator, free_port
from tests.support import fake_issuer, federated
from tests.support.calling import FORM, call
from tests.support.fake_issuer import FakeIssuer
from tests.support.key_server import Server, sends, serving
from tests.support.keyed import GRANT, TYPE, Keyed

AUDIENCE = "https://auth.example.com"
GITHUB = '[issuers.github]\nissuer = "{}"\naudience = "{}"\nidentity_claims = ["repository_id"]\n'
Send = Callable[[dict[str, str]], int]


def new_key(kid: str) -> jwk.ECKey:
    return jwk.ECKey.generate_key("P-256", {"kid": kid})


@dataclass
class Register:
    """Ten clients with keys in the file, two with keys at an address, and eight that trust an issuer."""

    platform: FakeIssuer
    far: Server
    audience: str
    keys: dict[str, list[jwk.ECKey]] = field(
        default_factory=lambda: {f"key-{n}": [new_key(f"k{n}")] for n in range(10)}
    )
    elsewhere: jwk.ECKey = field(default_factory=lambda: new_key("far"))
    ids: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The file, with every key of `keys`."""
        return "\n".join(
            [
                *(f"[clients.{name}]\n{SCOPE}{self.tables(name)}" for name in self.keys),
                *(f'[clients.far-{n}]\n{SCOPE}jwks_uri = "{self.far.url()}"' for n in range(2)),
                *(f"[clients.job-{n}]\n{SCOPE}{TRUST.format(n)}" for n in range(8)),
            ]
        )

    def tables(self, name: str) -> str:
        members = (each.as_dict(private=False) for each in self.keys[name])
        lines = ("\n".join(f'{member} = "{value}"' for member, value in each.items()) for each in members)
        return "".join(f"[[clients.{name}.jwks.keys]]\n{each}\n" for each in lines)

    def statuses(self, send: Send) -> dict[str, int]:
        """What each client gets that sends one request; one with several keys uses the first."""
        app: Any = None  # it only signs
        found = {}
        for name, client_id in self.ids.items():
            if name.startswith("job-"):
                assertion = self.platform.sign(fake_issuer.github(repository_id=name[4:]))
            else:
                client = Keyed(app, client_id, self.keys[name][0] if name in self.keys else self.elsewhere)
                assertion = client.make(aud=self.audience, header={"kid": client.key.kid})
            found[name] = send(GRANT | {"client_assertion": assertion, "client_assertion_type": TYPE})
        return found


SCOPE = 'scope = "read:logs"\n'
TRUST = (
    '[[clients.job-{0}.trusts]]\nissuer = "github"\nclaims = {{ repository_id = "{0}", environment = "production" }}'
)


@pytest.fixture
def platform() -> Iterator[FakeIssuer]:
    with fake_issuer.served(AUDIENCE) as found:
        yield found


@pytest.fixture
def far() -> Iterator[Server]:
    with serving(sends()) as found:
        yield found


def refuse_secrets(text: str, shown: list[dict[str, Any]]) -> None:
    """The file has nothing that opens anything, and no client has a secret."""
    assert not declaration.LOOKS_SECRET.search(text)
    assert not any(line.startswith(('d = "', "secret", "client_secret")) for line in text.splitlines())
    assert [each["name"] for each in shown if each["secrets"]] == []


def test_twenty_clients_without_a_secret_are_applied_twice_and_a_key_is_rotated_by_editing_the_file(
    new_app: Callable[..., Flask], platform: FakeIssuer, far: Server, tmp_path: Path
) -> None:
    app = new_app(file=federated.toml(tmp_path, GITHUB.format(platform.url, AUDIENCE)))
    register = Register(platform, far, "http://127.0.0.1:8000")
    far.respond = sends(register.elsewhere)
    operator, file = Operator(app), tmp_path / "register.toml"

    def apply() -> dict[str, Any]:
        file.write_text(register.text(), encoding="utf-8")
        return operator.run("apply", str(file))

    def statuses() -> dict[str, int]:
        return register.statuses(lambda form: app.test_client().post("/oauth/token", data=form).status_code)

    first, second = apply(), apply()
    register.ids = {each["name"]: each["client_id"] for each in first["created"]}
    found = [statuses()]
    old, new = register.keys["key-3"][0], new_key("next")
    register.keys["key-3"] = [old, new]
    added = apply()
    found.append(statuses())
    register.keys["key-3"] = [new]
    ended = apply()
    found.append(statuses())
    register.keys["key-3"] = [old]
    with_the_old = statuses()

    assert (len(first["created"]), first["without_key"], first["without_trust"]) == (20, [], [])
    assert (second["changed"], second["unchanged"]) == (False, 20)
    assert [set(each.values()) for each in found] == [{200}] * 3
    assert [[step["name"] for step in each["updated"]] for each in (added, ended)] == [["key-3"]] * 2
    assert {name for name, status in with_the_old.items() if status != 200} == {"key-3"}
    listed = operator.run("clients", "list")["clients"]
    refuse_secrets(register.text(), [each for each in listed if each["name"] in register.ids])


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_register_in_git_gives_tokens_all_the_way_through_a_rotation(
    live: Callable[..., LiveServer], platform: FakeIssuer, far: Server, tmp_path: Path, kind: str
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    toml = federated.toml(tmp_path, GITHUB.format(platform.url, AUDIENCE))
    server = live(kind, PORT=str(port), KEYTURN_ISSUER=issuer, KEYTURN_FILE=toml)
    register = Register(platform, far, issuer)
    far.respond = sends(register.elsewhere)
    folder = tmp_path / "register"
    folder.mkdir()
    git(folder, "init", "--quiet")

    def apply(message: str) -> dict[str, Any]:
        (folder / "register.toml").write_text(register.text(), encoding="utf-8")
        git(folder, "add", "register.toml")
        git(folder, "commit", "--quiet", "--message", message)
        return dict(json.loads(server.flask("apply", str(folder / "register.toml"), "--json")))

    def statuses() -> dict[str, int]:
        return register.statuses(lambda form: call(server, "POST", "/oauth/token", urlencode(form), **FORM)[0])

    first = apply("Register twenty clients")
    register.ids = {each["name"]: each["client_id"] for each in first["created"]}
    again = json.loads(server.flask("apply", str(folder / "register.toml"), "--json"))
    found: list[dict[str, int]] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            found.append(statuses())

    thread = threading.Thread(target=load)
    thread.start()
    try:
        old, new = register.keys["key-3"][0], new_key("next")
        register.keys["key-3"] = [old, new]
        apply("Let key-3 have its next key")
        register.keys["key-3"] = [new, old]  # it signs with the new one from now on
        after = len(found) + 2
        while len(found) < after and thread.is_alive():  # a request with the old key may be on its way
            stop.wait(0.05)
        register.keys["key-3"] = [new]
        apply("End the old key of key-3")
    finally:
        stop.set()
        thread.join()
    found.append(statuses())

    assert (len(first["created"]), again["changed"]) == (20, False)
    assert [each for each in found if set(each.values()) != {200}] == []
    assert len(found) > 3
    history = git(folder, "log", "--patch")
    assert history.count("\ncommit ") == 2
    shown = json.loads(server.flask("clients", "list", "--json"))["clients"]
    refuse_secrets(history.replace("\n+", "\n"), [each for each in shown if each["name"] in register.ids])


def git(folder: Path, *command: str) -> str:
    who = ("-c", "user.name=operator", "-c", "user.email=operator@example.com")
    return subprocess.run(["git", *who, *command], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
