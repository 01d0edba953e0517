"""Drills that move the clocks of real processes: an operator's order holds on every machine, whatever its clock.

A server with two workers and the operator's commands are processes, each with a clock of its own. A file says by how
many seconds a clock is wrong; the drill moves the clock by writing that file while the server runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port, kid_of, responds, wait_for
from tests.support.calling import FORM, call
from tests.support.leaks import suite

WRONG_CLOCK = [sys.executable, "-m", "tests.support.shifted_clock"]
HOUR = 3_600


@dataclass
class Client:
    """A client of the server, registered for this test."""

    server: LiveServer
    client_id: str
    secret: str

    def post(self, path: str, form: str) -> tuple[int, dict[str, object]]:
        basic = b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        status, _, body = call(self.server, "POST", path, form, Authorization=f"Basic {basic}", **FORM)
        return status, json.loads(body)

    def token_status(self) -> int:
        return self.post("/oauth/token", "grant_type=client_credentials")[0]

    def token(self) -> str:
        status, body = self.post("/oauth/token", "grant_type=client_credentials")
        assert status == 200, body
        suite.remember(str(body["access_token"]))
        return str(body["access_token"])

    def statuses(self, token: str) -> set[int]:
        """The statuses of eight requests with the token, each on a connection of its own."""
        header = f"Bearer {token}"
        return {call(self.server, "GET", "/inventory", Authorization=header)[0] for _ in range(8)}


class Machines:
    """A server and an operator's machine, each with its own clock."""

    def __init__(self, url: str, folder: Path) -> None:
        self.servers_clock, self.operators_clock = folder / "server.clock", folder / "operator.clock"
        self.set_clocks()
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        environment |= {"PORT": str(port), "KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}
        environment["KEYTURN_JOURNAL"] = "off"  # it would tick the lesson of the developer
        log = folder / "server.log"
        with log.open("wb") as output:
            command = [*WRONG_CLOCK, str(self.servers_clock), "gunicorn", "wsgi:app"]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        self.server = LiveServer(process, f"http://127.0.0.1:{port}", environment, log)
        self.count = 0
        wait_for(lambda: process.poll() is not None or responds(self.server.url))

    def set_clocks(self, *, server: int = 0, operator: int = 0) -> None:
        """Set by how many seconds each clock is wrong."""
        for file, seconds in ((self.servers_clock, server), (self.operators_clock, operator)):
            file.with_suffix(".new").write_text(str(seconds))
            file.with_suffix(".new").replace(file)  # atomically: a worker may read it at any moment

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        line = [*WRONG_CLOCK, str(self.operators_clock), "flask", *command, "--json"]
        done = subprocess.run(
            line, cwd=ROOT, env=self.server.environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        suite.record(done.stderr)
        return done

    def flask(self, *command: str) -> dict[str, object]:
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        document = dict(json.loads(done.stdout))
        suite.remember(str(document.get("client_secret", "")))
        return document

    def clean_up(self) -> dict[str, int]:
        """Run `flask cleanup`; it removes nothing where it refuses, because PostgreSQL has another clock."""
        done = self.run("cleanup")
        if done.returncode == 0:
            return dict(json.loads(done.stdout)["removed"])
        assert "the database's: nothing is deleted by age" in json.loads(done.stdout)["error"]["message"]
        assert self.server.environment["KEYTURN_DATABASE_URL"].startswith("postgresql")
        return {}

    def register(self, *options: str) -> Client:
        self.count += 1
        made = self.flask("clients", "create", f"client-{self.count}", "--scope", "inventory:read", *options)
        return Client(self.server, str(made["client_id"]), str(made["client_secret"]))


# `make test` runs a part of this, `make drills` all.
IS_DRILL = bool(os.environ.get("DRILLS"))
KINDS = ["sqlite", "postgresql"] if IS_DRILL else ["sqlite"]
FORMATS = ["jwt", "opaque"] if IS_DRILL else ["jwt"]


@pytest.fixture(scope="module", params=KINDS)
def machines(
    request: pytest.FixtureRequest, prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    made = Machines(prepared(request.param), tmp_path_factory.mktemp("clocks"))
    yield made
    made.server.stop()


@pytest.fixture(params=FORMATS)
def client(request: pytest.FixtureRequest, machines: Machines) -> Client:
    machines.set_clocks()
    return machines.register("--format", request.param)


def test_a_withdrawn_key_is_withdrawn_on_a_server_that_is_behind(machines: Machines) -> None:
    machines.set_clocks(server=-50)
    client = machines.register()
    leaked = client.token()

    machines.flask("keys", "withdraw", kid_of(leaked))

    assert client.statuses(leaked) == {401}
    tokens = [client.token() for _ in range(8)]
    assert kid_of(leaked) not in {kid_of(token) for token in tokens}
    assert client.statuses(tokens[0]) == {200}


def test_a_withdrawn_key_stays_withdrawn_when_the_clock_steps_back(machines: Machines) -> None:
    machines.set_clocks()
    client = machines.register()
    leaked = client.token()
    machines.flask("keys", "withdraw", kid_of(leaked))
    assert client.statuses(leaked) == {401}

    machines.set_clocks(server=-30)

    assert client.statuses(leaked) == {401}
    assert kid_of(leaked) not in {kid_of(client.token()) for _ in range(8)}
    jwks = json.loads(call(machines.server, "GET", "/.well-known/jwks.json")[2])
    assert kid_of(leaked) not in {key["kid"] for key in jwks["keys"]}


def test_a_secret_that_was_ended_now_is_ended_on_a_server_that_is_behind(machines: Machines) -> None:
    machines.set_clocks(server=-60)
    client = machines.register()
    assert client.token_status() == 200

    rotated = machines.flask("clients", "rotate-secret", client.client_id, "--overlap", "0")

    assert {client.token_status() for _ in range(8)} == {401}
    assert Client(machines.server, client.client_id, str(rotated["client_secret"])).token_status() == 200


def test_disabling_ends_the_tokens_of_a_second_that_is_still_to_come(machines: Machines, client: Client) -> None:
    token = client.token()
    assert client.statuses(token) == {200}
    machines.set_clocks(server=-30, operator=-30)

    machines.flask("clients", "disable", client.client_id)
    assert client.statuses(token) == {401}
    machines.flask("clients", "enable", client.client_id)

    assert client.statuses(token) == {401}
    assert client.statuses(client.token()) == {200}


def test_revoking_all_ends_the_tokens_of_a_second_that_is_still_to_come(machines: Machines, client: Client) -> None:
    token = client.token()
    machines.set_clocks(server=-30, operator=-30)

    machines.flask("tokens", "revoke", "--client", client.client_id)

    assert client.statuses(token) == {401}
    assert client.statuses(client.token()) == {200}


def test_an_operator_whose_clock_is_ahead_locks_nobody_out(machines: Machines, client: Client) -> None:
    machines.set_clocks(operator=HOUR)
    token = client.token()

    machines.flask("tokens", "revoke", "--client", client.client_id)

    assert client.statuses(token) == {401}
    assert client.statuses(client.token()) == {200}


def test_a_cleanup_by_a_clock_that_is_ahead_revives_no_revoked_token(machines: Machines, client: Client) -> None:
    token = client.token()
    assert client.post("/oauth/revoke", f"token={token}")[0] == 200
    assert client.statuses(token) == {401}

    machines.set_clocks(operator=HOUR + 90)
    machines.clean_up()

    assert client.statuses(token) == {401}


def test_a_token_is_revoked_by_a_server_that_takes_it_for_expired(machines: Machines, client: Client) -> None:
    token = client.token()
    machines.set_clocks(server=HOUR + 90)
    assert client.post("/oauth/revoke", f"token={token}")[0] == 200

    machines.set_clocks()

    assert client.statuses(token) == {401}


def test_a_cleanup_by_a_clock_that_is_ahead_revives_no_withdrawn_key(machines: Machines) -> None:
    machines.set_clocks()
    client = machines.register()
    leaked = client.token()
    machines.flask("keys", "withdraw", kid_of(leaked))

    machines.set_clocks(operator=3 * 24 * HOUR)
    removed = machines.clean_up()

    assert removed.get("signing keys", 1) >= 1
    assert client.statuses(leaked) == {401}
    assert client.statuses(client.token()) == {200}


def test_after_an_emergency_rotation_every_worker_signs_with_the_new_key_whatever_its_clock(machines: Machines) -> None:
    machines.set_clocks(server=-50)
    client = machines.register()
    old = kid_of(client.token())

    new = str(machines.flask("keys", "rotate", "--now")["kid"])

    assert new != old
    assert {kid_of(client.token()) for _ in range(8)} == {new}
