"""Drills of the upkeep with real processes: a holder that is killed, a full disk, no connection, keys under load."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import create_engine, func, insert, make_url, select, text

from app.clock import now
from app.keys.signing_key import LEAD_SECONDS, READ_SECONDS, SigningKey
from app.storage.database import db, transaction
from app.tokens.stored_token import IssuedToken
from app.upkeep.lease import Lease
from tests.conftest import ISSUER, LiveServer, build_app, close, demo, kid_of, wait_for
from tests.support.calling import BASIC, FORM, call, events, send_form, token
from tests.support.leaks import suite
from tests.support.small_disk import small_disk
from tests.test_drills import children

TAKEN_OVER_SECONDS = 60  # as docs/upkeep.md says: within a minute
KINDS = ["sqlite", "postgresql"]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    return prepared(request.param)


@contextmanager
def opened(url: str) -> Iterator[Flask]:
    """An app of this test's own on the database of a server."""
    app = build_app(database_url=url)
    try:
        with app.app_context():
            yield app
    finally:
        close(app)


def fill(count: int) -> None:
    """Store `count` expired opaque tokens."""
    row = {"client_id": "x", "scope": "s", "audience": "a", "claims": {}, "issued_at": 0, "expires_at": 1}
    for first in range(0, count, 2_000):  # a statement of ours may not take long
        rows = [{**row, "digest": n.to_bytes(32)} for n in range(first, min(count, first + 2_000))]
        with transaction():
            db.session.execute(insert(IssuedToken), rows)


def left() -> int:
    found = db.session.scalar(select(func.count()).select_from(IssuedToken).where(IssuedToken.expires_at == 1)) or 0
    db.session.rollback()
    return found


def lease() -> Lease:
    db.session.rollback()
    found = db.session.get(Lease, 1, populate_existing=True)
    assert found is not None
    return found


@pytest.mark.drill
def test_a_holder_that_is_killed_in_a_round_is_replaced_within_a_minute(
    live: Callable[..., LiveServer], url: str
) -> None:
    before = build_app(database_url=url)
    opaque, revoked, valid = (demo(before, each).token() for each in ("demo-opaque", "demo-admin", "demo-admin"))
    assert demo(before, "demo-admin").revoke(revoked).status_code == 200
    close(before)
    with opened(url):
        fill(60_000)
        server = live(KEYTURN_DATABASE_URL=url, KEYTURN_ISSUER=ISSUER)
        wait_for(lambda: left() < 60_000, seconds=60)  # a worker is in the middle of its round
        holder, number = str(lease().holder), lease().number

        os.kill(int(holder.split(":")[1]), signal.SIGKILL)
        rest = left()
        wait_for(lambda: left() < rest, seconds=TAKEN_OVER_SECONDS)

        assert rest > 0, "the round was over before the worker was killed"
        assert (lease().holder != holder, lease().number) == (True, number + 1)
        wait_for(lambda: left() == 0, seconds=120)
        assert token(server)
        assert [use(server, each) for each in (opaque, valid, revoked)] == [200, 200, 401]


@pytest.mark.drill
def test_of_two_servers_one_worker_does_the_upkeep_at_any_time(live: Callable[..., LiveServer], url: str) -> None:
    with opened(url):
        fill(20_000)
        first = lease().number
        servers = [live(KEYTURN_DATABASE_URL=url, KEYTURN_ISSUER=ISSUER) for _ in range(2)]

        opaque = [send_form(server, "demo-opaque") for server in servers for _ in range(4)]
        with Load(servers) as load:
            wait_for(lambda: left() == 0, seconds=120)
            wait_for(lambda: lease().round_at is not None)

        def reported() -> int:
            return sum(server.log.read_text().count("20000 opaque tokens removed") for server in servers)

        assert lease().number == first + 1
        wait_for(lambda: reported() > 0)  # the line comes after the end of the round
        assert reported() == 1
        assert load.failed == []
        assert [use(servers[0], each) for each in opaque] == [200] * len(opaque)


def use(server: LiveServer, issued: str) -> int:
    return call(server, "GET", "/inventory", Authorization=f"Bearer {issued}")[0]


class Load:
    """Requests a token from each server, again and again, and checks each with a JWKS that was read once."""

    def __init__(self, servers: list[LiveServer]) -> None:
        self.servers = servers
        self.keys = KeySet.import_key_set(json.loads(call(servers[0], "GET", "/.well-known/jwks.json")[2]))
        self.kids: set[str] = set()
        self.failed: list[str] = []
        self.count = 0
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server,)) for server in servers]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, server: LiveServer) -> None:
        while not self._stopped.wait(0.02):
            try:
                issued = token(server)
                self.count += 1
                self.kids.add(kid_of(issued))
                jwt.decode(issued, self.keys, algorithms=["RS256"])
                for other in self.servers:
                    status = call(other, "GET", "/inventory", Authorization=f"Bearer {issued}")[0]
                    if status not in (200, 403):
                        self.failed.append(f"a token was refused: {status}")
            except Exception as error:
                self.failed.append(repr(error))


def make_old(days: int) -> None:
    """Let the active key have signed for this many days."""
    with transaction():
        for key in db.session.scalars(select(SigningKey)):
            key.published_at -= days * 86_400
            if key.state(now()) == "active":
                key.signs_from = now() - days * 86_400


def move(key: SigningKey, seconds: int) -> None:
    """Let the dates of a planned rotation be earlier."""
    for name in ("signs_from", "retired_at", "gone_at"):
        if (at := getattr(key, name)) is not None and now() < at < now() + 10 * seconds:
            setattr(key, name, at - seconds)


@pytest.mark.drill
def test_a_rotation_by_age_on_two_servers_under_load_fails_no_request_of_an_api_with_an_old_jwks(
    live: Callable[..., LiveServer], url: str
) -> None:
    with opened(url):
        make_old(8)
        issuer = "http://127.0.0.1:8000"  # both are one server to their clients
        settings = {"KEYTURN_DATABASE_URL": url, "KEYTURN_ISSUER": issuer, "KEYTURN_KEY_ROTATION_DAYS": "7"}
        servers = [live(**settings) for _ in range(2)]
        with Load(servers) as load:
            wait_for(lambda: '"next"' in servers[0].flask("keys", "list", "--json"), seconds=60)
            old = set(load.kids)
            # The wait of LEAD_SECONDS is shortened: the caches of the load are as old as a cache can be anyway.
            with transaction():
                for key in db.session.scalars(select(SigningKey)):
                    move(key, LEAD_SECONDS - 2 * READ_SECONDS)
            servers[0].flask("keys", "list")
            wait_for(lambda: len(load.kids) == 2, seconds=60)
            since = load.count
            wait_for(lambda: load.count > since + 50, seconds=60)

        assert load.failed == []
        assert len(old) == 1
        assert len(json.loads(servers[0].flask("keys", "list", "--json"))["keys"]) == 3


def test_after_a_withdrawal_an_api_with_an_old_jwks_accepts_the_next_token(live: Callable[..., LiveServer]) -> None:
    server = live()
    keys = KeySet.import_key_set(json.loads(call(server, "GET", "/.well-known/jwks.json")[2]))
    leaked = kid_of(token(server))

    server.flask("keys", "withdraw", leaked)
    issued = [token(server) for _ in range(8)]

    assert leaked not in {kid_of(each) for each in issued}
    for each in issued:
        assert jwt.decode(each, keys, algorithms=["RS256"]).claims["client_id"] == "demo-admin"


LEFT_BYTES = 1_048_576  # less than the write-ahead log needs: the disk is full in the middle of the upkeep


def leave_little(folder: Path) -> None:
    """Fill a disk but for LEFT_BYTES; the write-ahead log on it is empty then, and has to grow."""
    with closing(sqlite3.connect(folder / "keyturn.db")) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    found = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(found.f_bavail * found.f_frsize - LEFT_BYTES))


@contextmanager
def full(folder: Path, server: LiveServer, *, is_mounted: bool) -> Iterator[None]:
    """Make room at the end; without a disk of its own no file of the server's workers may grow meanwhile."""
    if is_mounted:
        yield
        (folder / "ballast").unlink()
        return
    workers = children(server)
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.drill
def test_a_full_disk_during_the_upkeep_loses_nothing_and_the_upkeep_recovers(
    live: Callable[..., LiveServer], prepared: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "24m") as is_mounted:
        shutil.copy(prepared("sqlite").removeprefix("sqlite:///"), folder / "keyturn.db")
        url = f"sqlite:///{folder}/keyturn.db"
        with opened(url):
            fill(20_000)
            if is_mounted:
                leave_little(folder)
            server = live(KEYTURN_DATABASE_URL=url)
            wait_for(lambda: left() < 20_000, seconds=60)
            with full(folder, server, is_mounted=is_mounted):
                wait_for(lambda: "the upkeep cannot be done" in server.log.read_text(), seconds=60)
                rest, issued = left(), token(server)

            wait_for(lambda: left() == 0, seconds=120)
            assert 0 < rest < 20_000
            assert call(server, "GET", "/admin/logs", Authorization=f"Bearer {issued}")[0] == 200
            wait_for(lambda: bool(events(server, "event=token_issued")))
            assert server.log.read_text().count("the upkeep cannot be done") <= 2  # once by each worker
            checked = db.session.scalar(text("PRAGMA integrity_check"))
            db.session.rollback()
            server.stop()
        assert checked == "ok"


def limited(url: str, connections: int) -> str:
    """The same database for a role that may have so many connections, and the URL of that role."""
    parsed = make_url(url)
    engine = create_engine(parsed.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        role = f"limited_{os.getpid()}_{connections}"
        connection.execute(text(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"))
    engine.dispose()
    return parsed.set(username=role).render_as_string(hide_password=False)


@contextmanager
def no_connection_left(url: str, table: str) -> Iterator[None]:
    """Take every connection that the role of this URL may still have, also each that is given back meanwhile.

    The table is locked: a request that reads it holds its connection from the pool of the requests.
    """
    hogs: list[psycopg.Connection[Any]] = [psycopg.connect(url)]
    hogs[0].execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    stopped, all_taken = threading.Event(), threading.Event()

    def take() -> None:
        while not stopped.is_set():
            try:
                hogs.append(psycopg.connect(url))
            except psycopg.OperationalError:
                all_taken.set()
                stopped.wait(0.05)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        assert all_taken.wait(30)
        yield
    finally:
        stopped.set()
        thread.join(30)
        for hog in hogs:
            hog.close()


def successful_kids(server: LiveServer, count: int) -> list[str]:
    """The key of each token that is issued; a thread without a connection of its own responds with 503."""
    found = []
    for _ in range(count):
        headers = {"Authorization": f"Basic {BASIC}", **FORM}
        status, _, body = call(server, "POST", "/oauth/token", "grant_type=client_credentials", **headers)
        if status == 200:
            suite.remember(json.loads(body)["access_token"])
            found.append(kid_of(json.loads(body)["access_token"]))
    return found


@pytest.mark.drill
def test_without_a_free_connection_keys_are_read_and_the_trail_is_written(
    live: Callable[..., LiveServer], prepared: Callable[[str], str]
) -> None:
    owner = prepared("postgresql")
    url = limited(owner, 14)
    server = live(KEYTURN_DATABASE_URL=url, WEB_CONCURRENCY="1", KEYTURN_UPKEEP="off")
    with ThreadPoolExecutor(8) as pool:  # each thread of the server gets its connection for tokens
        issued = list(pool.map(lambda _: token(server), range(64)))
    wait_for(lambda: issued_in_trail(owner) == 64)
    server.environment = server.environment | {"KEYTURN_DATABASE_URL": owner}

    with no_connection_left(url, "stock_items"), ThreadPoolExecutor(4) as pool:
        headers = {"Authorization": f"Bearer {issued[0]}"}
        waiting = [pool.submit(call, server, "GET", "/inventory", **headers) for _ in range(4)]
        new = json.loads(server.flask("keys", "rotate", "--now", "--json"))["kid"]
        found = successful_kids(server, 16)
        wait_for(lambda: issued_in_trail(owner) == 64 + len(found))
        log = server.log.read_text()

    assert len(found) > 0
    assert set(found) == {new}
    assert "cannot be read" not in log
    assert "cannot be written" not in log
    assert {each.result()[0] for each in waiting} == {503}


def issued_in_trail(url: str) -> int:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        total = connection.scalar(text("SELECT sum(count) FROM audit_events WHERE event = 'token_issued'"))
    engine.dispose()
    return int(total or 0)
