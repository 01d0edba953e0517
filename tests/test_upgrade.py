"""An upgrade at noon: the previous release's code serves on the schema of this one.

By its own statements, word by word, and with its own code from git: a server of that release runs on a
database that this release prepared.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.clients.secret import digest
from app.clock import now
from app.operations.schema_upgrade import IN_USE
from app.storage.database import db
from app.storage.postgresql import FAST_RESPONSE_SECONDS
from tests.conftest import (
    ISSUER,
    SECRET_KEY,
    LiveServer,
    Machine,
    Operator,
    build_app,
    close,
    free_port,
    responds,
    wait_for,
)
from tests.support import calling, forging, release
from tests.test_prepare import start_prepare

MIGRATION = "app/storage/migrations/versions/0003_facts.py"
# What the code of schema 0002 writes; `:name` is the column of its model.
INSERTS = {
    "clients": "client_id name scope default_scope access_token_seconds token_endpoint_auth_method grant_types claims "
    "token_format resource_server tokens_not_before created_at disabled_at",
    "client_secrets": "client_row name digest created_at not_after last_used_at",
    "signing_keys": "kid alg public_jwk private_pem published_at signs_from retired_at gone_at",
    "issued_tokens": "digest client_id scope audience claims issued_at expires_at revoked_at",
    "revoked_tokens": "jti expires_at",
}


def insert(table: str, **values: object) -> None:
    columns = INSERTS[table].split()
    assert values.keys() <= set(columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
    db.session.execute(text(statement), dict.fromkeys(columns) | values)


def test_what_the_previous_release_writes_counts(app: Flask) -> None:
    moment = now()
    token, ended = f"kta_{secrets.token_urlsafe(32)}", f"kta_{secrets.token_urlsafe(32)}"
    machine = Machine(app, "ktc_of-the-release-before", "kts_" + secrets.token_urlsafe(32))
    common = {"client_id": machine.client_id, "scope": "inventory:read", "claims": "{}"}
    issued = common | {"audience": ISSUER, "issued_at": moment - 10, "expires_at": moment + 60}
    with app.app_context():
        insert(
            "clients", name="before", default_scope="inventory:read", grant_types="client_credentials",
            token_format="jwt", tokens_not_before=moment - 20, created_at=moment, **common,
        )  # fmt: skip
        row = db.session.scalar(text("SELECT id FROM clients WHERE name = 'before'"))
        insert("client_secrets", client_row=row, name="secret-1", digest=digest(machine.secret), created_at=moment)
        insert("issued_tokens", digest=digest(token), **issued)
        insert("issued_tokens", digest=digest(ended), **issued | {"issued_at": moment - 21})
        insert("revoked_tokens", jti="revoked", expires_at=moment + 60)
        db.session.commit()

    assert machine.request_token().status_code == 200
    assert [machine.get("/inventory", each).status_code for each in (token, ended)] == [200, 401]
    for jti, status in (("other", 200), ("revoked", 401)):
        claims = forging.claims(jti=jti, client_id=machine.client_id, sub=machine.client_id, scope="inventory:read")
        assert machine.get("/inventory", forging.with_our_key(app, claims)).status_code == status
    Operator(app).run("tokens", "revoke", "--client", "before")
    assert machine.get("/inventory", token).status_code == 401
    assert machine.get("/inventory", machine.token()).status_code == 200


def test_a_migration_waits_for_a_long_transaction_without_holding_up_requests(
    prepared: Callable[[str], str],
) -> None:
    url = prepared("postgresql")
    app = build_app(database_url=url)
    with app.app_context():
        flask_migrate.downgrade(revision="0003")
    close(app)
    with psycopg.connect(url) as dump, psycopg.connect(url, autocommit=True) as server, ThreadPoolExecutor() as pool:
        dump.execute("LOCK TABLE audit_events IN ACCESS SHARE MODE")  # as pg_dump does
        # The time after which a request is a 503.
        server.execute(f"SET statement_timeout = '{FAST_RESPONSE_SECONDS}s'")
        process = start_prepare(url)
        assert process.stderr is not None
        line = pool.submit(process.stderr.readline)
        while not line.done():
            server.execute("SELECT count(*) FROM audit_events")
        assert line.result() == f"{IN_USE}\n"
        for _ in range(20):
            server.execute("SELECT count(*) FROM audit_events")
        assert process.poll() is None

    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "The database is up to date." in output


@pytest.fixture(params=["previous", pytest.param("schema-0002", marks=pytest.mark.drill)])
def old_release(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: Callable[[str, object], None]
) -> release.Release:
    """The previous release, or the code of the oldest schema that this one says it serves."""
    commit = release.previous() if request.param == "previous" else release.before(MIGRATION)
    found = release.checked_out(commit, tmp_path / "before")
    record_property("release", f"{commit}, in {found.environment}")
    return found


def test_a_server_of_the_previous_release_serves_on_this_releases_schema(
    old_release: release.Release, prepared: Callable[[str], str], live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    kind = "postgresql" if os.environ.get("DRILLS") else "sqlite"
    url, port = prepared(kind), free_port()
    new = live(KEYTURN_DATABASE_URL=url, KEYTURN_ISSUER="http://127.0.0.1:8000")
    environment = new.environment | {"PORT": str(port), "KEYTURN_SECRET_KEYS": SECRET_KEY}
    del environment["KEYTURN_JOURNAL"]  # a setting of this release
    process = old_release.start(environment, tmp_path / "before.log")
    old = LiveServer(process, f"http://127.0.0.1:{port}", environment, tmp_path / "before.log")
    try:
        wait_for(lambda: process.poll() is not None or responds(old.url))
        tokens = [calling.send_form(server, name) for server in (old, new) for name in ("demo-partner", "demo-opaque")]
        assert statuses(old, tokens) == statuses(new, tokens) == [200] * 4

        calling.send_form(old, "demo-partner", "/oauth/revoke", token=tokens[0])
        calling.send_form(new, "demo-opaque", "/oauth/revoke", token=tokens[3])
        assert statuses(old, tokens) == statuses(new, tokens) == [401, 200, 200, 401]
        # Both obey an order by a command of this release; the new server's client has its tokens at once.
        new.flask("clients", "disable", "demo-partner")
        new.flask("tokens", "revoke", "--client", "demo-opaque")
        assert statuses(old, tokens) == statuses(new, tokens) == [401] * 4
        assert statuses(new, [calling.send_form(new, "demo-opaque")]) == [200]
        # And an order by a command of the previous release, on a token that has a generation.
        token, moment = calling.send_form(new, "demo-opaque"), now()
        wait_for(lambda: now() > moment)  # that release's times are whole seconds
        revoked = old_release.read(environment, "tokens", "revoke", "--client", "demo-opaque")
        assert int(str(revoked["tokens_not_before"])) > 0
        assert statuses(new, [token]) == [401]
    finally:
        old.stop()


def statuses(server: LiveServer, tokens: list[str]) -> list[int]:
    return [calling.call(server, "GET", "/inventory", Authorization=f"Bearer {token}")[0] for token in tokens]
