"""What is stored, and how: files that only their owner can read, the driver's own statements, names that are taken."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import JSON, bindparam, cast, column, insert, select, text
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.exc import IntegrityError

from app.audit import trail
from app.clients import registration, registry
from app.clients.client_row import ClientRow
from app.clients.registration_rules import RegistrationError
from app.clients.secret import ClientSecret
from app.storage.database import db, transaction
from app.storage.failures import meaning
from app.storage.fast_statement import Statement, current_connections
from app.storage.postgresql import BoundedConnection
from app.storage.waiting import SPARE_THREADS, THREADS, Places, on_the_network, serve_with, writers
from app.tokens import checking
from tests.conftest import ROOT, Machine, build_app, close, demo, wait_for


@pytest.fixture
def open_umask() -> Callable[[], None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.usefixtures("open_umask")
def test_sqlite_s_files_and_their_folder_are_their_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    app = build_app(database_url=f"sqlite:///{tmp_path}/instance/keyturn.db")

    prepared = app.test_cli_runner().invoke(args=["prepare"])
    with app.app_context():
        db.session.execute(select(ClientRow)).all()  # while a connection is open, its -wal and -shm files exist
        found = modes(tmp_path)
        db.session.remove()
    close(app)

    assert prepared.exit_code == 0, prepared.output
    files = ("keyturn.db", "keyturn.db-wal", "keyturn.db-shm", "keyturn.db.lock")
    assert found == {"instance": 0o700} | dict.fromkeys(files, 0o600)


def test_a_file_that_may_not_be_written_is_named_with_what_to_check() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA query_only = 1")
        with pytest.raises(sqlite3.OperationalError) as failed:
            connection.execute("CREATE TABLE t (x)")

    assert meaning(failed.value).endswith("check the owner and mode of the file and its folder.")


@pytest.mark.usefixtures("open_umask")
def test_the_folder_of_the_secret_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    from app import create_app
    from app.settings import read_settings

    app = create_app(read_settings({"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))
    app.instance_path = str(tmp_path / "instance")

    app.test_cli_runner().invoke(args=["prepare"])

    assert modes(tmp_path)["instance"] == 0o700
    close(app)


def test_a_link_in_the_place_of_the_lock_is_refused_and_its_target_is_unchanged(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "keyturn.db.lock").symlink_to(precious)
    app = build_app(database_url=f"sqlite:///{tmp_path}/keyturn.db")

    refused = app.test_cli_runner().invoke(args=["prepare"])

    assert refused.exit_code == 3  # the disk, not the input
    assert "keyturn.db.lock" in refused.stderr
    assert precious.read_text() == "kept"
    close(app)


def test_a_lock_file_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "keyturn.db.lock").write_text("kept")
    app = build_app(database_url=f"sqlite:///{tmp_path}/keyturn.db")

    assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0

    assert (tmp_path / "keyturn.db.lock").read_text() == "kept"
    close(app)


def new_client(name: str, **more: object) -> ClientRow:
    return ClientRow(
        name=name,
        scope="read:logs",
        default_scope="read:logs",
        grant_types="client_credentials",
        token_format="jwt",
        claims={},
        **more,
    )


def test_only_a_name_that_is_taken_is_called_so(app: Flask) -> None:
    with app.app_context():
        registration.add(new_client("one", client_id="first"), "kts_a")

        with pytest.raises(RegistrationError, match="the name one is taken"):
            registration.add(new_client("one", client_id="second"), "kts_a")
        with pytest.raises(IntegrityError):
            registration.add(new_client("two", client_id="first"), "kts_a")
        with pytest.raises(IntegrityError):
            registration.add(new_client("three", client_id="third", id=1), "kts_a")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda: select(ClientRow.claims), id="json"),
        pytest.param(
            lambda: select(cast(ClientRow.name, SqlEnum("a", "b", name="letters")).label("letter")), id="enum"
        ),
        pytest.param(lambda: select(column("nothing_is_known_of_it")), id="no-type"),
        pytest.param(lambda: select(cast(ClientRow.claims, JSON).label("claims")), id="cast-to-json"),
    ],
)
def test_a_statement_whose_columns_need_a_conversion_is_refused_when_it_is_made(
    wanted: Callable[[], object],
) -> None:
    with pytest.raises(TypeError, match="needs a conversion"):
        Statement(wanted())


def test_a_statement_with_two_columns_of_one_name_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="name"):
        Statement(select(ClientRow.name, ClientSecret.name))


def open_connections(app: Flask, database_url: str) -> int:
    """How many connections the database, or this process, has open."""
    if database_url.startswith("postgresql"):
        with app.app_context():
            others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            return int(db.session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")) or 0)
    file = database_url.removeprefix("sqlite:///")
    return sum(os.path.realpath(each) == file for each in Path("/proc/self/fd").iterdir())


def test_close_closes_the_connections_of_every_thread(new_app: Callable[..., Flask], database_url: str) -> None:
    app, watcher = new_app(), new_app()
    before = open_connections(watcher, database_url)
    is_done, may_end = threading.Barrier(4), threading.Event()

    def use() -> None:
        with app.app_context():
            registry.find_client("demo-admin")
        is_done.wait()
        may_end.wait()

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    is_done.wait()
    try:
        assert open_connections(watcher, database_url) == before + 3

        with app.app_context():
            current_connections().close()

        wait_for(lambda: open_connections(watcher, database_url) == before)
    finally:
        may_end.set()
        for thread in threads:
            thread.join()


def test_the_connection_of_a_thread_that_ended_is_closed(new_app: Callable[..., Flask], database_url: str) -> None:
    app, watcher = new_app(), new_app()
    before = open_connections(watcher, database_url)

    def use() -> None:
        with app.app_context():
            registry.find_client("demo-admin")

    for _ in range(5):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    gc.collect()

    wait_for(lambda: open_connections(watcher, database_url) == before)


def test_a_statement_works_again_after_close(app: Flask, admin: Machine) -> None:
    assert admin.request_token().status_code == 200
    with app.app_context():
        current_connections().close()

    assert admin.request_token().status_code == 200


def test_an_insert_that_is_refused_leaves_a_connection_that_works(app: Flask) -> None:
    store = Statement(insert(ClientSecret).values(client_row=bindparam("client_row")))
    with app.app_context():
        with pytest.raises(Exception, match="client_secrets"):
            store.run(client_row=1, id=1, name="x", digest=None, created_at=0, not_after=None, last_used_at=None)

        assert registry.find_client("demo-admin") is not None


def test_two_threads_of_gunicorn_never_wait_for_the_database() -> None:
    configuration = {}
    exec((ROOT / "gunicorn.conf.py").read_text(), configuration)

    assert configuration["threads"] == THREADS
    assert on_the_network.count == THREADS - SPARE_THREADS
    for threads, network, writing in ((32, 30, 16), (2, 1, 1), (1, 1, 1)):
        serve_with(threads)
        assert (on_the_network.count, writers.count) == (network, writing)
    serve_with(THREADS)


def test_a_thread_that_waits_for_a_place_is_not_starved_by_one_that_leaves_and_comes_back() -> None:
    places, is_inside = Places(1), threading.Event()

    def wait_in_turn() -> None:
        with places:
            is_inside.set()

    with ThreadPoolExecutor(1) as pool:
        with places:
            waiting = pool.submit(wait_in_turn)
            wait_for(lambda: bool(places._queue))
        while not waiting.done():
            with places:
                time.sleep(0.01)
        waiting.result()

    assert is_inside.is_set()


def test_a_transaction_that_fails_frees_its_place(app: Flask) -> None:
    with app.app_context():
        for _ in range(THREADS + 1):
            with pytest.raises(ZeroDivisionError), transaction():
                1 / 0  # noqa: B018
        with transaction():
            assert db.session.scalar(select(ClientRow.id).limit(1)) is not None


def test_on_postgresql_a_jwt_and_its_check_cost_one_round_trip_each_and_a_change_four(
    prepared: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(database_url=prepared("postgresql"))
    admin = demo(app, "demo-admin")
    admin.get("/internal/reports", admin.token())  # keys are read, connections are there
    trail.current_batch.of(app).close()
    trips, wait = [], BoundedConnection.wait

    def counting(*args: Any, **named: Any) -> Any:
        trips.append(1)
        return wait(*args, **named)

    monkeypatch.setattr(BoundedConnection, "wait", counting)
    token = admin.token()
    assert len(trips) == 1
    assert admin.get("/unknown", token).status_code == 404
    assert admin.introspect(token).status_code == 403
    assert len(trips) == 2  # one for the caller's credentials
    with app.app_context():
        checking.check(token)
        assert len(trips) == 3
        with transaction():
            db.session.execute(text("SELECT 1"))

    assert len(trips) == 3 + 4  # BEGIN with its time-outs, the lock, the statement, COMMIT
    close(app)
