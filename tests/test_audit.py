"""The audit trail: what is in it, how it is written, and what it never loses."""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text

from app.audit import batch as batches
from app.audit import retention, trail
from app.audit.batch import Noted
from app.audit.event import AuditEvent, Budget, Event
from app.clients.secret import ClientSecret
from app.clock import DAY_SECONDS, now
from app.logs import JsonLine, log
from app.settings import current_settings
from app.storage import database
from app.storage.database import db, transaction
from tests.conftest import ROOT, Machine, Operator, build_app, close, demo, wait_for
from tests.support import leaks


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The log as it is written, line by line."""
    found: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    handler = Recorder()
    handler.setFormatter(JsonLine())
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


def issued(client_id: str) -> Noted:
    return Noted(Event.TOKEN_ISSUED, Budget.ISSUED, client_id)


def refused(reason: str) -> Noted:
    return Noted(Event.TOKEN_REFUSED, Budget.ANONYMOUS, reason=reason)


def rows(app: Flask) -> list[AuditEvent]:
    with app.app_context():
        return list(db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)))


def test_R108_tokens_and_refusals_are_in_the_trail_newest_first(admin: Machine, reporting: Machine) -> None:
    reporting.token()
    reporting.request_token(scope="nonsense")
    reporting.get("/inventory", reporting.token())

    found = admin.events(client_id="demo-reporting", limit="3")

    assert [(each["event"], each.get("reason", "").partition(":")[0]) for each in found] == [
        ("access_refused", "insufficient_scope"),
        ("token_refused", "invalid_scope"),
        ("token_issued", ""),
    ]
    assert all(each["request_id"] for each in found)


def test_R108_every_change_of_state_is_an_event(operator: Operator, admin: Machine) -> None:
    operator.register("billing", "--scope", "read:logs")
    for command in ("disable", "enable"):
        operator.run("clients", command, "billing")
    operator.run("clients", "rotate-secret", "billing", "--overlap", "60")
    operator.run("clients", "update-secret", "billing", "secret-1", "--not-after", "30")
    operator.run("clients", "revoke-secret", "billing", "secret-1")
    operator.run("clients", "delete", "billing")
    kid = operator.run("keys", "rotate")["kid"]
    operator.run("keys", "withdraw", kid)
    admin.send("POST", "/admin/logs", admin.token(), json={"message": "nightly export done"})

    found = [each["event"] for each in admin.events() if each["event"] not in ("token_issued", "client_created")]

    assert found == [
        "entry_added",
        "key_withdrawn",
        "key_rotated",
        "client_deleted",
        "secret_revoked",
        "secret_updated",
        "secret_rotated",
        "client_enabled",
        "client_disabled",
        "key_created",
        "key_created",
    ]


def test_R108_each_event_is_one_json_line_with_the_request_id_of_the_response(admin: Machine, lines: list[str]) -> None:
    response = admin.request_token(scope="nonsense")

    (line,) = map(json.loads, lines)

    assert line["message"] == "token_refused"
    assert line["client_id"] == "demo-admin"
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert "the scope nonsense is unknown" in line["reason"]


def test_R108_no_secret_and_no_token_reaches_a_log_line_or_the_trail_at_debug(
    operator: Operator, admin: Machine, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log.setLevel(logging.DEBUG)
    machine = operator.register("billing", "--scope", "read:logs")
    token = machine.token()
    machine.get("/inventory", token)
    machine.get("/inventory", token + "x")
    machine.request_token(scope=machine.secret)
    machine.request_token(grant_type=machine.secret)
    Machine(machine.app, machine.secret, machine.client_id).request_token()
    machine.app.test_client().post("/oauth/token", data=machine.secret, content_type=f"text/{machine.secret}")
    admin.send("POST", "/admin/logs", admin.token(), json={"message": f"my secret is {machine.secret}"})
    admin.get(f"/admin/logs?client_id={machine.secret}&limit={machine.secret}", admin.token())
    events = json.dumps(admin.events(limit="200"))
    log.setLevel(logging.INFO)

    written = "\n".join(lines) + caplog.text + events
    signature = token.rpartition(".")[2]
    assert len(lines) > 5
    assert machine.secret not in written
    assert signature not in written


def in_base64(machine: Machine) -> str:
    return base64.b64encode(f"{machine.client_id}:{machine.secret}".encode()).decode()


FIELDS = ("scope", "grant_type", "resource", "audience", "client_assertion_type", "anything")
ENDPOINTS = ("/oauth/introspect", "/oauth/revoke")
FORMS = {
    "plain": lambda machine: machine.secret,
    "without-its-prefix": lambda machine: machine.secret[4:],
    "half": lambda machine: machine.secret[4 : 4 + 22],
    "basic": in_base64,
    "basic-url-safe": lambda machine: in_base64(machine).replace("+", "-").replace("/", "_").rstrip("="),
    "percent-encoded": lambda machine: "%6b" + machine.secret[1:],
    "percent-encoded-whole": lambda machine: "".join(f"%{ord(c):02x}" for c in machine.secret),
    "pair": lambda machine: f"{machine.client_id}:{machine.secret[4:]}",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_attack_a_secret_in_a_wrong_field_reaches_no_line_and_no_row(
    new_app: Callable[..., Flask], lines: list[str], tmp_path: Path, form: Callable[[Machine], str]
) -> None:
    app = new_app(trusted_proxies=1)
    machine = Operator(app).register("billing", "--scope", "read:logs")
    client, sent, basic = app.test_client(), form(machine), (machine.client_id, machine.secret)
    data = {"grant_type": "client_credentials"}
    responses = [
        *(client.post("/oauth/token", data=data | {name: sent}, auth=basic) for name in FIELDS),
        client.post("/oauth/token", data=data | {sent: ["1", "2"]}, auth=basic),
        client.post("/oauth/token", data=data | {"client_id": sent, "client_secret": "x"}),
        client.post("/oauth/token", data=data, auth=(sent, "x")),
        client.post("/oauth/token", data=data, auth=basic, content_type=f"text/{sent}"),
        client.post("/oauth/token", data=data, auth=basic, content_type=sent),
        client.post("/oauth/token", query_string={sent: sent}, data=data, auth=basic),
        client.post("/oauth/token", data=data, headers={"Authorization": f"Basic {quote(sent)}"}),
        client.post("/oauth/token", data=data, headers={"Authorization": quote(sent)}),
        *(client.post(path, data={"token": sent, "token_type_hint": sent}, auth=basic) for path in ENDPOINTS),
        client.get("/inventory", headers={"Authorization": f"Bearer {quote(sent)}"}),
        client.get("/inventory", headers={"X-Request-Id": quote(sent)}),
        client.get(f"/{quote(sent)}", headers={"X-Request-Id": sent}),
        client.open("/inventory", method=sent),
        client.get(f"/errors/{quote(sent, safe='')}?{quote(sent)}"),
    ]
    watch = leaks.Watch()
    watch.file = tmp_path / "written.txt"
    watch.remember(machine.secret)
    for response in responses:
        watch.record(f"{response.text} {response.headers}")
    watch.record("\n".join(lines))
    watch.record(str([[*vars(row).values()] for row in rows(app)]))

    assert len(lines) >= len(responses) - 2  # two of them succeed: their extra parameter is ignored
    assert watch.leaked() == set()


def test_what_was_sent_as_an_id_is_recorded_only_if_it_surely_is_one(admin: Machine) -> None:
    for client_id in ("my-password", "kts_0123456789012345678901", "ktc_0123456789012345678901"):
        Machine(admin.app, client_id, "x").request_token()

    found = admin.events(event="token_refused")

    assert [each.get("client_id") for each in found] == ["ktc_0123456789012345678901", None, None]


def test_equal_events_of_a_batch_are_one_row_with_a_count(app: Flask, admin: Machine) -> None:
    with app.app_context():
        trail.current_batch().write()
        trail.current_batch().close()  # so that no thread writes in between
        before = len(rows(app))
        for _ in range(20):
            last = admin.request_token()
        trail.current_batch().write()

    (row,) = rows(app)[before:]
    assert (row.event, row.client_id, row.count) == ("token_issued", "demo-admin", 20)
    assert row.request_id == last.headers["X-Request-Id"]


def test_refusals_keep_rows_of_their_own_up_to_fifty_a_batch(app: Flask, admin: Machine) -> None:
    with app.app_context():
        trail.current_batch().close()
        for _ in range(60):
            admin.request_token(scope="nonsense")
        trail.current_batch().write()

    counts = [row.count for row in rows(app) if row.event == "token_refused"]
    assert sorted(counts) == [1] * 50 + [10]


def test_the_worker_writes_its_batch_by_itself(app: Flask, admin: Machine) -> None:
    admin.token()

    wait_for(lambda: any(row.event == "token_issued" for row in rows(app)))


def test_events_that_the_database_refuses_are_written_later(app: Flask, admin: Machine, lines: list[str]) -> None:
    with app.app_context():
        trail.current_batch().close()
        rename("audit_events", "elsewhere")
        for _ in range(3):
            admin.token()
        assert not trail.current_batch().write()
        admin.token()
        assert not trail.current_batch().write()
        rename("elsewhere", "audit_events")
        assert trail.current_batch().write()

    assert sum(row.count for row in rows(app) if row.event == "token_issued") == 4
    assert any("events wait in memory" in line for line in lines)


def rename(old: str, new: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_memory_is_bounded_and_what_is_dropped_is_counted(
    app: Flask, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_ROWS", 10)
    with app.test_request_context():
        trail.current_batch().close()
        for n in range(25):
            trail.record_soon(Event.TOKEN_ISSUED, client_id=f"client-{n}")
        trail.current_batch().write()

    assert len([row for row in rows(app) if row.event == "token_issued"]) == 10
    assert any("15 events are only in this log" in line for line in lines)
    assert len([line for line in lines if '"message": "token_issued"' in line]) == 25


def calls(names: set[str]) -> list[tuple[Path, ast.Call]]:
    """Every call of a function or method of these names in the code of the product."""
    trees = [(file, ast.walk(ast.parse(file.read_text()))) for file in (ROOT / "app").rglob("*.py")]
    nodes = [(file, node) for file, walk in trees for node in walk if isinstance(node, ast.Call)]
    return [(file, node) for file, node in nodes if getattr(node.func, "attr", getattr(node.func, "id", "")) in names]


def named_events(node: ast.AST) -> set[str]:
    """Every N of an `Event.N` in a piece of code."""
    attributes = [each for each in ast.walk(node) if isinstance(each, ast.Attribute)]
    return {each.attr for each in attributes if isinstance(each.value, ast.Name) and each.value.id == "Event"}


def test_every_event_that_is_written_is_in_the_enum_and_every_one_of_the_enum_is_written() -> None:
    event = (ROOT / "app" / "audit" / "event.py").read_text()
    rest = [file.read_text() for file in (ROOT / "app").rglob("*.py") if file.name != "event.py"]
    literals = {
        node.value
        for text in rest
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    used = {name for text in rest for name in named_events(ast.parse(text))}

    assert literals & {each.value for each in Event} == set()
    assert used == {each.name for each in Event}
    assert {each.value for each in Event} == {each.name.lower() for each in Event}
    assert event.count(", Budget.") == len(Event) >= 22


def test_changes_and_issued_tokens_are_of_no_budget_that_anyone_can_fill() -> None:
    recorded = {name for _, call in calls({"record"}) for name in named_events(call)}

    assert {Event[name].budget for name in recorded} == {Budget.CHANGES, Budget.REVOKED, Budget.ENTRIES}
    assert {each for each in Event if each.budget is Budget.ISSUED} == {Event.TOKEN_ISSUED}
    assert {each for each in Event if each.budget is Budget.REVOKED} == {Event.TOKEN_REVOKED}


def test_every_route_of_the_protocol_names_the_event_of_its_refusals(app: Flask) -> None:
    named = {
        rule.rule: vars(app.view_functions[rule.endpoint]).get("refused_as")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("oauth.")
    }

    assert named == {
        "/oauth/token": Event.TOKEN_REFUSED,
        "/oauth/introspect": Event.INTROSPECTION_REFUSED,
        "/oauth/revoke": Event.REVOCATION_REFUSED,
    }


def test_a_refusal_is_anonymous_until_its_client_has_authenticated(operator: Operator, admin: Machine) -> None:
    billing = operator.register("billing", "--scope", "read:logs")
    wrong = Machine(admin.app, billing.client_id, "kts_wrong")
    for machine in (wrong, billing):
        machine.request_token(scope="read:nothing")
        machine.introspect("x")
    billing.get("/inventory", "garbage")
    billing.get("/inventory", billing.token())

    with admin.app.app_context():
        trail.current_batch().write()
    found = [(row.event, row.client_id, row.budget) for row in rows(admin.app) if row.event.endswith("_refused")]
    assert found == [
        ("token_refused", billing.client_id, "anonymous"),
        ("introspection_refused", billing.client_id, "anonymous"),
        ("token_refused", billing.client_id, "refused"),
        ("introspection_refused", billing.client_id, "refused"),
        ("access_refused", None, "anonymous"),
        ("access_refused", billing.client_id, "refused"),
    ]


def test_each_budget_has_rows_of_its_own(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 2)
    with app.app_context():
        batch = trail.current_batch()
        batch.close()
        before = [row.event for row in rows(app)]
        for n in range(4):
            batch.add(issued(f"client-{n}"), None)
        for n in range(40):
            batch.add(refused(f"invalid_client: {n}"), f"request-{n}")
        batch.write()

        assert retention.trim_rows(replace(current_settings(), audit_rows=5)) == 35 + len(before) - 5

    left = [row.client_id or row.reason for row in rows(app) if row.budget != Budget.CHANGES]
    assert left == [f"client-{n}" for n in range(4)] + [f"invalid_client: {n}" for n in range(35, 40)]
    assert [row.event for row in rows(app) if row.budget == Budget.CHANGES] == before[-5:]


def test_attack_refusals_without_credentials_push_out_nothing_else(operator: Operator) -> None:
    app = operator.app
    thief = operator.register("thief", "--scope", "inventory:read")
    thief.revoke(thief.token())
    thief.request_token(scope="read:logs")
    with app.app_context():
        for n in range(30):
            flood(app, thief.client_id, n)
            trail.current_batch().write()
        before = [row for row in rows(app) if row.client_id == thief.client_id and row.budget != Budget.ANONYMOUS]
        retention.trim_rows(replace(current_settings(), audit_rows=10))

    assert {row.event for row in before} == {"client_created", "token_issued", "token_revoked", "token_refused"}
    assert {row.id for row in before} <= {row.id for row in rows(app)}


def flood(app: Flask, client_id: str, n: int) -> None:
    """Send what anyone without credentials can send, under a client's id and under ids that do not exist."""
    client = app.test_client()
    client.get("/inventory")
    client.get("/inventory", headers={"Authorization": f"Bearer garbage{n}"})
    client.put("/oauth/token")
    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
        client.post(path, data={"grant_type": "x"}, auth=(client_id, f"kts_wrong{n}"))
        client.post(path, data={"grant_type": "x"}, auth=(f"ktc_{n:022}", "kts_wrong"))
        client.post(path, data=b"{}", content_type=f"application/{n}")


def test_attack_invented_client_ids_fill_neither_the_table_nor_the_memory(app: Flask, admin: Machine) -> None:
    with app.app_context():
        trail.current_batch().close()
        for n in range(120):
            Machine(app, f"ktc_{n:022}", "kts_wrong").request_token()
        admin.token()
        trail.current_batch().write()

    wrong = [row for row in rows(app) if row.event == "token_refused"]
    assert sum(row.count for row in wrong) == 120
    assert len(wrong) == 51
    assert [row.count for row in rows(app) if row.event == "token_issued"] == [1]


def test_a_full_budget_leaves_room_in_memory_for_the_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ROWS", 10)
    with app.app_context():
        batch = trail.current_batch()
        batch.close()
        rename("audit_events", "elsewhere")
        for _ in range(2):  # twice: memory that is freed counts too
            for n in range(25):
                batch.add(refused(f"code-{n}: {n}"), f"request-{n}")
            assert not batch.write()
        for n in range(10):
            batch.add(issued(f"client-{n}"), None)
        rename("elsewhere", "audit_events")
        assert batch.write()

    assert len([row for row in rows(app) if row.event == "token_refused"]) == 10
    assert len([row for row in rows(app) if row.event == "token_issued"]) == 10


def test_the_moments_of_last_use_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_MARKS", 10)
    batch = batches.Batch()
    column = ClientSecret.last_used_at

    for n in range(25):
        batch.touch(column, n, 1)
    _, marks, _ = batch.take()
    assert len(marks[column]) == 10
    for n in range(100, 125):
        batch.touch(column, n, 2)
    batch.put_back({}, marks)

    assert len(batch.take()[1][column]) == 10


def test_the_previous_releases_rows_are_a_budget_of_their_own(app: Flask) -> None:
    with app.app_context():
        trail.current_batch().close()
        with transaction():
            old = [{"at": now(), "event": "client_created", "count": 1}] * 8
            db.session.execute(text("INSERT INTO audit_events (at, event, count) VALUES (:at, :event, :count)"), old)
        for n in range(30):
            trail.current_batch().add(refused(f"x: {n}"), f"request-{n}")
        trail.current_batch().write()
        retention.trim_rows(replace(current_settings(), audit_rows=5))

    assert len([row for row in rows(app) if row.budget is None]) == 5


def add_days(app: Flask, days: int) -> None:
    """Add one row for each of the last `days` days."""
    with app.app_context(), transaction():
        for day in range(days, 0, -1):
            at = now() - day * DAY_SECONDS + 10
            db.session.add(AuditEvent(at=at, event="client_created", budget="changes", reason=f"{day} days ago"))


def days_ago(app: Flask) -> list[int]:
    return [int((row.reason or "").split()[0]) for row in rows(app) if "days ago" in (row.reason or "")]


def trim_after(app: Flask, hours: float, **settings: int) -> None:
    """Trim as a server does after running for `hours` hours."""
    with app.app_context():
        trimmer = retention.Trimmer()
        trimmer.look()
        trimmer._since -= hours * 3_600
        with contextlib.suppress(retention.ClocksDifferError):
            trimmer.trim(replace(current_settings(), **settings))


def test_the_servers_delete_a_day_of_the_trail_in_a_day_that_they_run(app: Flask) -> None:
    with app.app_context():
        trail.current_batch().close()
    add_days(app, 100)
    trimmer = retention.Trimmer()
    with app.app_context():
        trimmer.look()
    begin = trimmer._since

    left = []
    for hours in (0.9, 1.1, 24.9, 25.1, 24 * 95):
        trimmer._since = begin - hours * 3_600
        with app.app_context():
            trimmer.trim(replace(current_settings(), audit_days=10))
        left.append(max(days_ago(app)))

    assert left == [100, 99, 99, 98, 10]


def test_attack_a_clock_that_is_far_ahead_empties_no_trail(app: Flask, database_url: str) -> None:
    with app.app_context():
        trail.current_batch().close()
    add_days(app, 80)

    with time_machine.travel(now() + 91 * DAY_SECONDS):
        trim_after(app, 2)

    assert max(days_ago(app)) == (79 if database_url.startswith("sqlite") else 80)
    assert len(days_ago(app)) >= 79


def test_ids_never_begin_again(app: Flask) -> None:
    with app.app_context():
        trail.current_batch().close()
        add_days(app, 3)
        newest = max(row.id for row in rows(app))
        with time_machine.travel(now() + 3_650 * DAY_SECONDS):
            database.delete_in_steps(AuditEvent, retention.too_old(current_settings()))
        assert [row.id for row in rows(app)] == [newest]

        retention.trim_rows(replace(current_settings(), audit_rows=1))
        add_days(app, 1)

    assert [row.id for row in rows(app)] == [newest, newest + 1]


def test_what_a_caller_writes_into_refusals_fills_no_table_and_stops_no_batch(app: Flask, admin: Machine) -> None:
    with app.app_context():
        trail.current_batch().close()
        for n in range(70):
            app.test_client().post("/oauth/token", data=b"x", content_type=f"text/x{n}-{'y' * 5_000}")
        admin.request_token(grant_type="a\x00b\ud800\n".encode("utf-8", "replace").decode())
        assert trail.current_batch().write()

    refused = [row for row in rows(app) if row.event == "token_refused"]
    assert sum(row.count for row in refused) == 71
    assert len(refused) == 52
    assert all(len(row.reason or "") < 250 for row in refused)


def test_what_was_noted_while_the_database_was_locked_is_written_when_the_worker_ends(
    prepared: Callable[[str], str],
) -> None:
    app = build_app(database_url=prepared("sqlite"))
    demo(app, "demo-admin").token()
    with app.app_context():
        batch = trail.current_batch()
        blocker = sqlite3.connect(db.engine.url.database or "", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    demo(app, "demo-admin").token()

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(batch.close)
        blocker.execute("COMMIT")
        ending.result(timeout=60)
    blocker.close()

    assert sum(row.count for row in rows(app) if row.event == "token_issued") == 2
    close(app)


def test_a_row_that_no_database_accepts_costs_no_other(app: Flask, lines: list[str]) -> None:
    with app.app_context():
        batch = trail.current_batch()
        batch.close()
        for client_id in ("good", "bad\ud800", "better"):
            batch.add(issued(client_id), None)
        assert batch.write()

    assert [row.client_id for row in rows(app) if row.event == "token_issued"] == ["good", "better"]
    assert any("cannot store 1 events" in line for line in lines)


def test_refusals_in_an_outage_leave_room_for_other_events(app: Flask, admin: Machine) -> None:
    with app.app_context():
        batch = trail.current_batch()
        batch.close()
        rename("audit_events", "elsewhere")
        for n in range(30):
            for m in range(60):
                batch.add(refused(f"invalid_scope: {n} {m}"), f"request-{n}-{m}")
            assert not batch.write()
        rename("elsewhere", "audit_events")
        admin.token()
        assert batch.write()

    counts = [row.count for row in rows(app) if row.event == "token_refused"]
    assert sum(counts) == 1_800
    assert len(counts) == 51
    assert [row.count for row in rows(app) if row.event == "token_issued"] == [1]


def test_a_change_that_is_refused_is_not_logged_as_made(operator: Operator, lines: list[str]) -> None:
    operator.register("billing", "--scope", "read:logs")
    operator.is_refused("clients", "create", "billing", "--scope", "read:logs")

    assert [json.loads(line)["message"] for line in lines] == ["client_created"]


def test_another_workers_events_are_seen_once_it_has_written(new_app: Callable[..., Flask]) -> None:
    here, there = demo(new_app(), "demo-admin"), demo(new_app(), "demo-reporting")
    there.token()

    wait_for(lambda: bool(here.events(client_id="demo-reporting", event="token_issued")))


def test_pages_follow_each_other_without_a_gap(admin: Machine) -> None:
    for n in range(7):
        admin.send("POST", "/admin/logs", admin.token(), json={"message": f"entry {n}"})
    seen, before = [], "9999"
    while before:
        page = admin.get(f"/admin/logs?event=entry_added&limit=3&before={before}", admin.token()).json
        seen += [each["reason"] for each in page["events"]]
        before = page["next_before"]

    assert seen == [f"entry {n}" for n in reversed(range(7))]


def test_reports_count_tokens_per_client_and_hour(reporting: Machine) -> None:
    with time_machine.travel(1_800_000_000 - 1_800_000_000 % 3_600 + 1_800, tick=False) as clock:
        for _ in range(3):
            reporting.token()
        reporting.request_token(scope="nonsense")
        clock.shift(3_600)
        token = reporting.token()
        hours = reporting.get("/internal/reports?hours=2", token).json["hours"]
        hour = now() - now() % 3_600

        assert hours == [
            {"hour": hour, "client_id": "demo-reporting", "issued": 1, "refused": 0},
            {"hour": hour - 3_600, "client_id": "demo-reporting", "issued": 3, "refused": 1},
        ]
        assert reporting.get("/internal/reports?hours=1", token).json["hours"] == hours[:1]


def test_a_request_id_of_a_trusted_proxy_is_used_if_it_is_plain(new_app: Callable[..., Flask]) -> None:
    alone, behind = new_app(), new_app(trusted_proxies=1)

    def named(app: Flask, sent: str) -> str:
        return app.test_client().get("/inventory", headers={"X-Request-Id": sent}).headers["X-Request-Id"]

    assert named(behind, "0123456789abcdef") == "0123456789abcdef"
    assert named(alone, "0123456789abcdef") != "0123456789abcdef"
    for plain in ("550e8400-e29b-41d4-a716-446655440000", "A" * 32, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "req-12345"):
        assert named(behind, plain) == plain
    for strange in (
        "short",
        "a" * 65,
        "with space",
        'quote"quote',
        "kts_12345678",
        "x" * 19 + "1",
        "Zm9vOmJhcmJhei1xdXV4Cg",
    ):
        assert named(behind, strange) != strange


def test_what_is_at_no_address_is_a_log_line_with_method_and_path(app: Flask, lines: list[str]) -> None:
    app.test_client().delete("/invoices//2024/kts_abcdefgh/Zm9vOmJhcmJhei1xdXV4Cg/%22?secret=kts_12345678")

    (line,) = map(json.loads, lines)
    assert line["message"] == "request_refused"
    assert line["reason"].startswith("not_found: there is nothing at this address; ")
    assert (line["method"], line["path"]) == ("DELETE", "/invoices//2024/[redacted]/[redacted]/[redacted]")
    assert "secret" not in str(line)
    assert "request_refused" not in {row.event for row in rows(app)}
