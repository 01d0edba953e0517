"""A real PgBouncer between fleets and PostgreSQL, in either mode, with nothing configured for Keyturn.

Each client requests a few rounds of tokens, more in `make drills`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from app.storage.postgresql import ADVISED
from tests.conftest import LiveServer, free_port, missing, run_on, wait_for
from tests.support.calling import call, send_form, token
from tests.test_prepare import start_prepare

ROUNDS = 100 if os.environ.get("DRILLS") else 4
CLIENTS = 8


def configuration(mode: str, port: int, socket_folder: str) -> str:
    # In transaction mode a few sessions for all clients, so that they are really shared.
    size = 4 if mode == "transaction" else 80
    return (
        f"[databases]\n* = host={socket_folder} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\n"
    )


@pytest.fixture
def pooled(request: pytest.FixtureRequest, postgresql: str) -> Iterator[str]:
    """The address of an empty database behind PgBouncer, in the mode that is the parameter."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        missing("PgBouncer", install="sudo apt install pgbouncer")
    port, name = free_port(), f"pooled_{secrets.token_hex(4)}"
    (socket_folder,) = parse_qs(urlsplit(postgresql).query)["host"]
    run_on(postgresql, f"CREATE DATABASE {name}")
    with tempfile.TemporaryDirectory(prefix="keyturn-pooler") as folder:
        file = Path(folder, "pgbouncer.ini")
        file.write_text(configuration(request.param, port, socket_folder), encoding="utf-8")
        Path(folder).chmod(0o755)
        # It refuses to run as root, and only PostgreSQL's own user can reach its socket.
        user = Path(socket_folder).stat().st_uid if os.geteuid() == 0 else None
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, user=user)
        address = f"postgresql://postgres@127.0.0.1:{port}/{name}"
        try:
            wait_for(lambda: can_connect(address) or process.poll() is not None)
            assert process.poll() is None, Path(folder, "log").read_text(encoding="utf-8")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)
    run_on(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


def can_connect(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def shown(address: str, *queries: str) -> list[str]:
    """The value that each query finds, in one session."""
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
        return [str(row[0]) for query in queries if (row := connection.execute(query).fetchone())]


@pytest.mark.parametrize("pooled", ["transaction", pytest.param("session", marks=pytest.mark.drill)], indirect=True)
def test_a_fleet_behind_a_pooler_prepares_and_serves_without_a_503(
    pooled: str, live: Callable[..., LiveServer]
) -> None:
    fleet = [start_prepare(pooled) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in fleet]
    assert [process.returncode for process in fleet] == [0] * 3, outputs
    assert sum("The first signing key" in output for output, _ in outputs) == 1

    servers = [live(KEYTURN_DATABASE_URL=pooled, KEYTURN_ISSUER="http://127.0.0.1:8000") for _ in range(2)]

    def use(number: int) -> list[int]:
        """Issue tokens of both formats at one server, use them at the other, write and revoke."""
        here, there = servers[number % 2], servers[(number + 1) % 2]
        statuses = []
        for _ in range(ROUNDS):
            for demo in ("demo-admin", "demo-opaque"):
                bearer = f"Bearer {send_form(here, demo)}"
                statuses.append(call(there, "GET", "/inventory", Authorization=bearer)[0])
            gone = token(here)
            body = {"token": gone}
            send_form(there, "demo-admin", "/oauth/revoke", **body)
            statuses.append(call(here, "GET", "/inventory", Authorization=f"Bearer {gone}")[0] - 201)
        return statuses

    with ThreadPoolExecutor(CLIENTS) as pool:
        seen = {status for statuses in pool.map(use, range(CLIENTS)) for status in statuses}
    while_serving = [start_prepare(pooled) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in while_serving]

    assert seen == {200}
    assert [process.returncode for process in while_serving] == [0, 0], outputs
    assert shown(pooled, *(f"SHOW {name}" for name in ADVISED)) == ["0"] * len(ADVISED)
    # A worker may write at this moment. A lock that a session has kept would stay.
    wait_for(lambda: shown(pooled, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == ["0"])
    assert [issued for server in servers for issued in [token(server)] if not issued] == []
    assert "request_failed" not in "".join(server.log.read_text() for server in servers)


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_prepare_waits_for_another_one_through_a_pooler_and_says_so(pooled: str) -> None:
    from app.operations.prepare import ONE_PREPARES

    with psycopg.connect(pooled, prepare_threshold=None) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_PREPARES])
        waiting = start_prepare(pooled)
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert waiting.poll() is None
        other.rollback()

    output, errors = waiting.communicate(timeout=120)
    assert line == "Another `flask prepare` is running: waiting for it.\n"
    assert waiting.returncode == 0, errors
    assert "The database is up to date." in output


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_prepare_names_the_time_outs_that_the_role_lacks_until_it_has_them(pooled: str, postgresql: str) -> None:
    first, _ = start_prepare(pooled).communicate(timeout=120)
    sentences = [f"ALTER ROLE postgres SET {name} = '{value}';" for name, value in ADVISED.items()]
    assert [each for each in sentences if each not in first] == []

    name = pooled.rpartition("/")[2]
    try:
        for setting, value in ADVISED.items():
            run_on(postgresql, f"ALTER ROLE postgres IN DATABASE {name} SET {setting} = '{value}'")
        run_on(postgresql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        again = start_prepare(pooled)
        output, errors = again.communicate(timeout=120)
    finally:
        run_on(postgresql, f"ALTER ROLE postgres IN DATABASE {name} RESET ALL")

    assert again.returncode == 0, errors
    assert "ALTER ROLE" not in output
