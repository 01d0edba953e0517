"""`flask db copy`: everything works on the other database, the source is unchanged, a target in use is refused."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import NullPool, create_engine, insert, inspect, make_url, select, text, update

import config
from app.audit.event import AuditEvent, Event
from app.clients import registry
from app.clients.client_trust import ClientTrust
from app.copying import database_copy, moved_tables
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.storage.database import db, transaction
from app.upkeep.lease import Lease
from tests.conftest import ISSUER, ROOT, SECRET_KEY, LiveServer, Machine, Operator, build_app, close, demo, run_on
from tests.support import keyed
from tests.support.keyed import Keyed

BOTH_WAYS = pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Creates an empty database of a kind; of SQLite only its address."""

    def make(kind: str) -> str:
        name = f"new_{secrets.token_hex(6)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/folder/{name}.db"
        address = str(request.getfixturevalue("postgresql"))
        run_on(address, f"CREATE DATABASE {name}")
        return address.format(name=name)

    return make


@dataclass
class Used:
    """A database in use: what its clients have, and its rows."""

    url: str
    opaque: str
    jwt: str
    revoked: list[str]
    client_id: str
    secret: str
    ended_secret: str
    keyed: Keyed
    assertion: str
    rows: dict[str, list[dict[str, Any]]]


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in moved_tables.moved_tables()
        }


@pytest.fixture(scope="module")
def used(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> Callable[[str], Used]:
    """Creates a database of a kind that was used, as a copy of one that was made once."""
    templates: dict[str, Used] = {}

    def make(kind: str) -> Used:
        if kind not in templates:
            templates[kind] = use(prepared(kind))
        url, name = templates[kind].url, f"used_{secrets.token_hex(6)}"
        if kind == "sqlite":
            file = Path(url.removeprefix("sqlite:///"))
            shutil.copy(file, file.with_name(f"{name}.db"))
            return replace(templates[kind], url=f"sqlite:///{file.with_name(f'{name}.db')}")
        old = str(make_url(url).database)
        run_on(request.getfixturevalue("postgresql"), f"CREATE DATABASE {name} TEMPLATE {old}")
        return replace(templates[kind], url=url.replace(old, name))

    return make


def use(url: str) -> Used:
    app = build_app(database_url=url)
    operator, opaque = Operator(app), demo(app, "demo-opaque")
    shop = operator.register("shop", "--scope", "inventory:read", "--claim", "department=Fédération/7")
    ended = shop.secret
    shop.secret = operator.run("clients", "rotate-secret", "shop", "--overlap", "0")["client_secret"]
    revoked = [shop.token(), opaque.token()]
    assert [shop.revoke(revoked[0]).status_code, opaque.revoke(revoked[1]).status_code] == [200, 200]
    operator.run("clients", "disable", "demo-reporting")
    operator.run("keys", "rotate", "--now")
    tokens = opaque.token(), shop.token()
    with TemporaryDirectory() as folder:
        client = keyed.register(app, Path(folder))
    used = client.make()
    assert client.send(used).status_code == 200
    with app.app_context(), transaction():
        report = {"removed": {"opaque tokens": 3}}
        db.session.execute(update(Lease).values(holder="a", number=7, expires_at=2**40, report=report))
        add_trust_and_key_set()
    close(app)
    return Used(url, *tokens, revoked, shop.client_id, shop.secret, ended, client, used, rows_of(url))


def add_trust_and_key_set() -> None:
    """Let a client trust an issuer, and an issuer have a key set that was fetched."""
    client, expected = registry.get_client("shop"), {"sub": "föderation"}
    client.trusts = [ClientTrust(name="ci-1", issuer="https://ci.example", identity="sub=föderation", claims=expected)]
    numbers = dict.fromkeys(("fetched_at", "fresh_until", "claimed_until", "next_try_at", "failures"), 2**40)
    db.session.add(FetchedKeySet(source="issuer https://ci.example", jwks='{"keys": []}', failure="", **numbers))


def copy(source: str, *arguments: str, code: int = 0, **settings: str) -> Any:
    app = build_app(database_url=source, **settings)
    done = app.test_cli_runner().invoke(args=["db", "copy", *arguments])
    close(app)
    assert done.exit_code == code, done.output
    return done


@BOTH_WAYS
def test_all_that_worked_works_on_the_other_database_and_nothing_else(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used(kind), new_database(other)

    copy(source.url, target)

    app = build_app(database_url=target)
    shop, api = Machine(app, source.client_id, source.secret), demo(app, "demo-admin")
    assert [shop.get("/inventory", token).status_code for token in (source.opaque, source.jwt)] == [200, 200]
    assert [shop.get("/inventory", token).status_code for token in source.revoked] == [401, 401]
    assert shop.get("/inventory", shop.token()).status_code == 200
    assert Machine(app, source.client_id, source.ended_secret).request_token().status_code == 401
    assert demo(app, "demo-reporting").request_token().status_code == 401
    assert api.request_token().status_code == 200
    client = replace(source.keyed, app=app)
    assert [client.send(each).status_code for each in (source.assertion, client.make())] == [401, 200]
    close(app)


@BOTH_WAYS
def test_every_row_is_moved_as_it_is_and_no_worker_has_the_lease(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used(kind), new_database(other)

    done = copy(source.url, target)

    found, expected = rows_of(target), source.rows
    assert found["upkeep_lease"] == [expected["upkeep_lease"][0] | {"holder": None, "expires_at": 0}]
    assert {name: rows for name, rows in found.items() if name != "upkeep_lease"} == {
        name: rows for name, rows in expected.items() if name != "upkeep_lease"
    }
    assert all(len(rows) for rows in found.values())
    assert rows_of(source.url) == expected
    assert [f"{name:16} {len(rows):9,}" in done.stdout for name, rows in found.items()] == [True] * len(found)


@BOTH_WAYS
def test_ids_continue_on_the_other_database_and_no_event_is_lost(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = used(kind), new_database(other)
    copy(source.url, target)
    app = build_app(database_url=target)
    tables = ("clients", "client_keys", "client_trusts", "audit_events", "signing_keys")
    newest = {name: max(row["id"] for row in source.rows[name]) for name in tables}

    made = Operator(app).register("another", "--scope", "inventory:read")
    made.token()
    Operator(app).run("keys", "rotate")
    keyed.register(app, tmp_path, name="newer")
    with app.app_context(), transaction():
        trust = ClientTrust(name="ci-2", issuer="https://ci.example", identity="", claims={})
        client = registry.get_client("another")
        client.trusts.append(trust)

    close(app)
    found = rows_of(target)
    new = {name: [row["id"] for row in found[name] if row["id"] > old] for name, old in newest.items()}
    assert {name: len(new[name]) for name in tables if name != "audit_events"} == {
        "clients": 2,
        "client_keys": 1,
        "client_trusts": 1,
        "signing_keys": 1,
    }
    events = {row["event"] for row in found["audit_events"] if row["id"] in new["audit_events"]}
    assert events == {"client_created", "token_issued", "key_rotated"}


@BOTH_WAYS
def test_null_stays_null_in_a_column_of_json(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used(kind), new_database(other)
    app = build_app(database_url=source.url)
    with app.app_context(), transaction():
        db.session.execute(text("UPDATE upkeep_lease SET report = NULL"))
    close(app)

    copy(source.url, target)

    moved = build_app(database_url=target)
    with moved.app_context():
        assert bool(db.session.scalar(text("SELECT report IS NULL FROM upkeep_lease"))) is True
        db.session.remove()
    close(moved)


def test_every_table_is_moved_except_those_of_the_schema_and_the_counts_of_faults(app: Flask) -> None:
    with app.app_context():
        tables = set(inspect(db.engine).get_table_names())

    left = tables - {table.name for table in moved_tables.moved_tables()}
    assert left == {"alembic_version", "schema_revisions", "fault_counts"}


@BOTH_WAYS
def test_what_prepare_alone_has_created_is_replaced(
    kind: str, other: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used(kind), prepared(other)

    copy(source.url, target)

    assert rows_of(target)["signing_keys"] == source.rows["signing_keys"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("sqlite", "a client"),
        ("postgresql", "a token"),
        ("sqlite", "a token"),
        ("sqlite", "an opaque token"),
        ("sqlite", "an upkeep"),
    ],
)
def test_a_target_that_was_used_is_refused_and_left_as_it_is(
    kind: str, content: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used("sqlite"), prepared(kind)
    app = build_app(database_url=target)
    if content == "a client":
        Operator(app).register("mine", "--scope", "inventory:read")
    elif content == "an upkeep":
        with app.app_context(), transaction():
            db.session.execute(update(Lease).values(number=1))
    else:
        demo(app, "demo-opaque" if "opaque" in content else "demo-admin").token()
    close(app)
    before = rows_of(target)

    refused = copy(source.url, target, code=1)

    assert "The target is not empty: it has 1 " in refused.stderr
    assert rows_of(target) == before


def test_a_target_that_is_used_meanwhile_is_found_in_the_transaction_and_one_that_was_in_a_dry_run(
    used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used("sqlite"), prepared("sqlite")
    server, taken = build_app(database_url=source.url), build_app(database_url=target)
    Operator(taken).register("mine", "--scope", "inventory:read")
    with server.app_context():
        engine = db.engine

    with taken.app_context(), pytest.raises(database_copy.CopyError, match="it has 1 clients"):
        database_copy.copy(engine, db.engine, is_serving=True)
    close(server)
    close(taken)

    assert "it has 1 clients" in copy(source.url, target, "--dry-run", code=1).stderr


def test_tables_of_another_program_are_left_alone(
    used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used("sqlite"), new_database("postgresql")
    app = build_app(database_url=target)
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    close(app)

    assert "it has tables, and not Keyturn's" in copy(source.url, target, code=1).stderr


@pytest.mark.parametrize("side", ["source", "target"])
def test_another_schema_on_either_side_is_refused(
    side: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used("sqlite").url, prepared("postgresql")
    app = build_app(database_url=source if side == "source" else target)
    assert app.test_cli_runner().invoke(args=["db", "downgrade", "0005"]).exit_code == 0
    close(app)

    which = {"source": "this database", "target": "the target"}[side]
    assert f"The schema of {which} is 0005, not 00" in copy(source, target, code=1).stderr


def test_a_source_that_was_never_prepared_is_refused(new_database: Callable[[str], str]) -> None:
    refused = copy(new_database("postgresql"), new_database("sqlite"), code=1)

    assert "The schema of this database is missing" in refused.stderr
    assert "run `flask prepare` first" in refused.stderr


def test_the_source_is_no_target_however_it_is_spelt(prepared: Callable[[str], str], tmp_path: Path) -> None:
    postgresql, sqlite = prepared("postgresql"), prepared("sqlite")
    link = tmp_path / "link.db"
    link.symlink_to(sqlite.removeprefix("sqlite:///"))

    for source, target in ((postgresql, f"{postgresql}&application_name=other"), (sqlite, f"sqlite:///{link}")):
        assert "It is the same database" in copy(source, target, code=1).stderr


@BOTH_WAYS
def test_a_copy_is_refused_while_a_server_has_the_source_open(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used(kind), new_database(other)
    server = build_app(database_url=source.url)
    assert demo(server, "demo-admin").request_token().status_code == 200

    refused = copy(source.url, target, code=1)
    checked = copy(source.url, target, "--dry-run")
    copied = copy(source.url, target, "--while-serving")

    assert "stop all servers first" in refused.stderr
    assert "Now " in checked.stdout
    assert "Copied and counted" in copied.stdout
    close(server)


@BOTH_WAYS
def test_what_a_server_writes_during_a_copy_undoes_it_unless_that_is_allowed(
    kind: str, other: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used(kind), prepared(other)
    server, empty = build_app(database_url=source.url), build_app(database_url=target)
    before = rows_of(target)
    opaque = demo(server, "demo-opaque")
    with server.app_context():
        source_engine = db.engine

    def meanwhile(table: str, _: int) -> None:
        if table == "clients":
            opaque.token()

    with empty.app_context():
        with pytest.raises(database_copy.CopyError, match="A server wrote to the source"):
            database_copy.copy(source_engine, db.engine, is_serving=False, on_progress=meanwhile)
        assert rows_of(target) == before
        _, added = database_copy.copy(source_engine, db.engine, is_serving=True, on_progress=meanwhile)

    assert added.opaque_tokens == 1
    assert len(rows_of(target)["issued_tokens"]) == len(source.rows["issued_tokens"]) + 1  # of the copy before
    close(server)
    close(empty)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_dry_run_creates_nothing(
    kind: str, used: Callable[[str], Used], new_database: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = used("sqlite"), new_database(kind)

    done = copy(source.url, target, "--dry-run", "--json")

    assert f'"rows": {sum(len(rows) for rows in source.rows.values())}' in done.stdout
    assert '"changed": false' in done.stdout
    assert '"dry_run": true' in done.stdout
    assert not (tmp_path / "folder").exists()
    if kind == "postgresql":
        other = build_app(database_url=target)
        with other.app_context():
            assert inspect(db.engine).get_table_names() == []
        close(other)


def test_the_target_is_named_in_one_place_and_its_password_is_never_shown(
    prepared: Callable[[str], str], tmp_path: Path
) -> None:
    source, file = prepared("sqlite"), tmp_path / "target"
    url = "postgresql://keyturn:hunter-7-hunter@127.0.0.1:1/keyturn"
    file.write_text(f"{url}\n")

    outputs = [
        copy(source, url, code=3).output,
        copy(source, "--target-file", str(file), code=3).output,
        copy(source, code=3, target_url=url).output,
        copy(source, url, "--json", code=3).output,
        copy(source, f"{url}?sslmode=hunter-7-hunter", code=1).output,
        copy(source, url, "--target-file", str(file), code=2).output,
        copy(source, code=2).output,
    ]

    assert "hunter" not in "".join(outputs)
    assert [output.count("the database failed") for output in outputs] == [1, 1, 1, 1, 0, 0, 0]
    assert "TARGET_URL must be" in outputs[4]
    assert "Name one database: TARGET_URL, --target-file or KEYTURN_TARGET_URL." in outputs[5]
    assert "Name one database" in outputs[6]


@BOTH_WAYS
def test_without_the_servers_secret_key_the_keys_are_copied_and_the_command_says_so(
    kind: str, other: str, used: Callable[[str], Used], new_database: Callable[[str], str]
) -> None:
    source, target = used(kind), new_database(other)

    done = copy(source.url, target, secret_keys=Fernet.generate_key().decode())

    assert "the servers need the KEYTURN_SECRET_KEYS that they have now" in done.stdout
    app = build_app(database_url=target)  # with the servers' own
    assert demo(app, "demo-admin").request_token().status_code == 200
    close(app)


@BOTH_WAYS
def test_a_copy_that_fails_in_the_middle_leaves_the_target_empty_and_can_be_repeated(
    kind: str, other: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used(kind), prepared(other)
    before = rows_of(target)
    server, empty = build_app(database_url=source.url), build_app(database_url=target)
    with server.app_context():
        source_engine = db.engine

    def fail(table: str, _: int) -> None:
        if table == "client_secrets":
            raise ZeroDivisionError

    with empty.app_context(), pytest.raises(ZeroDivisionError):
        database_copy.copy(source_engine, db.engine, is_serving=True, on_progress=fail)
    close(server)
    close(empty)

    assert rows_of(target) == before
    copy(source.url, target)
    assert rows_of(target)["clients"] == source.rows["clients"]


def fill_trail(url: str, count: int) -> None:
    row = {"at": 1, "event": Event.TOKEN_ISSUED.value, "budget": "issued", "client_id": "x" * 26, "count": 1}
    app = build_app(database_url=url)
    with app.app_context(), transaction():
        for _ in range(count // 10_000):
            db.session.execute(insert(AuditEvent), [row] * 10_000)
    close(app)


@pytest.mark.drill
@BOTH_WAYS
def test_a_copy_that_is_killed_in_the_middle_leaves_the_target_empty_and_can_be_repeated(
    kind: str, other: str, used: Callable[[str], Used], prepared: Callable[[str], str]
) -> None:
    source, target = used(kind).url, prepared(other)
    fill_trail(source, 100_000)
    before, empty = rows_of(source), rows_of(target)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {"KEYTURN_DATABASE_URL": source, "KEYTURN_SECRET_KEYS": SECRET_KEY, "KEYTURN_TARGET_URL": target}
    command = [sys.executable, "-m", "flask", "db", "copy"]
    killed = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)

    assert killed.stdout
    assert b"From " in killed.stdout.readline()  # it begins now
    time.sleep(0.3)
    assert killed.poll() is None
    killed.kill()
    killed.wait()
    killed.stdout.close()

    assert rows_of(target) == empty
    assert rows_of(source) == before
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert rows_of(target)["audit_events"] == before["audit_events"]


@pytest.mark.drill
@BOTH_WAYS
def test_servers_move_and_every_token_that_was_issued_before_is_accepted_afterwards(
    kind: str,
    other: str,
    live: Callable[..., LiveServer],
    new_database: Callable[[str], str],
) -> None:
    old = live(kind, KEYTURN_ISSUER=ISSUER)
    machine = demo_client(old, "demo-opaque")
    tokens = [machine() for _ in range(20)]
    refused = subprocess.run(
        [sys.executable, "-m", "flask", "db", "copy", target := new_database(other)],
        cwd=ROOT, env=old.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "stop all servers first" in refused.stderr
    assert old.stop() == 0

    old.flask("db", "copy", target)
    new = live(KEYTURN_DATABASE_URL=target, KEYTURN_ISSUER=ISSUER)

    assert [status(new, token) for token in tokens] == [200] * 20


def demo_client(server: LiveServer, client_id: str) -> Callable[[], str]:

    found = next(each for each in config.DEMO_CLIENTS if each.client_id == client_id)

    def token() -> str:
        response = requests.post(
            f"{server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(found.client_id, found.secret),
            timeout=10,
        )
        return str(response.json()["access_token"])

    return token


def status(server: LiveServer, token: str) -> int:
    return requests.get(f"{server.url}/inventory", headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code
