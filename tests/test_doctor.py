"""`flask doctor` on healthy installations, and on broken ones: each check is seen to find what it is for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text
from werkzeug.serving import make_server

from app import clock, create_app
from app.audit import trail
from app.audit.event import AuditEvent, Budget
from app.clock import now
from app.doctor import database_checks, examining, server_checks, setting_checks, visit
from app.doctor.examining import CHECKS
from app.health import conditions, sighting
from app.keys.signing_key import NEVER
from app.settings import current_settings, read_settings
from app.storage.database import db, transaction
from app.upkeep import round as upkeep_round
from tests.conftest import (
    ROOT,
    SECRET_KEY,
    LiveServer,
    Operator,
    build_app,
    close,
    free_port,
    responds,
    run_on,
    wait_for,
)
from tests.support.https_front import https
from tests.support.leaks import suite
from tests.support.pages import page
from tests.test_limits import redis_server  # noqa: F401, a fixture
from tests.test_pooler import pooled  # noqa: F401, a fixture

DAY = 86_400
OTHER_KEY = Fernet.generate_key().decode()
NAMES = [check.name for check in CHECKS]
Found = dict[str, dict[str, Any]]


def examined(app: Flask, code: int) -> Found:
    """What the command finds, by the checks' names; it must end with this exit code."""
    done = app.test_cli_runner().invoke(args=["doctor", "--json"])
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    assert document["healthy"] is (code == 0)
    assert [each["name"] for each in document["checks"]] == NAMES
    return {each["name"]: each for each in document["checks"]}


def results(found: Found, result: str) -> set[str]:
    return {name for name, each in found.items() if each["result"] == result}


def sentences(found: Found, name: str) -> str:
    """What a check says, each finding with what to do about it."""
    for each in found[name]["findings"]:
        assert set(each) == ({"kind", "what"} if each["kind"] == "note" else {"kind", "what", "remedy"})
    return "\n".join(f"{each['what']} {each.get('remedy', '')}" for each in found[name]["findings"])


def change(app: Flask, *statements: str) -> None:
    with app.app_context(), transaction():
        for statement in statements:
            db.session.execute(text(statement))


@contextmanager
def served(app: Flask, port: int) -> Iterator[None]:
    """Serve an app by a thread of this process, whose clock and settings a test can change."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def well(prepared: Callable[[str], str]) -> Iterator[Callable[..., Flask]]:
    """Creates apps on one database that a server serves as well: without other settings, nothing is wrong."""
    port, url = free_port(), prepared("sqlite")
    Path(url.removeprefix("sqlite:///")).chmod(0o600)
    common = {"issuer": f"http://127.0.0.1:{port}", "database_url": url}
    made = [build_app(**common)]
    with made[0].app_context():
        upkeep_round.run()

    def make(**settings: object) -> Flask:
        if settings:
            made.append(build_app(**(common | settings)))
        return made[-1]

    with served(made[0], port):
        yield make
    for app in made:
        close(app)


def test_of_an_installation_that_is_well_nothing_is_said(well: Callable[..., Flask]) -> None:
    found = examined(well(), 0)

    assert {name for name in NAMES if found[name]["result"] != "ok"} == {"gunicorn"}  # a thread serves here
    assert re.search(r"RS256 signature takes [0-9]+ µs, and a statement [0-9]+ µs", sentences(found, "cost"))
    assert "MiB are free" in sentences(found, "disk")


NO_KEYS = "DELETE FROM signing_keys"
OLD_KEY = f"UPDATE signing_keys SET signs_from = -1000 WHERE signs_from <> {NEVER}"
NEWER = "UPDATE alembic_version SET version_num = '9999'"
SERVES = "INSERT INTO schema_revisions (revision, serves) VALUES ('9999', '0001')"
# Of the database: what is changed in it, the settings, the check that says so, how, and the exit code.
IN_THE_DATABASE = [
    pytest.param(["UPDATE alembic_version SET version_num = '0001'"], {}, "schema", r"is 0001,.*prepare", 1, id="old"),
    pytest.param([NEWER], {}, "schema", r"is 9999, of a newer release.*[Ss]tart that release", 1, id="newer"),
    pytest.param([NEWER, SERVES], {}, "schema", r"still serves this one.*Install the newer", 0, id="newer-that-serves"),
    pytest.param([NO_KEYS], {}, "signing key", r"no signing key\. Run `flask prepare`", 1, id="no-key"),
    pytest.param([], {"secret_keys": OTHER_KEY}, "signing key", r"do not decrypt.*Set the key", 1, id="another-secret"),
    pytest.param([OLD_KEY], {}, "key age", r"has signed for \d+ days.*does not rotate it.*rotate", 1, id="old-key"),
    pytest.param([OLD_KEY], {"key_rotation_days": 0}, "key age", r"_DAYS is 0.*keys rotate", 0, id="by-hand"),
    pytest.param([f"{NO_KEYS} WHERE signs_from = {NEVER}"], {}, "standby key", r"no standby.*prepare", 1, id="standby"),
    pytest.param(
        [],
        {"secret_keys": f"{OTHER_KEY},{SECRET_KEY}"},
        "encryption",
        r"an older one of.*prepare",
        0,
        id="older-secret",
    ),
    pytest.param(
        ["UPDATE signing_keys SET signs_from = 9999999999 WHERE signs_from = 253402300799"],
        {"secret_keys": OTHER_KEY},
        "encryption",
        r"do not decrypt the next signing key.*keys withdraw",
        1,
        id="next-key",
    ),
    pytest.param(
        ["UPDATE upkeep_lease SET round_at = round_at - 10000"],
        {},
        "upkeep",
        r"2 hours ago, and servers run",
        1,
        id="late",
    ),
    pytest.param(
        ["UPDATE upkeep_lease SET round_at = NULL"], {}, "upkeep", r"ever done.*within a minute", 0, id="never"
    ),
    pytest.param(
        ["UPDATE upkeep_lease SET round_at = round_at - 100000"],
        {"upkeep": "off"},
        "upkeep",
        r"KEYTURN_UPKEEP is off.*flask cleanup",
        1,
        id="off",
    ),
    pytest.param(
        [f"UPDATE client_secrets SET not_after = {now() + DAY}"],
        {},
        "secrets",
        r"ends in \d+ hours.*--overlap",
        0,
        id="end",
    ),
]


@pytest.mark.parametrize(("statements", "settings", "check", "wanted", "code"), IN_THE_DATABASE)
def test_what_is_wrong_in_the_database_is_found(
    well: Callable[..., Flask], statements: list[str], settings: dict[str, object], check: str, wanted: str, code: int
) -> None:
    app = well(**settings)
    change(app, *statements)

    found = examined(app, code)

    assert re.search(wanted, sentences(found, check), re.DOTALL), found
    assert found[check]["result"] == ("fault" if code else "warning")


def test_nothing_is_changed(well: Callable[..., Flask]) -> None:
    def rows() -> dict[str, list[tuple[object, ...]]]:
        with app.app_context():
            tables = sorted(db.metadata.tables)
            return {name: [tuple(row) for row in db.session.execute(text(f"SELECT * FROM {name}"))] for name in tables}

    app = well()
    trail.current_batch.of(app).close()
    before = rows()

    examined(app, 0)

    trail.current_batch.of(app).close()
    assert rows() == before


def test_settings_at_fault_are_listed_and_nothing_else_is_judged_by_them(tmp_path: Path) -> None:
    given = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "nonsense", "KEYTURN_TRUSTED_PROXY": "1"}
    app = create_app(read_settings(given | {"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))

    found = examined(app, 1)

    assert results(found, "skipped") == set(NAMES) - {"settings"}
    assert re.search("KEYTURN_ISSUER must be.*Did you mean KEYTURN_TRUSTED_PROXIES", sentences(found, "settings"), re.S)
    assert list(tmp_path.iterdir()) == []
    close(app)


@pytest.mark.parametrize(
    ("trusted", "proxies", "wanted"),
    [
        (0, ["198.51.100.1"], "1 proxies add to .* share one limit. Set KEYTURN_TRUSTED_PROXIES=1 on every server"),
        (2, ["198.51.100.1"], "a client can send any address.*KEYTURN_TRUSTED_PROXIES=1, or let"),
        (1, [], "PROXIES is 1, and 0 proxies"),
    ],
)
def test_a_number_of_proxies_that_is_not_theirs_is_found(
    prepared: Callable[[str], str], trusted: int, proxies: list[str], wanted: str
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    app = build_app(database_url=prepared("sqlite"), issuer=issuer, trusted_proxies=trusted)
    inside = app.wsgi_app

    def behind_proxies(environ: dict[str, Any], start_response: Any) -> Any:
        values = [environ.get("HTTP_X_FORWARDED_FOR", ""), *proxies]
        environ["HTTP_X_FORWARDED_FOR"] = ", ".join(value for value in values if value)
        return inside(environ, start_response)

    app.wsgi_app = behind_proxies  # type: ignore[method-assign]
    with served(app, port):
        found = examined(app, 1)

    assert re.search(wanted, sentences(found, "proxies"))
    warned = "anyone who reaches the server can use the demo clients" in sentences(found, "environment")
    assert warned is (trusted > 0) is (found["environment"]["result"] == "warning")
    close(app)


def test_a_server_that_knows_no_address_is_found(prepared: Callable[[str], str]) -> None:
    app = build_app(database_url=prepared("sqlite"))
    with app.app_context():
        headers = {sighting.DOCTOR: sighting.proof("1")}
        response = app.test_client().get(visit.JWKS, headers=headers, environ_overrides={"REMOTE_ADDR": ""})
        seen = sighting.read(response.headers[sighting.SEEN], "1")

    assert seen is not None
    assert [each.remedy for each in server_checks.of_arrival(seen, False)] == [
        "Over a unix socket KEYTURN_TRUSTED_PROXIES must be 1 or more."
    ]
    close(app)


def test_without_a_server_and_a_database_the_rest_is_examined(tmp_path: Path) -> None:
    app = build_app(issuer=f"http://127.0.0.1:{free_port()}", database_url=f"sqlite:///{tmp_path}/keyturn.db")

    found = examined(app, 1)

    assert results(found, "fault") == {"database", "issuer"}
    assert "keyturn.db does not exist. Run `flask prepare`" in sentences(found, "database")
    assert re.search("No server responds.*Start the server", sentences(found, "issuer"))
    assert results(found, "ok") >= {"settings", "files", "disk"}
    assert "It needs the database." in sentences(found, "schema")
    assert list(tmp_path.iterdir()) == []
    close(app)


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    app = build_app(database_url="postgresql://keyturn:pa55word@127.0.0.1:1/keyturn", issuer="http://127.0.0.1:1")

    found = examined(app, 1)

    assert "The database does not respond: " in sentences(found, "database")
    assert "pa55word" not in json.dumps(found)
    close(app)


def test_another_database_and_other_secret_keys_than_the_servers_are_found(
    well: Callable[..., Flask], prepared: Callable[[str], str]
) -> None:
    app = well(database_url=prepared("sqlite"), secret_keys=OTHER_KEY)
    change(app, NO_KEYS)
    app.test_cli_runner().invoke(args=["prepare"])

    found = examined(app, 1)

    assert "none of the keys in this database" in sentences(found, "issuer")
    assert "does not have this command's KEYTURN_SECRET_KEYS" in sentences(found, "visibility")


def test_a_server_with_other_settings_is_named_by_them(well: Callable[..., Flask]) -> None:
    found = examined(well(access_token_seconds=60, audit_days=5), 0)

    assert "this command's: KEYTURN_ACCESS_TOKEN_SECONDS, KEYTURN_AUDIT_DAYS." in sentences(found, "same settings")


def test_clocks_that_differ_are_found(well: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sighting, "now", lambda: now() + 90)

    found = examined(well(), 1)

    assert re.search(r"is (89|90|91) seconds ahead of this machine's.*Synchronize", sentences(found, "clocks"))


def test_a_clock_that_differs_from_the_databases_is_found(
    prepared: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(database_url=prepared("postgresql"), issuer="http://127.0.0.1:1")
    monkeypatch.setattr(clock, "ahead", -90)

    assert re.search("seconds behind the database's. Synchronize", sentences(examined(app, 1), "clocks"))
    close(app)


def test_redis_that_does_not_respond_is_found(well: Callable[..., Flask]) -> None:
    found = examined(well(redis_url="redis://127.0.0.1:1/0"), 1)

    assert re.search("Redis does not respond: ConnectionError.*Start Redis", sentences(found, "limits"))
    assert "serves without KEYTURN_REDIS_URL" in sentences(found, "limits")


def test_a_server_that_has_lost_redis_is_found(
    prepared: Callable[[str], str],
    redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]],  # noqa: F811
) -> None:
    port = free_port()
    process, url = redis_server()
    app = build_app(database_url=prepared("sqlite"), issuer=f"http://127.0.0.1:{port}", redis_url=url)
    with served(app, port):
        assert "Limits are counted in Redis." in sentences(examined(app, 0), "limits")
        process.terminate()
        process.wait(timeout=30)
        form = {"grant_type": "client_credentials"}
        assert app.test_client().post("/oauth/token", data=form, auth=("nobody", "kts_x")).status_code == 401
        assert "Redis does not respond to " in sentences(examined(app, 1), "limits")
    close(app)


def test_files_that_others_can_read_are_found(
    well: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, database = well(), Path(current_settings.of(well()).database_url.removeprefix("sqlite:///"))
    files = {name: tmp_path / name for name in ("credential", "keyturn.env", "harmless.env")}
    files["credential"].write_text(SECRET_KEY)
    files["keyturn.env"].write_text(f"export KEYTURN_SECRET_KEYS={SECRET_KEY}\n")
    files["harmless.env"].write_text("KEYTURN_ISSUER=https://auth.example.com\n")
    for file in (*files.values(), database):
        file.chmod(0o644)
    monkeypatch.setattr(setting_checks, "ENVIRONMENT_FILES", (files["keyturn.env"], files["harmless.env"]))
    monkeypatch.setenv("KEYTURN_SECRET_KEYS_FILE", str(files["credential"]))

    said = sentences(examined(app, 1), "files")

    assert [file for file in (*files.values(), database) if f"{file} (0644). Run `chmod o= {file}`" in said] == [
        *(files["credential"], files["keyturn.env"], database)
    ]
    assert SECRET_KEY not in said


@pytest.mark.parametrize(
    ("bound", "kind", "wanted"),
    [
        ("FULL_BYTES", "fault", "The disk of the database is full"),
        ("LOW_BYTES", "warning", "has [0-9,]+ MiB left. Make room"),
        ("LONG_WAL_BYTES", "warning", "write-ahead log of SQLite is [0-9]+ MiB long"),
    ],
)
def test_a_disk_that_fills_is_found(
    well: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, bound: str, kind: str, wanted: str
) -> None:
    monkeypatch.setattr(setting_checks, bound, -1 if bound == "LONG_WAL_BYTES" else 2**62)

    found = examined(well(), int(kind == "fault"))

    assert re.search(wanted, sentences(found, "disk"))
    assert found["disk"]["result"] == kind


def test_scopes_that_are_not_declared_are_found(well: Callable[..., Flask], tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[resources.own.scopes]\n"reports:read" = "Read"\n')

    said = sentences(examined(well(file=tmp_path / "own.toml"), 1), "scopes")

    assert "own.toml does not declare the scope inventory:read of " in said
    assert "Declare it, or remove it with `flask clients update " in said


def test_what_clients_do_and_do_not_do_is_worth_knowing(database_url: str) -> None:
    app = build_app(database_url=database_url, issuer="http://127.0.0.1:1", audit_rows=1_000)
    operator = Operator(app)
    old, _ = (operator.register(name, "--scope", "read:logs") for name in ("sends-the-old", "sleeps"))
    operator.run("clients", "rotate-secret", "sends-the-old", "--overlap", "0")
    assert old.request_token().status_code == 401
    with app.app_context():
        trail.current_batch().write_before_reading()
    change(app, "UPDATE clients SET created_at = 0", "UPDATE client_secrets SET created_at = 0, last_used_at = NULL")
    with app.app_context(), transaction():
        db.session.add_all(AuditEvent(at=now(), event="x", budget=Budget.ISSUED.value) for _ in range(600))

    found = examined(app, 1)

    assert "A secret of client sends-the-old that has ended was sent 1 times" in sentences(found, "ended secrets")
    assert re.search("2 clients were not used for 90 days.*`flask clients stale`", sentences(found, "unused"))
    assert re.search("too small for issued tokens: .*Raise KEYTURN_AUDIT_ROWS", sentences(found, "trail"))
    assert results(found, "warning") >= {"ended secrets", "unused", "trail"}
    close(app)


def test_connections_and_time_outs_of_postgresql_are_found(prepared: Callable[[str], str], postgresql: str) -> None:
    url, port = prepared("postgresql"), free_port()
    name = re.findall(r"/(copy_\w+)", url)[0]
    app = build_app(database_url=url, issuer=f"http://127.0.0.1:{port}")
    with served(app, port):
        calm = examined(app, 0)
        assert re.search(r"[0-9]+ of [0-9]+ connections to PostgreSQL are open", sentences(calm, "connections"))
        assert re.search("forgotten session.*ALTER ROLE postgres SET statement_timeout", sentences(calm, "time-outs"))
        run_on(postgresql, f"ALTER DATABASE {name} CONNECTION LIMIT 13")
        assert re.search(
            r"1 workers .* may open 6 .* PostgreSQL allows 13.*above 16", sentences(examined(app, 0), "connections")
        )
        run_on(postgresql, f"ALTER DATABASE {name} CONNECTION LIMIT 2")
        assert "the next ones are refused" in sentences(examined(app, 1), "connections")
    close(app)


@pytest.mark.parametrize(("pooled", "result"), [("statement", "fault"), ("transaction", "ok")], indirect=["pooled"])
def test_a_pooler_that_shares_statements_is_found(pooled: str, result: str) -> None:  # noqa: F811
    app = build_app(database_url=pooled, issuer="http://127.0.0.1:1")

    found = examined(app, 1)

    assert found["pooler"]["result"] == result
    assert "PgBouncer is between" in sentences(found, "pooler")
    assert ("Set its pool_mode to transaction" in sentences(found, "pooler")) is (result == "fault")
    assert "The database is not prepared" in sentences(found, "schema")
    close(app)


def test_what_hangs_is_left_behind_and_ends_with_3(well: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    app, ended = well(), threading.Event()

    def hang(_: object) -> list[object]:
        ended.wait(60)
        return []

    hanging = [each._replace(function=hang) if each.name == "trail" else each for each in CHECKS]
    monkeypatch.setattr(examining, "CHECKS", hanging)
    monkeypatch.setattr(examining, "CHECK_SECONDS", 0.5)
    found = examined(app, 3)
    ended.set()

    assert results(found, "unknown") == {"trail"}
    assert "was not found out within" in sentences(found, "trail")


def test_a_fault_in_one_check_is_said_and_the_others_are_made(
    well: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = well()
    monkeypatch.setattr(conditions, "signing_key", lambda: {}["key"])

    found = examined(app, 3)

    assert "A fault of Keyturn: KeyError" in sentences(found, "signing key")
    assert found["unused"]["result"] == "ok"


def test_nobody_without_the_secret_key_is_shown_anything(app: Flask) -> None:
    with app.app_context():
        right, nonce = sighting.proof("1"), "1"
        wrong = Fernet(OTHER_KEY).encrypt(b"show what you see: 1").decode()
        key = db.session.scalar(text("SELECT private_pem FROM signing_keys LIMIT 1"))
        sealed = app.test_client().get(visit.JWKS, headers={sighting.DOCTOR: right}).headers[sighting.SEEN]
        assert sighting.read(sealed, nonce) is not None
        assert sighting.read(sealed, "2") is None

    for proof in ("", "x", "ä", wrong, key, SECRET_KEY):
        response = app.test_client().get(visit.JWKS, headers={sighting.DOCTOR: proof})
        assert (response.status_code, sighting.SEEN in response.headers) == (200, False)


def test_what_a_server_shows_has_no_secret(app: Flask) -> None:
    settings = replace(
        current_settings.of(app), database_url="hidden-1", redis_url="hidden-2", secret_keys=("hidden-3",)
    )

    assert "hidden" not in json.dumps(sighting.comparable(settings))


@pytest.mark.parametrize(
    ("header", "count"),
    [
        (sighting.MARK, 0),
        (f"{sighting.MARK}, 198.51.100.1", 1),
        (f"198.51.100.7, {sighting.MARK},198.51.100.1 , 127.0.0.1", 2),
        ("198.51.100.1", 1),
        ("", 0),
    ],
)
def test_the_proxies_that_add_to_the_header_are_counted(header: str, count: int) -> None:
    assert sighting.count_proxies([header]) == count


@pytest.fixture
def production(
    prepared: Callable[[str], str], live: Callable[..., LiveServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Flask]]:
    """Starts real servers in production behind a proxy that terminates TLS; returns an app like the operator's."""
    made: list[Flask] = []

    @contextmanager
    def start(kind: str, **server: str) -> Iterator[Flask]:
        url, port = prepared(kind), free_port()
        if kind == "sqlite":
            Path(url.removeprefix("sqlite:///")).chmod(0o600)
        settings = {"env": "production", "issuer": f"https://localhost:{port}", "trusted_proxies": "1"}
        made.append(build_app(database_url=url, **settings))
        change(made[-1], "DELETE FROM client_secrets", "DELETE FROM clients")  # with demo clients it does not start
        with made[-1].app_context():
            upkeep_round.run()
        given = {f"KEYTURN_{name.upper()}": value for name, value in settings.items()}
        running = live(kind, KEYTURN_DATABASE_URL=url, **(given | server))
        with https(port, int(running.environment["PORT"]), tmp_path):
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "front.pem"))
            yield made[-1]

    yield start
    for app in made:
        close(app)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.drill)])
def test_a_fleet_in_production_behind_a_proxy_is_well(production: Callable[..., Any], kind: str) -> None:
    with production(kind) as app:
        found = examined(app, 0)

    assert results(found, "fault") | results(found, "skipped") == set()
    assert results(found, "warning") <= {"limits", "time-outs"}
    assert re.search(r"Each of 2 workers \(\S+\) counts limits separately", sentences(found, "limits"))


def test_a_proxy_that_is_not_trusted_a_certificate_and_demo_clients_are_found(
    production: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with production("sqlite", KEYTURN_TRUSTED_PROXIES="0") as app:
        untrusted = build_app(
            database_url=current_settings.of(app).database_url,
            env="production",
            issuer=current_settings.of(app).issuer,
        )
        change(
            app,
            "INSERT INTO clients (client_id, name, scope, default_scope, grant_types, token_endpoint_auth_method, "
            "token_format, claims, created_at, tokens_not_before) SELECT 'demo-admin', 'demo-admin', '', '', '', "
            "'client_secret_basic', 'jwt', '{}', 1, 0",
        )
        found = examined(untrusted, 1)
        monkeypatch.delenv("SSL_CERT_FILE")
        refused = examined(untrusted, 1)
        close(untrusted)

    assert re.search("arrive as plain http.*PROXIES, now 0, .*1 can be seen", sentences(found, "proxies"))
    assert "Run `flask clients delete demo-admin`" in sentences(found, "demo clients")
    assert re.search("certificate at the issuer's address is not accepted.*SSL_CERT_FILE", sentences(refused, "issuer"))
    assert refused["visibility"]["result"] == "skipped"


OUR_CONFIGURATION = ("--config", str(ROOT / "gunicorn.conf.py"))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), "without Keyturn's gunicorn.conf.py: .* Start gunicorn in the project's directory"),
        pytest.param(
            (*OUR_CONFIGURATION, "--worker-class", "gthread"), "gunicorn's ThreadWorker", marks=pytest.mark.drill
        ),
    ],
    ids=["none", "gthread"],
)
def test_gunicorn_without_our_configuration_is_found(
    prepared: Callable[[str], str], tmp_path: Path, options: tuple[str, ...], wanted: str
) -> None:
    port, url = free_port(), prepared("sqlite")
    app = build_app(database_url=url, issuer=f"http://127.0.0.1:{port}")
    given = {"KEYTURN_DATABASE_URL": url, "KEYTURN_ISSUER": f"http://127.0.0.1:{port}", "KEYTURN_JOURNAL": "off"}
    given |= {"KEYTURN_SECRET_KEYS": SECRET_KEY, "KEYTURN_ENV": "development"}
    command = ["-m", "gunicorn", "--chdir", str(ROOT), "--bind", f"127.0.0.1:{port}", *options, "wsgi:app"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=tmp_path, env=os.environ | given, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: responds(current_settings.of(app).issuer))
        assert re.search(wanted, sentences(examined(app, 1), "gunicorn"))
    finally:
        process.terminate()
        process.wait(timeout=60)
        suite.record((tmp_path / "log").read_text())
    close(app)


@pytest.mark.parametrize(
    ("issuer", "wanted"),
    [
        ("https://no-such-name.invalid", "cannot be resolved"),
        ("https://127.0.0.1:{port}", "does not speak TLS"),
        ("http://127.0.0.1:{port}/elsewhere", "has the status 404, not 200"),
        ("http://localhost:{port}", "names another issuer"),
    ],
)
def test_an_issuer_that_clients_cannot_use_is_found(well: Callable[..., Flask], issuer: str, wanted: str) -> None:
    port = current_settings.of(well()).issuer.rpartition(":")[2]

    assert wanted in sentences(examined(well(issuer=issuer.format(port=port)), 1), "issuer")


def test_a_person_reads_it_too(well: Callable[..., Flask]) -> None:
    change(well(), OLD_KEY)

    done = well().test_cli_runner().invoke(args=["doctor"])

    assert done.exit_code == 1
    assert re.search(r"^fault    key age\n {9}The signing key .*\n {9}-> The log of", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("\n1 wrong, 1 worth knowing.\n")


def test_the_table_of_the_document_is_that_of_the_code() -> None:
    rows = page("doctor").table("check")

    assert [(row[0].strip("`"), row[1]) for row in rows] == [(check.name, check.about) for check in CHECKS]
    assert f"where {database_checks.FOR_OTHERS} are for commands" in page("deploy").text
