"""`docs/no-secrets.md`: what its tables say of each way to authenticate, and its commands, followed without a gap."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from joserfc import jwk
from sqlalchemy import select

from app.clients.client_key import ClientKey
from app.clients.key_set import PRIVATE
from app.clients.secret import ClientSecret
from app.clock import now
from app.storage.database import db
from tests.conftest import ISSUER, Operator, build_app, close
from tests.support import fake_issuer
from tests.support.fake_issuer import FakeIssuer
from tests.support.federated import toml
from tests.support.keyed import GRANT, TYPE, Keyed
from tests.support.leaks import suite
from tests.support.pages import page, pattern

PAGE = page("no-secrets")
SECRET, KEY, PLATFORM = WAYS = ["a secret", "a private key", "a platform's identity"]
URL = "https://kubernetes.default.svc.cluster.local"
TABLE = """
[issuers.cluster]
issuer = "{url}"
audience = "{audience}"
identity_claims = ["/kubernetes.io/serviceaccount/uid"]
jwks_file = "{file}"
"""
TRUST = ["--issuer", "cluster", "--claim", "/kubernetes.io/serviceaccount/uid=14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"]


@dataclass
class Invoices:
    """The client of the page: the ways by which it may authenticate, and what an operator types about it."""

    app: Flask
    platform: FakeIssuer
    client_id: str = ""
    secret: str = ""
    key: jwk.Key | None = None

    def form(self, way: str) -> dict[str, str]:
        """What a request carries."""
        if way == SECRET:
            return GRANT | {"client_id": self.client_id, "client_secret": self.secret}
        if way == KEY:
            assertion = self.signed(self.key) if self.key else "none"
        else:
            assertion = self.platform.sign(fake_issuer.kubernetes())
        return GRANT | {"client_assertion_type": TYPE, "client_assertion": assertion}

    def signed(self, key: jwk.Key) -> str:
        return Keyed(self.app, self.client_id, key).make(header={"kid": key.thumbprint()})

    def send(self, form: dict[str, str]) -> int:
        return self.app.test_client().post("/oauth/token", data=form).status_code

    def ways(self) -> list[str]:
        """The ways by which it gets a token now."""
        return [way for way in WAYS if self.send(self.form(way)) == 200]

    def token(self, way: str) -> str:
        return str(self.app.test_client().post("/oauth/token", data=self.form(way)).json["access_token"])

    def call(self, token: str) -> int:
        bearer = {"Authorization": f"Bearer {token}"}
        return self.app.test_client().get("/admin/logs", headers=bearer).status_code

    def type(self, command: str, shown: str) -> str:
        """Run a command of the page, which must print what is shown; read the secret or the key that it makes."""
        kid = self.key.thumbprint() if self.key else ""
        program, *words = shlex.split(command.replace("KID", kid))
        done = self.app.test_cli_runner().invoke(args=words)
        assert (program, done.exit_code) == (".venv/bin/flask", 0), done.output
        assert pattern(shown.replace("KID", kid)).fullmatch(done.stdout.strip()), done.stdout
        self.remember(words, done.stdout)
        return done.stdout

    def remember(self, words: list[str], printed: str) -> None:
        for line in printed.splitlines():
            name, _, value = line.partition(" ")
            if name == "client_id":
                self.client_id = value.strip()
            if name == "client_secret":
                self.secret = value.strip()
        suite.remember(self.secret)
        if "--generate-key" in words:
            self.key = jwk.ECKey.import_key(Path(words[-1]).read_text(encoding="utf-8"))


@pytest.fixture
def invoices(prepared: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoices]:
    """The client before its registration; the keys of the cluster are in a file, so nothing leaves the process."""
    monkeypatch.chdir(tmp_path)
    platform = FakeIssuer(URL, ISSUER)
    table = TABLE.format(url=URL, audience=ISSUER, file=platform.write(tmp_path / "cluster-keys.json"))
    app = build_app(database_url=prepared("sqlite"), file=toml(tmp_path, table))
    yield Invoices(app, platform)
    close(app)


@pytest.fixture
def with_all(invoices: Invoices) -> Invoices:
    """The client with a secret, a key and a trust."""
    invoices.type(".venv/bin/flask clients create invoices --scope read:logs", "…")
    invoices.type(".venv/bin/flask clients add-key invoices --generate-key invoices.pem", "…")
    Operator(invoices.app).run("clients", "trust", "invoices", *TRUST)
    return invoices


# By which ways the client gets a token after each command of the two moves.
MOVES = [
    ("clients create", [SECRET]),
    ("clients add-key", [SECRET, KEY]),
    ("audit uses", [SECRET, KEY]),
    ("clients update invoices --auth-method private_key_jwt", [KEY]),
    ("clients revoke-secret", [KEY]),
    ("clients update invoices --auth-method any", [KEY]),
    ("clients trust", [KEY, PLATFORM]),
    ("clients update invoices --auth-method federated_jwt", [PLATFORM]),
    ("clients remove-key", [PLATFORM]),
]


def commands(*headings: str) -> list[tuple[str, str]]:
    """The commands of sections of the page, with the outputs that are shown."""
    blocks = re.findall(r"^```console\n(.*?)^```$", "".join(map(PAGE.section, headings)), re.DOTALL | re.MULTILINE)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def test_a_client_moves_from_a_secret_to_a_key_and_to_a_platform_without_a_gap(invoices: Invoices) -> None:
    typed = commands("From a secret to a key, without a gap", "From a key to a platform's identity")
    tokens: list[str] = []

    for (command, shown), (beginning, ways) in zip(typed, MOVES, strict=True):
        invoices.type(command, shown)

        assert command.startswith(f".venv/bin/flask {beginning}"), command
        assert invoices.ways() == ways, command
        tokens.append(invoices.token(ways[0]))
        assert {invoices.call(each) for each in tokens} == {200}, command


def test_who_uses_the_secret_and_who_the_key_is_listed(with_all: Invoices) -> None:
    assert with_all.ways() == WAYS

    (shown,) = {output for command, output in PAGE.commands() if " audit uses " in command}
    printed = with_all.type(".venv/bin/flask audit uses invoices", shown)

    assert with_all.key
    assert {row.split()[0] for row in printed.splitlines()[1:]} >= {"secret-1", with_all.key.thumbprint(), "cluster-1"}


def test_a_leaked_key_is_replaced_and_what_it_got_is_refused(invoices: Invoices) -> None:
    created = Operator(invoices.app).run("clients", "create", "invoices", "--scope", "read:logs", "--generate-key", "a")
    leaked = Keyed(invoices.app, created["client_id"], jwk.ECKey.import_key(Path("a").read_text(encoding="utf-8")))
    token = leaked.token()
    invoices.client_id, invoices.key = leaked.client_id, leaked.key
    (add, remove, *others) = commands("When a key leaks")

    invoices.type(add[0], add[1])
    new, invoices.key = invoices.key, leaked.key
    assert (invoices.send(invoices.form(KEY)), invoices.call(token)) == (200, 200)
    invoices.type(*remove)
    for command, shown in others:
        invoices.type(command, shown)

    assert invoices.send(invoices.form(KEY)) == 401
    assert invoices.call(token) == 401
    invoices.key = new
    assert invoices.call(invoices.token(KEY)) == 200


@pytest.mark.parametrize(
    ("way", "again", "later"), [(SECRET, 200, 200), (KEY, 401, 401), (PLATFORM, 200, 401)], ids=["secret", "key", "jwt"]
)
def test_attack_what_a_request_carried_is_sent_again_now_and_two_hours_later(
    with_all: Invoices, way: str, again: int, later: int
) -> None:
    form = with_all.form(way)

    assert [with_all.send(form), with_all.send(form)] == [200, again]
    with time_machine.travel(now() + 7_200, tick=False):
        assert with_all.send(form) == later


def test_attack_what_the_database_has_of_a_client_authenticates_nobody(with_all: Invoices) -> None:
    with with_all.app.app_context():
        secret = db.session.scalars(select(ClientSecret).order_by(ClientSecret.id.desc())).first()
        keys = [json.loads(each) for each in db.session.scalars(select(ClientKey.jwk))]
    assert secret

    with_all.secret = secret.digest.hex()

    assert with_all.ways() == [KEY, PLATFORM]
    assert len(keys) == 2  # one is the demo client's
    assert not {name for each in keys for name in each} & PRIVATE


def test_without_its_table_no_token_of_a_platform_is_accepted_and_the_trust_stays(
    with_all: Invoices, tmp_path: Path
) -> None:
    url = with_all.app.config["SQLALCHEMY_DATABASE_URI"]
    restarted = build_app(database_url=url, file=toml(tmp_path))
    without = Invoices(restarted, with_all.platform, with_all.client_id, with_all.secret, with_all.key)

    assert without.ways() == [SECRET, KEY]
    (trust,) = Operator(restarted).run("clients", "trusts", "invoices")["trusts"]
    assert trust["state"] == "undeclared"
    assert with_all.ways() == WAYS
    close(restarted)


def test_the_tables_compare_the_same_three_ways() -> None:
    headers = re.findall(r"^\| *(?:\| |an attacker who \| )(.*) \|\n\| ---", PAGE.text, re.MULTILINE)

    assert headers == [" | ".join(WAYS), " | ".join(f"from {way}" for way in WAYS)]
    assert all(len(row) == 4 for row in PAGE.table("an attacker who"))
