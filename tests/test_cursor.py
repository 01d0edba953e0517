"""Reading the trail onwards: without loss and without repetition, while others write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text

from app.audit import cursor, trail
from app.audit.event import Event
from app.clock import now
from app.operations import audit_commands
from app.storage.database import db, transaction
from tests.conftest import Machine, Operator
from tests.test_audit import issued, refused, rows


def page(admin: Machine, token: str, query: str) -> dict[str, Any]:
    response = admin.get(f"/admin/logs?{query}", token)
    assert response.status_code == 200, response.text
    return dict(response.json)


def add_entries(app: Flask, count: int) -> None:
    with app.app_context(), transaction():
        for n in range(count):
            trail.record(Event.ENTRY_ADDED, reason=f"entry {n}")


def test_a_collector_reads_every_event_once_and_goes_on_where_it_was(admin: Machine) -> None:
    trail.current_batch.of(admin.app).close()
    token, seen, since = admin.token(), [], 0
    add_entries(admin.app, 7)
    for _ in range(2):
        while (found := page(admin, token, f"since={since}&order=asc&limit=3"))["events"]:
            seen += [each["id"] for each in found["events"]]
            since = found["next"]
        assert found == {"events": [], "next": since}
        add_entries(admin.app, 2)

    assert seen == [row.id for row in rows(admin.app)][:-2]
    assert page(admin, token, f"since={since}")["events"][0]["reason"] == "entry 0"
    assert page(admin, token, "order=asc&limit=1")["events"][0]["id"] == seen[0]


def test_since_and_before_bound_either_order(admin: Machine) -> None:
    token = admin.token()
    add_entries(admin.app, 5)

    def ids(query: str) -> tuple[list[int], int | None]:
        found = page(admin, token, query)
        return [each["id"] for each in found["events"]], found.get("next", found.get("next_before"))

    assert ids("since=2&before=6") == ids("since=2&before=6&order=asc") == ([3, 4, 5], 5)
    assert ids("since=2&before=6&order=desc") == ([5, 4, 3], None)
    assert ids("since=2&before=6&order=desc&limit=2") == ([5, 4], 4)
    assert ids("since=4&before=3&order=asc") == ([], 4)


def test_the_cursor_passes_what_the_filter_leaves_out(admin: Machine) -> None:
    token = admin.token()
    add_entries(admin.app, 5)

    found = page(admin, token, "since=0&event=key_created&limit=50")

    assert {each["event"] for each in found["events"]} == {"key_created"}
    assert found["next"] == max(row.id for row in rows(admin.app))


@pytest.mark.parametrize(
    ("query", "description"),
    [
        ("order=up", "The parameter order must be asc or desc."),
        ("order=", "The parameter order must be asc or desc."),
        ("since=x", "The parameter since must be a whole number from 0 to 9223372036854775807."),
        ("since=-1", "The parameter since must be a whole number from 0 to 9223372036854775807."),
        ("since=99999999999999999999", "The parameter since must be a whole number from 0 to 9223372036854775807."),
        ("since=1&limit=201", "The parameter limit must be a whole number from 1 to 200."),
        ("since=9223372036854775807", "The parameter since is past the newest event."),
    ],
)
def test_a_wrong_parameter_is_named(admin: Machine, query: str, description: str) -> None:
    response = admin.get(f"/admin/logs?{query}", admin.token())

    assert (response.status_code, response.json["error_description"]) == (400, description)


def is_seen_waiting(app: Flask) -> bool:
    """Whether a writer waits for another one, as PostgreSQL sees it; on SQLite nothing shows it."""
    with app.app_context(), db.engine.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return connection.dialect.name == "postgresql" and bool(connection.scalar(waiting))


def test_an_event_that_is_committed_late_is_not_skipped(app: Flask) -> None:
    trail.current_batch.of(app).close()
    with app.app_context(), ThreadPoolExecutor(1) as pool:
        start = cursor.newest_id()
        with transaction():
            early = trail.record(Event.ENTRY_ADDED, reason="has the lower id, and is committed late")
            db.session.flush()
            trail.current_batch().add(issued("later"), None)
            other = pool.submit(trail.current_batch().write)
            done = threading.Event()
            other.add_done_callback(lambda _: done.set())
            for _ in range(20):  # without turns the other writer is done by then
                if done.wait(0.05) or is_seen_waiting(app):
                    break
            with ThreadPoolExecutor(1) as reader:
                seen, position = reader.submit(read_on, app, start).result()
            early_id = early.id
        assert other.result(timeout=30)
        more, _ = read_on(app, position)

    ids = [row.id for row in rows(app) if row.id > start]
    assert early_id in ids
    assert seen + more == ids
    assert len(ids) == 2


def read_on(app: Flask, position: int) -> tuple[list[int], int]:
    with app.app_context():
        newest = cursor.newest_id()
        found = [int(event["id"]) for each in cursor.pages(position) for event in each]
        return found, max([newest, *found])


def test_what_many_workers_write_at_once_is_read_once_each(new_app: Callable[..., Flask]) -> None:
    workers, collector, ended = [new_app() for _ in range(3)], new_app(), threading.Event()

    def work(app: Flask) -> None:
        batch = trail.current_batch.of(app)
        for n in range(20):
            batch.add(refused(f"x: {n}"), f"request-{n}")
            batch.add(issued(f"client-{n}"), None)
            batch.write()
            add_entries(app, 2)

    def collect() -> list[int]:
        seen: list[int] = []
        position, is_last = 0, False
        while not is_last:
            is_last = ended.is_set()
            found, position = read_on(collector, position)
            seen += found
        return seen

    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(collect)
        for each in [pool.submit(work, app) for app in workers]:
            each.result()
        ended.set()
        seen = reading.result()

    assert seen == [row.id for row in rows(collector)]
    assert len(seen) > 3 * 20 * 4


def test_an_export_is_one_event_a_line_and_ends_with_the_cursor(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor, "EXPORTED_ROWS", 3)
    add_entries(operator.app, 10)
    ids = [row.id for row in rows(operator.app)]

    done = operator.app.test_cli_runner().invoke(args=["audit", "export"])
    events = [json.loads(line) for line in done.stdout.splitlines()]
    rest = operator.app.test_cli_runner().invoke(args=["audit", "export", "--since", str(ids[-3]), "--json"])

    assert [event["id"] for event in events] == ids
    last = {"id": ids[-1], "at": events[-1]["at"], "event": "entry_added", "reason": "entry 9", "count": 1}
    assert events[-1] == last
    assert done.stderr == f"Continue with --since {ids[-1]}\n"
    assert [json.loads(line).get("id") for line in rest.stdout.splitlines()] == [*ids[-2:], None]
    assert json.loads(rest.stdout.splitlines()[-1]) == {"next": ids[-1]}
    assert f"the trail has no event {ids[-1] + 1}, its newest is {ids[-1]}" in operator.is_refused(
        "audit", "export", "--since", str(ids[-1] + 1)
    )


def test_an_export_begins_at_a_time(operator: Operator) -> None:
    with time_machine.travel(now() + 10 * 86_400, tick=False):
        at = datetime.fromtimestamp(now(), UTC)
        add_entries(operator.app, 2)
        ids = [row.id for row in rows(operator.app)]

    def exported(since: str) -> list[int]:
        done = operator.app.test_cli_runner().invoke(args=["audit", "export", "--since", since])
        assert done.exit_code == 0, done.output
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    for since in (at.isoformat(), at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%dT%H:%M:%S"), f"{at.date()}"):
        assert exported(since) == ids[-2:]
    assert exported("2000-01-01") == ids
    assert exported("2999-01-01") == []
    for wrong in ("yesterday", "-1", "9" * 30, ""):
        assert operator.app.test_cli_runner().invoke(args=["audit", "export", "--since", wrong]).exit_code == 2


def test_an_export_that_follows_goes_on_until_ctrl_c(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: Iterator[Callable[[], None]] = iter([lambda: add_entries(operator.app, 2), interrupt])
    monkeypatch.setattr(audit_commands.time, "sleep", lambda _: next(steps)())
    newest = max(row.id for row in rows(operator.app))

    done = operator.app.test_cli_runner().invoke(args=["audit", "export", "--since", str(newest), "--follow"])

    assert [json.loads(line)["reason"] for line in done.stdout.splitlines()] == ["entry 0", "entry 1"]
    assert done.exit_code == 0
    assert done.stderr.startswith("Continue with --since ")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_the_pages_end_even_if_rows_are_removed_meanwhile(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "EXPORTED_ROWS", 2)
    trail.current_batch.of(app).close()
    add_entries(app, 6)
    with app.app_context():
        start = cursor.newest_id() - 6
        found = cursor.pages(start)
        first = next(found)
        with transaction():
            db.session.execute(text("DELETE FROM audit_events WHERE id > :id"), {"id": first[-1]["id"]})
        assert list(found) == []
