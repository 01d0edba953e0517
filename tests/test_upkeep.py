"""The upkeep, and `flask cleanup`, which is a round of it by hand: nothing that is in use is removed."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app.audit import trail
from app.audit.event import AuditEvent
from app.clients.secret import ClientSecret
from app.clock import LEEWAY_SECONDS, now
from app.keys.signing_key import LINGER_SECONDS, SigningKey
from app.operations import cleanup
from app.storage import database
from app.storage.database import Base, db, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken
from app.upkeep import lease
from app.upkeep.removals import REMOVALS
from tests.conftest import Machine, Operator, demo

DAY = 86_400
WEEK = 7 * DAY


def counted(app: Flask, model: type[Base]) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


def removed(operator: Operator) -> dict[str, int]:
    return dict(operator.run("cleanup")["removed"])


def age(app: Flask, column: InstrumentedAttribute[Any], seconds: int) -> None:
    """Move a time into the past, in every row: a cleanup needs a correct clock."""
    with app.app_context(), transaction():
        db.session.execute(update(column.class_).values({column: column - seconds}))


def test_a_token_is_removed_a_minute_after_it_expired_and_not_before(operator: Operator) -> None:
    demo(operator.app, "demo-opaque").token()

    age(operator.app, IssuedToken.expires_at, 3_600 + LEEWAY_SECONDS - 20)
    assert removed(operator)["opaque tokens"] == 0
    age(operator.app, IssuedToken.expires_at, 40)
    assert removed(operator)["opaque tokens"] == 1


def test_a_revocation_is_kept_until_a_day_after_its_token_expired(operator: Operator, partner: Machine) -> None:
    partner.revoke(partner.token())

    age(operator.app, RevokedToken.expires_at, 3_600 + DAY - 20)
    assert removed(operator)["revocations"] == 0
    age(operator.app, RevokedToken.expires_at, 40)
    assert removed(operator)["revocations"] == 1


def test_attack_a_cleanup_with_a_clock_ahead_revives_no_revoked_token(operator: Operator, partner: Machine) -> None:
    token = partner.token()
    partner.revoke(token)

    for ahead in (3_600, 23 * 3_600):
        with time_machine.travel(now() + ahead):
            operator.app.test_cli_runner().invoke(args=["cleanup"])

    assert partner.get("/inventory", token).status_code == 401


def test_postgresqls_clock_stops_a_cleanup(operator: Operator, database_url: str) -> None:
    fill(operator.app, 3)
    if database_url.startswith("sqlite"):
        assert removed(operator)["opaque tokens"] == 3  # SQLite has no clock of its own
        return

    for shift, words in ((70, "70 seconds ahead of"), (-70, "70 seconds behind")):
        with time_machine.travel(now() + shift, tick=False):
            output = operator.is_refused("cleanup")
        assert re.search(f"clock is (69|70|71) {words[3:]} the database's: nothing is deleted by age", output)

    assert counted(operator.app, IssuedToken) == 3
    assert removed(operator)["opaque tokens"] == 3


def test_a_secret_is_kept_for_a_week_after_its_end(operator: Operator) -> None:
    operator.run("clients", "rotate-secret", "demo-admin", "--overlap", "60")

    age(operator.app, ClientSecret.not_after, 60 + WEEK - 20)
    assert removed(operator)["secrets"] == 0
    age(operator.app, ClientSecret.not_after, 40)
    assert removed(operator)["secrets"] == 1

    assert [each["name"] for each in operator.run("clients", "show", "demo-admin")["secrets"]] == ["secret-2"]


def test_a_key_is_removed_a_day_after_it_is_gone_and_never_the_one_that_signs(
    operator: Operator, admin: Machine
) -> None:
    operator.run("keys", "rotate", "--now")

    age(operator.app, SigningKey.gone_at, LINGER_SECONDS + DAY - 20)
    assert removed(operator)["signing keys"] == 0
    age(operator.app, SigningKey.gone_at, 40)
    assert removed(operator)["signing keys"] == 1

    assert admin.get("/admin/logs", admin.token()).status_code == 200
    assert counted(operator.app, SigningKey) == 2  # the one that signs, and the standby


def test_the_trail_keeps_the_rows_of_its_setting_and_old_events_until_they_are_deleted_by_option(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(audit_days=2, audit_rows=1_000)
    operator, row = Operator(app), {"at": now(), "event": "token_issued", "budget": "issued", "count": 1}
    with app.app_context():
        trail.current_batch().close()
        with transaction():
            db.session.add(AuditEvent(at=now() - 2 * DAY - 20, event="client_created", budget="changes"))
            db.session.add(AuditEvent(at=now() - 2 * DAY + 20, event="client_created", budget="changes"))
            db.session.execute(insert(AuditEvent), [row] * 1_500)

    first, output, last = (
        operator.run("cleanup"),
        app.test_cli_runner().invoke(args=["cleanup"]).stdout,
        operator.run("cleanup", "--old-events"),
    )

    assert (first["removed"]["audit events"], first["old_events_left"]) == (500, 1)
    assert "1 audit events are older than KEYTURN_AUDIT_DAYS." in output
    assert (last["removed"]["audit events"], last["old_events_left"]) == (1, 0)
    with app.app_context():
        assert db.session.scalar(select(func.count()).where(AuditEvent.event == "token_issued")) == 1_000


def test_it_says_what_it_did_and_is_idempotent(operator: Operator) -> None:
    fill(operator.app, 3)

    output = [operator.app.test_cli_runner().invoke(args=["cleanup"]).stdout for _ in range(2)]

    assert [output[0].splitlines()[0][:13], *output[0].splitlines()[0].split()[2:]] == ["opaque tokens", "3", "removed"]
    assert {line.split()[-2] for line in output[1].splitlines()} == {"0"}
    assert removed(operator) == dict.fromkeys((*REMOVALS, "fault counts", "audit events"), 0)


def test_what_was_removed_is_an_event(operator: Operator, admin: Machine) -> None:
    fill(operator.app, 3)
    removed(operator)
    removed(operator)

    (event,) = admin.events(event="cleaned_up")
    assert event["reason"] == "3 opaque tokens"


def test_two_at_once_remove_everything_once(new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 20)
    apps = [new_app(), new_app()]
    fill(apps[0], 500)

    def clean(app: Flask) -> int:
        with app.app_context():
            return cleanup.clean_up()["removed"]["opaque tokens"]

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(clean, apps)) == 500
    assert counted(apps[0], IssuedToken) == counted(apps[0], RevokedToken) == 0
    assert counted(apps[0], ClientSecret) > 0


def test_it_goes_in_steps_and_tokens_are_issued_in_between(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 10)
    fill(operator.app, 45)
    machine, statuses = demo(operator.app, "demo-opaque"), []
    monkeypatch.setattr(database.time, "sleep", lambda _: statuses.append(machine.request_token().status_code))

    assert removed(operator)["opaque tokens"] == 45

    assert statuses == [200] * 4


def fill(app: Flask, count: int) -> None:
    """Store `count` expired opaque tokens."""
    row = {"client_id": "x", "scope": "s", "audience": "a", "claims": {}, "issued_at": 0, "expires_at": 1}
    with app.app_context(), transaction():
        db.session.execute(insert(IssuedToken), [{**row, "digest": n.to_bytes(32)} for n in range(count)])


def test_a_cleanup_waits_for_the_worker_that_does_the_upkeep(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(operator.app, 3)
    with operator.app.app_context():
        held = lease.take()
        waited = []

        def let_go(seconds: float) -> None:
            waited.append(seconds)
            lease.let_go(held)

        monkeypatch.setattr(cleanup.time, "sleep", let_go)

        assert cleanup.clean_up()["removed"]["opaque tokens"] == 3

    assert len(waited) == 1


def test_a_cleanup_names_the_worker_that_does_the_upkeep_for_long(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "WAIT_SECONDS", 0)
    with operator.app.app_context():
        lease.take()

    assert f"{lease.name()} does the upkeep at this moment" in operator.is_refused("cleanup", code=3)
