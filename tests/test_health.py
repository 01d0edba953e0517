"""The probes: `GET /health/live` and `GET /health/ready`, with each condition broken, and with real processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text

from app import clock
from app.audit import trail
from app.health import conditions
from app.health.readiness import current_readiness
from app.storage.database import db, transaction
from tests.conftest import LiveServer, Machine, build_app, close, free_port, responds, wait_for
from tests.support.calling import call
from tests.support.work import STATEMENTS, counted
from tests.test_clocks import Machines
from tests.test_drills import status_of_a_token, stoppable  # noqa: F401, the second is a fixture
from tests.test_frozen import REQUESTS, WAITING, own_postgresql, split, stopped  # noqa: F401, the first is a fixture

READY, LIVE = "/health/ready", "/health/live"
ISSUER_WITH_A_PATH = {"env": "production", "issuer": "https://auth.example.com/eu", "limit_address": "1/hour"}


def reasons(app: Flask) -> dict[str, str]:
    """Why the server is not ready; empty if it is."""
    current_readiness.of(app).forget()
    response = app.test_client().get(READY)
    document: dict[str, Any] = response.json
    assert response.headers["Cache-Control"] == "no-store"
    assert (response.status_code, document["status"]) in ((200, "ready"), (503, "not ready"))
    assert ("reasons" in document) == (response.status_code == 503)
    return dict(document.get("reasons", {}))


def change(app: Flask, *statements: str) -> None:
    with app.app_context(), transaction():
        for statement in statements:
            db.session.execute(text(statement))


def test_a_prepared_server_is_ready_and_live(app: Flask) -> None:
    assert reasons(app) == {}
    assert app.test_client().get(LIVE).json == {"status": "live"}


def test_without_its_database_a_server_is_live_and_not_ready(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = build_app(database_url=f"sqlite:///{tmp_path}/of/nobody/keyturn.db")

    assert app.test_client().get(LIVE).status_code == 200
    assert set(reasons(app)) == {"database"}
    assert "of/nobody" not in app.test_client().get(READY).text
    assert reasons(app) != {}
    assert len([line for line in caplog.messages if line.startswith("not ready")]) == 1
    close(app)


def test_a_reason_names_no_host_no_user_and_no_password() -> None:
    app = build_app(database_url=f"postgresql://somebody:hidden@127.0.0.1:{free_port()}/nowhere")

    assert set(reasons(app)) == {"database"}
    assert not re.search("somebody|hidden|127.0.0.1|nowhere", app.test_client().get(READY).text)
    close(app)


def test_a_reason_whose_number_changes_is_logged_once(
    prepared: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = build_app(database_url=prepared("sqlite"))
    for seconds in (90, 95):
        monkeypatch.setitem(conditions.CONDITIONS, "clock", lambda: f"{seconds} seconds")  # noqa: B023
        assert reasons(app) == {"clock": f"{seconds} seconds"}

    assert [line for line in caplog.messages if line.startswith("not ready")] == ["not ready: 90 seconds"]
    close(app)


def test_a_database_without_tables_is_not_ready_and_the_reason_names_the_command(tmp_path: Path) -> None:
    app = build_app(database_url=f"sqlite:///{tmp_path}/keyturn.db")

    assert reasons(app) == {"schema": "The database is not prepared: run `flask prepare`."}
    assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
    assert reasons(app) == {}
    close(app)


def test_an_older_schema_is_not_ready(app: Flask) -> None:
    needed = conditions.needed_revision()
    change(app, "UPDATE alembic_version SET version_num = '0001'")

    assert reasons(app) == {"schema": conditions.OLD_SCHEMA.format(found="0001", needed=needed)}


def test_a_newer_schema_is_ready_if_it_serves_this_release(app: Flask) -> None:
    needed = conditions.needed_revision()
    change(app, "UPDATE alembic_version SET version_num = '9999'")
    assert reasons(app) == {"schema": conditions.NEW_SCHEMA.format(found="9999", needed=needed)}

    change(app, f"INSERT INTO schema_revisions (revision, serves) VALUES ('9999', '{needed}')")
    assert reasons(app) == {}

    change(app, "UPDATE schema_revisions SET serves = '9998' WHERE revision = '9999'")
    assert set(reasons(app)) == {"schema"}


def test_the_newest_migration_is_the_revision_that_prepare_reaches(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == conditions.needed_revision()


def test_a_server_without_a_key_that_signs_is_not_ready(app: Flask) -> None:
    change(app, "DELETE FROM signing_keys", "UPDATE key_generation SET number = number + 1")

    assert reasons(app) == {"signing_key": conditions.NO_KEY}


def test_a_server_that_cannot_decrypt_the_signing_key_is_not_ready(new_app: Callable[..., Flask]) -> None:
    other = Fernet.generate_key().decode()
    app = new_app(secret_keys=other)

    assert reasons(app) == {"signing_key": conditions.SEALED_KEY}
    assert other not in app.test_client().get(READY).text


@pytest.mark.parametrize(("seconds", "direction"), [(90, "ahead of"), (-90, "behind"), (55, None)])
def test_a_clock_that_is_wrong_is_not_ready_where_the_database_has_one(
    app: Flask, seconds: int, direction: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clock, "ahead", seconds)

    found = reasons(app)

    with app.app_context():
        is_compared = db.engine.dialect.name == "postgresql" and direction is not None
    assert set(found) == ({"clock"} if is_compared else set())
    assert not is_compared or f"seconds {direction} the database's" in found["clock"]
    assert [line.startswith("not ready: This machine's clock") for line in caplog.messages] == [True] * is_compared


def test_all_conditions_that_are_not_met_are_named(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conditions.CONDITIONS, "clock", lambda: "The clock.")
    change(app, "DELETE FROM signing_keys", "UPDATE key_generation SET number = number + 1")

    assert reasons(app) == {"clock": "The clock.", "signing_key": conditions.NO_KEY}


def test_the_probes_are_at_the_root_over_plain_http_and_no_limit_counts_them(new_app: Callable[..., Flask]) -> None:
    app = new_app(**ISSUER_WITH_A_PATH)

    statuses = [app.test_client().get(path).status_code for path in (LIVE, READY) for _ in range(5)]

    assert statuses == [200] * 10
    assert app.test_client().post("/eu/oauth/token").status_code == 400  # there https is required


def test_no_probe_leaves_an_event_or_a_line_of_its_own(
    app: Flask, admin: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    change(app, "UPDATE alembic_version SET version_num = '0001'")

    for _ in range(20):
        reasons(app)
        app.test_client().get(LIVE)

    assert len(caplog.messages) == 1  # that it is not ready
    trail.current_batch.of(app).write()
    assert {event["event"] for event in admin.events()} <= {"token_issued", "key_created", "client_created"}
    change(app, f"UPDATE alembic_version SET version_num = '{conditions.needed_revision()}'")
    assert reasons(app) == {}
    assert caplog.messages.count("ready again") == 1


def test_a_probe_has_no_line_in_the_access_log(new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    client = new_app(access_log="on").test_client()

    for path in (READY, LIVE, "/.well-known/jwks.json", "/health/other"):
        client.get(path)

    lines = [getattr(record, "fields", {}) for record in caplog.records if record.message == "request"]
    assert [line.get("status") for line in lines] == [200, 404]


def test_a_probe_that_comes_within_a_second_costs_no_statement_and_live_never_costs_one(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 100.0
    monkeypatch.setattr("app.health.readiness.monotonic", lambda: moment)
    with counted(app) as work:
        for _ in range(3):
            app.test_client().get(READY)
            app.test_client().get(LIVE)
        first = work.take(*STATEMENTS)
        app.test_client().get(READY)
        assert work.take(*STATEMENTS) == []
        moment += 1
        app.test_client().get(READY)

        assert 0 < len(work.take(*STATEMENTS)) <= len(first)


def probe(server: LiveServer, path: str = READY) -> tuple[int, str]:
    status, _, body = call(server, "GET", path)
    return status, " ".join(json.loads(body).get("reasons", {}))


@pytest.mark.drill
def test_probes_respond_while_a_frozen_postgresql_holds_every_thread_that_may_wait_for_it(
    own_postgresql: tuple[str, int],  # noqa: F811
    live: Callable[..., LiveServer],
) -> None:
    url, pid = own_postgresql
    server = live(KEYTURN_DATABASE_URL=url, WEB_CONCURRENCY="1")
    assert probe(server) == (200, "")

    with ThreadPoolExecutor(REQUESTS) as pool:
        with stopped(pid):
            requests = [pool.submit(status_of_a_token, server) for _ in range(REQUESTS)]
            wait_for(lambda: len(split(requests)[0]) >= REQUESTS - WAITING)
            frozen = [probe(server, LIVE), probe(server)]
            still_waiting = split(requests)[1]
            assert {future.result() for future in requests} == {503}
            assert probe(server, LIVE) == (200, "")
        wait_for(lambda: probe(server) == (200, ""))

    assert frozen == [(200, ""), (503, "database")]
    assert still_waiting > 0


@pytest.mark.drill
def test_while_postgresql_is_stopped_a_server_is_live_and_not_ready_and_ready_again_afterwards(
    live: Callable[..., LiveServer],
    stoppable: tuple[Callable[[], None], Callable[[], None], str],  # noqa: F811
) -> None:
    stop, start, url = stoppable
    server = live(KEYTURN_DATABASE_URL=url)
    wait_for(lambda: probe(server) == (503, "schema"))
    server.flask("prepare")
    wait_for(lambda: {probe(server) for _ in range(8)} == {(200, "")})

    stop()
    wait_for(lambda: {probe(server) for _ in range(8)} == {(503, "database")})
    assert {probe(server, LIVE) for _ in range(8)} == {(200, "")}

    start()
    wait_for(lambda: {probe(server) for _ in range(8)} == {(200, "")})
    assert {probe(server, LIVE) for _ in range(8)} == {(200, "")}


@pytest.mark.drill
def test_of_two_servers_the_one_whose_clock_is_wrong_is_not_ready_and_the_other_goes_on(
    prepared: Callable[[str], str], live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    url = prepared("postgresql")
    other = live(KEYTURN_DATABASE_URL=url)
    machines = Machines(url, tmp_path)
    try:
        wait_for(lambda: responds(machines.server.url))
        machines.set_clocks(server=90)

        wait_for(lambda: {probe(machines.server) for _ in range(8)} == {(503, "clock")})
        assert {probe(other) for _ in range(8)} == {(200, "")}
        assert status_of_a_token(other) == 200
        assert "not ready: This machine's clock is" in machines.server.log.read_text()
        machines.set_clocks()
        wait_for(lambda: {probe(machines.server) for _ in range(8)} == {(200, "")})
    finally:
        machines.server.stop()
