"""`flask prepare` and the start of the server, with real processes: many at once, again, and refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.clients.client import Client
from app.database import db
from app.keys.signing_key import SigningKey
from tests.conftest import ROOT, SECRET_KEY, LiveServer, build_app, close, run_on

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


def test_eight_at_once_end_with_one_schema_one_key_and_one_set_of_demo_clients(empty_database: str) -> None:
    fleet = [start_prepare(empty_database) for _ in range(8)]
    said = [process.communicate(timeout=120) for process in fleet]

    assert [process.returncode for process in fleet] == [0] * 8, said
    app = build_app(database_url=empty_database)
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(SigningKey)) == 1
        assert db.session.scalar(select(func.count()).select_from(Client)) == 4
    assert sum("The first signing key" in output for output, _ in said) == 1
    close(app)


def test_the_models_are_what_the_migrations_make_on_both_databases(database_url: str) -> None:
    app = build_app(database_url=database_url)

    checked = app.test_cli_runner().invoke(args=["db", "check"])
    assert checked.exit_code == 0, checked.output
    for command in (["db", "downgrade", "base"], ["prepare"]):
        done = app.test_cli_runner().invoke(args=command)
        assert done.exit_code == 0, done.output
    close(app)


def test_development_makes_its_own_secret_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    from app import config, create_app

    app = create_app(config.load({"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))
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


def test_production_seeds_no_demo_clients(empty_database: str) -> None:
    output, errors = start_prepare(empty_database, **PRODUCTION).communicate(timeout=60)

    assert "signing key" in output, errors
    assert "demo" not in output


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
            ["KEYTURN_SECRET_KEYS must hold the key"],
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
    for name in ("partner", "reporting", "admin", "brief"):
        refused.flask("clients", "delete", f"demo-{name}")

    server = live(**PRODUCTION, KEYTURN_DATABASE_URL=refused.environment["KEYTURN_DATABASE_URL"])

    assert server.process.poll() is None
    assert "demo" not in server.log.read_text()


def test_a_database_that_is_not_prepared_is_no_reason_not_to_start(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live(**PRODUCTION, KEYTURN_DATABASE_URL=f"sqlite:///{tmp_path}/later.db")

    assert server.process.poll() is None
