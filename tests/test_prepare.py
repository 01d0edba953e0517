"""`flask prepare` and the start of the server, with real processes: many at once, repeated, and refused."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from cryptography.fernet import Fernet
from sqlalchemy import func, select, text

import config
from app import create_app
from app.api import stock
from app.audit.event import AuditEvent
from app.clients.client_row import ClientRow
from app.keys.signing_key import SigningKey
from app.settings import read_settings
from app.storage.database import db
from app.storage.schema_revision import SchemaRevision
from tests.conftest import ROOT, SECRET_KEY, LiveServer, Operator, build_app, close, demo, run_on

PRODUCTION = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that nobody has prepared."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/folder/keyturn.db"
        return
    address = request.getfixturevalue("postgresql")
    name = f"empty_{os.getpid()}"
    run_on(address, f"CREATE DATABASE {name}")
    yield address.format(name=name)
    run_on(address, f"DROP DATABASE {name} WITH (FORCE)")


def start_prepare(url: str, **environment: str) -> subprocess.Popen[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    known |= {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY, **environment}
    command = [sys.executable, "-m", "flask", "prepare"]
    return subprocess.Popen(command, cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_at_once_end_with_one_schema_one_active_key_and_one_set_of_demo_clients(empty_database: str) -> None:
    fleet = [start_prepare(empty_database) for _ in range(8)]
    outputs = [process.communicate(timeout=120) for process in fleet]

    assert [process.returncode for process in fleet] == [0] * 8, outputs
    app = build_app(database_url=empty_database)
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(SigningKey)) == 2  # and the standby
        assert db.session.scalar(select(func.count()).select_from(ClientRow)) == len(config.DEMO_CLIENTS)
    assert sum("The first signing key" in output for output, _ in outputs) == 1
    close(app)


def test_the_models_are_what_the_migrations_make_on_both_databases(database_url: str) -> None:
    app = build_app(database_url=database_url)

    checked = app.test_cli_runner().invoke(args=["db", "check"])
    assert checked.exit_code == 0, checked.output
    for command in (["db", "downgrade", "base"], ["prepare"]):
        done = app.test_cli_runner().invoke(args=command)
        assert done.exit_code == 0, done.output
    close(app)


def test_clients_of_an_older_schema_survive_the_upgrade_with_default_values(database_url: str) -> None:
    app = build_app(database_url=database_url)

    def run(*command: str) -> str:
        done = app.test_cli_runner().invoke(args=list(command))
        assert done.exit_code == 0, done.output
        return done.stdout

    with app.app_context():
        before = db.session.scalars(select(ClientRow.client_id).where(ClientRow.token_format == "jwt")).all()
    run("db", "downgrade", "0001")
    run("db", "upgrade")

    assert {each["token_format"] for each in json.loads(run("clients", "list", "--json"))["clients"]} == {"jwt"}
    assert demo(app, "demo-admin").request_token().status_code == 200
    with app.app_context():
        assert set(before) <= set(db.session.scalars(select(ClientRow.client_id)))
        db.session.remove()
    close(app)


def test_development_makes_its_own_secret_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    from app import create_app

    app = create_app(read_settings({"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))
    app.instance_path = str(tmp_path / "instance")

    first = app.test_cli_runner().invoke(args=["prepare"])
    file = tmp_path / "instance" / "secret-key"
    made = file.read_text()
    again = app.test_cli_runner().invoke(args=["prepare"])

    assert (first.exit_code, again.exit_code) == (0, 0), first.output + again.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == made
    assert "instance/secret-key" in first.stdout
    assert "instance/secret-key" not in again.stdout
    close(app)


@pytest.mark.parametrize("content", [b"", b"zzz", b"\xff\xfe"])
def test_a_damaged_secret_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    app = create_app(read_settings({"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))
    app.instance_path = str(tmp_path / "instance")
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "secret-key").write_bytes(content)

    refused = app.test_cli_runner().invoke(args=["prepare"])

    assert refused.exit_code == 1
    assert "there is no secret key" in refused.stderr
    close(app)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    _, errors = (process := start_prepare(f"sqlite:///{tmp_path}/file/keyturn.db")).communicate(timeout=60)

    assert process.returncode == 3
    assert f"{tmp_path}/file" in errors
    assert "Traceback" not in errors


def test_a_server_that_is_itself_a_click_command_refuses_faults_too() -> None:
    script = "import click; click.command()(lambda: __import__('wsgi'))()"
    environment = {**os.environ, "KEYTURN_SIGNING_ALG": "none"}

    started = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=False
    )

    assert started.returncode == 3
    assert b"KEYTURN_SIGNING_ALG must be" in started.stderr


def test_demo_clients_get_no_token_in_production_even_if_they_appear_after_the_start(
    prepared: Callable[[str], str],
) -> None:
    app = build_app(database_url=prepared("sqlite"), env="production", issuer="https://a.example", trusted_proxies=1)
    data = {"grant_type": "client_credentials"}
    auth = ("demo-admin", "kts_demo-admin-is-for-learning-only")

    response = app.test_client().post("/oauth/token", data=data, auth=auth, headers={"X-Forwarded-Proto": "https"})

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    close(app)


def test_demo_clients_whose_scopes_are_not_declared_are_not_registered(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[resources.logs.scopes]\n"reports:read" = "Read"\n')

    url = f"sqlite:///{tmp_path}/keyturn.db"
    output, _ = start_prepare(url, KEYTURN_FILE=str(tmp_path / "own.toml")).communicate(timeout=60)

    assert "The demo clients are registered: demo-reporting." in output


def test_the_sample_warehouse_has_something_to_show_and_keeps_what_was_changed(database_url: str) -> None:
    app = build_app(database_url=database_url)
    partner = demo(app, "demo-partner")
    first = partner.get("/inventory", partner.token()).json["items"]
    partner.send("PUT", "/inventory/pallet-4711", partner.token(), json={"quantity": 99})
    before = partner.get("/inventory", partner.token()).json["items"]

    again = app.test_cli_runner().invoke(args=["prepare"])

    assert len(first) > 1
    assert again.exit_code == 0, again.output
    assert "warehouse" not in again.stdout
    assert partner.get("/inventory", partner.token()).json["items"] == before != first
    close(app)


def test_a_command_logs_its_change_of_state(live: Callable[..., LiveServer]) -> None:
    server = live()
    command = [sys.executable, "-m", "flask", "clients", "disable", "demo-brief"]

    done = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True)

    assert json.loads(done.stderr)["message"] == "client_disabled"


def test_production_seeds_no_demo_clients(empty_database: str) -> None:
    output, errors = start_prepare(empty_database, **PRODUCTION).communicate(timeout=60)

    assert "signing key" in output, errors
    assert "demo" not in output
    app = build_app(database_url=empty_database)
    with app.app_context():
        assert stock.items() == []
    close(app)


@pytest.mark.parametrize(
    ("settings", "sentences"),
    [
        pytest.param(
            {"KEYTURN_SIGNING_ALG": "none", "KEYTURN_TRUSTED_PROXIES": "many"},
            ["KEYTURN_SIGNING_ALG must be RS256 or ES256.", "KEYTURN_TRUSTED_PROXIES must be a whole number"],
            id="two-faults",
        ),
        pytest.param(PRODUCTION, ["The demo client demo-admin must not exist in production"], id="demo-clients"),
        pytest.param(
            {**PRODUCTION, "KEYTURN_SECRET_KEYS": "RkVSTkVULUtFWS1PRi0zMi1CWVRFUy1GT1ItVEVTVFM="},
            ["No token could be signed: the signing key cannot be decrypted."],
            id="another-secret-key",
        ),
    ],
)
def test_the_server_refuses_to_start_on_a_fault_and_names_it(
    live: Callable[..., LiveServer], settings: dict[str, str], sentences: list[str]
) -> None:
    server = live(**settings)

    assert server.process.wait(timeout=30) != 0
    log = server.log.read_text()
    for sentence in sentences:
        assert sentence in log
    assert "Traceback" not in log


def test_demo_clients_can_be_deleted_in_production_and_then_it_starts(live: Callable[..., LiveServer]) -> None:
    refused = live(**PRODUCTION)
    for each in config.DEMO_CLIENTS:
        refused.flask("clients", "delete", each.client_id)

    server = live(**PRODUCTION, KEYTURN_DATABASE_URL=refused.environment["KEYTURN_DATABASE_URL"])

    assert server.process.poll() is None
    assert "demo" not in server.log.read_text()


def test_a_database_that_is_not_prepared_is_no_reason_not_to_start(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live(**PRODUCTION, KEYTURN_DATABASE_URL=f"sqlite:///{tmp_path}/later.db")

    assert server.process.poll() is None


def prepare_elsewhere(url: str, **settings: object) -> tuple[int, str]:
    """`flask prepare` by anyone who has the address of this database."""
    app = build_app(database_url=url, **settings)
    done = app.test_cli_runner().invoke(args=["prepare"])
    close(app)
    return done.exit_code, done.output


def contents(url: str) -> tuple[list[str], list[str], int]:
    """The ids of the clients, the kids, and how many events there are."""
    app = build_app(database_url=url)
    with app.app_context():
        found = (
            sorted(db.session.scalars(select(ClientRow.client_id))),
            sorted(db.session.scalars(select(SigningKey.kid))),
            db.session.scalar(select(func.count()).select_from(AuditEvent)) or 0,
        )
    close(app)
    return found


@pytest.fixture
def production_database(empty_database: str) -> str:
    """The database of a server in production, with a client."""
    app = build_app(database_url=empty_database, env="production", issuer="https://auth.example.com")
    assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
    Operator(app).run("clients", "create", "nightly", "--scope", "reports:read")
    close(app)
    return empty_database


def test_development_does_not_prepare_a_database_of_production(production_database: str) -> None:
    before = contents(production_database)

    same_secret = prepare_elsewhere(production_database)
    other_secret = prepare_elsewhere(production_database, secret_keys=Fernet.generate_key().decode())

    for code, output in (same_secret, other_secret):
        assert code == 1
        assert "Nothing was changed" in output
        assert "KEYTURN_ENV=production" in output
    assert contents(production_database) == before


def test_development_does_not_prepare_a_database_whose_keys_it_cannot_open(database_url: str) -> None:
    before = contents(database_url)

    code, output = prepare_elsewhere(database_url, secret_keys=Fernet.generate_key().decode())

    assert code == 1
    assert "does not decrypt" in output
    assert contents(database_url) == before


def test_to_development_that_has_lost_its_secret_key_prepare_names_the_way_out(database_url: str) -> None:
    app = build_app(database_url=database_url, secret_keys=Fernet.generate_key().decode())

    refused = app.test_cli_runner().invoke(args=["prepare"])
    (way_out,) = re.findall(r"`flask (keys rotate [^`]*)`", refused.stderr)
    Operator(app).run(*way_out.split())

    assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
    assert demo(app, "demo-admin").request_token().status_code == 200
    close(app)


def test_development_goes_on_with_clients_of_ones_own_beside_the_demo_clients(database_url: str) -> None:
    app = build_app(database_url=database_url)
    Operator(app).run("clients", "create", "nightly", "--scope", "reports:read")
    close(app)

    assert prepare_elsewhere(database_url)[0] == 0


def test_development_goes_on_where_no_demo_client_would_be_registered(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        '[resources.orders]\naudience = "https://o.example"\n[resources.orders.scopes]\n"o:read" = "Read"\n'
    )
    app = build_app(database_url=f"sqlite:///{tmp_path}/own.db", file=tmp_path / "own.toml")
    for _ in range(2):
        done = app.test_cli_runner().invoke(args=["prepare"])
        assert done.exit_code == 0
        assert "The demo client demo-brief is left out: own.toml does not declare read:logs." in done.output
    Operator(app).run("clients", "create", "nightly", "--scope", "o:read")

    assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
    close(app)


def test_prepare_advises_a_rotation_only_while_a_key_that_signs_cannot_be_opened(
    prepared: Callable[[str], str],
) -> None:
    url, production = prepared("sqlite"), {"env": "production", "issuer": "https://auth.example.com"}
    app = build_app(database_url=url, secret_keys=Fernet.generate_key().decode(), **production)
    operator = Operator(app)

    before = app.test_cli_runner().invoke(args=["prepare"])
    operator.run("keys", "rotate", "--now", "--lost-secret-key")
    after = app.test_cli_runner().invoke(args=["prepare"])

    assert (before.exit_code, after.exit_code) == (0, 0)
    assert "--lost-secret-key" in before.stdout
    assert "KEYTURN_SECRET_KEYS" not in after.stdout
    close(app)


def pretend_a_newer_release(url: str, *, serves: str | None) -> None:
    """Change the database as if the next release had migrated it."""
    app = build_app(database_url=url)
    with app.app_context(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        if serves:
            connection.execute(text("INSERT INTO schema_revisions VALUES ('9999', :serves)"), {"serves": serves})
    close(app)


def test_a_release_that_was_rolled_back_goes_on_with_a_newer_schema_that_serves_it(database_url: str) -> None:
    pretend_a_newer_release(database_url, serves="0003")

    code, output = prepare_elsewhere(database_url)

    assert code == 0, output
    assert "created by a newer Keyturn (its schema is 9999), which still supports this one" in output


@pytest.mark.parametrize("serves", [None, "9998"])
def test_a_newer_schema_that_does_not_serve_this_release_is_refused(database_url: str, serves: str | None) -> None:
    pretend_a_newer_release(database_url, serves=serves)

    code, output = prepare_elsewhere(database_url)

    assert code == 1
    assert "does not support this one" in output
    assert "install the newer release" in output
    assert "Traceback" not in output


def test_every_migration_from_0003_on_writes_down_what_it_serves(database_url: str) -> None:
    app = build_app(database_url=database_url)
    with app.app_context():
        written = {row.revision: row.serves for row in db.session.scalars(select(SchemaRevision))}
        scripts = ScriptDirectory(app.extensions["migrate"].directory)
        migrations = [script.module for script in scripts.walk_revisions()]
    close(app)

    assert all(re.fullmatch(r"\d{4}", migration.revision) for migration in migrations)
    assert written == {each.revision: each.serves for each in migrations if each.revision >= "0003"}


def test_prepare_migrates_a_database_of_the_previous_release(database_url: str) -> None:
    app = build_app(database_url=database_url)
    token = demo(app, "demo-opaque").token()
    assert app.test_cli_runner().invoke(args=["db", "downgrade", "0002"]).exit_code == 0
    close(app)

    code, output = prepare_elsewhere(database_url)

    assert code == 0, output
    app = build_app(database_url=database_url)
    assert demo(app, "demo-opaque").get("/inventory", token).status_code == 200
    close(app)
