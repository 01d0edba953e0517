"""`flask cleanup`: what has expired goes, what is of use stays, whoever else is at work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, insert, select

from app.audit import trail
from app.audit.event import AuditEvent
from app.clients.secret import ClientSecret
from app.clock import now
from app.keys.signing_key import LEEWAY_SECONDS, LINGER_SECONDS, SigningKey
from app.operations import cleanup
from app.storage import database
from app.storage.database import Base, db, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken
from tests.conftest import Machine, Operator, demo

WEEK = 7 * 86_400


def counted(app: Flask, model: type[Base]) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


def removed(operator: Operator) -> dict[str, int]:
    return dict(operator.run("cleanup")["removed"])


def test_a_token_is_removed_a_minute_after_it_expired_and_not_before(operator: Operator) -> None:
    machine = demo(operator.app, "demo-opaque")
    with time_machine.travel(now(), tick=False) as clock:
        machine.revoke(machine.token())
        clock.shift(10)
        living = machine.token()
        clock.shift(3_600 + LEEWAY_SECONDS - 11)
        assert removed(operator)["opaque tokens"] == 0
        clock.shift(1)
        assert removed(operator)["opaque tokens"] == 1
        clock.shift(-LEEWAY_SECONDS)
        assert machine.get("/inventory", living).status_code == 200


def test_a_revocation_is_kept_until_the_token_would_have_expired(operator: Operator, partner: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = partner.token()
        partner.revoke(token)
        clock.shift(3_600 - 1)
        assert removed(operator)["revocations"] == 0
        assert partner.get("/inventory", token).status_code == 401
        clock.shift(1 + LEEWAY_SECONDS)
        assert removed(operator)["revocations"] == 1
        assert partner.get("/inventory", token).status_code == 401


def test_a_secret_is_kept_for_a_week_after_its_end(operator: Operator) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        operator.run("clients", "rotate-secret", "demo-admin", "--overlap", "60")
        clock.shift(60 + WEEK - 1)
        assert removed(operator)["secrets"] == 0
        clock.shift(1)
        assert removed(operator)["secrets"] == 1

    assert [each["name"] for each in operator.run("clients", "show", "demo-admin")["secrets"]] == ["secret-2"]


def test_a_key_is_removed_when_it_is_gone_and_never_the_one_that_signs(operator: Operator, admin: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        operator.run("keys", "rotate", "--now")
        assert removed(operator)["signing keys"] == 0
        clock.shift(LINGER_SECONDS)
        assert removed(operator)["signing keys"] == 1
        operator.run("keys", "withdraw", operator.run("keys", "list")["keys"][0]["kid"])
        assert removed(operator)["signing keys"] == 1

        assert admin.get("/admin/logs", admin.token()).status_code == 200
        assert counted(operator.app, SigningKey) == 1


def test_the_trail_keeps_the_days_and_rows_of_its_settings(new_app: Callable[..., Flask]) -> None:
    app = new_app(audit_days=2, audit_rows=1_000)
    operator, rows = Operator(app), [{"at": now(), "event": "token_issued"}] * 1_500
    with app.app_context():
        trail.current_batch().close()
        with transaction():
            db.session.execute(insert(AuditEvent), [{**row, "count": 1} for row in rows])
            db.session.add(AuditEvent(at=now() - 2 * 86_400 - 1, event="client_created"))

    assert removed(operator)["audit events"] == 501

    with app.app_context():
        assert db.session.scalar(select(func.count()).where(AuditEvent.event == "token_issued")) == 1_000


def test_it_says_what_it_did_and_is_idempotent(operator: Operator) -> None:
    fill(operator.app, 3)

    said = [operator.app.test_cli_runner().invoke(args=["cleanup"]).stdout for _ in range(2)]

    assert [said[0].splitlines()[0][:13], *said[0].splitlines()[0].split()[2:]] == ["opaque tokens", "3", "removed"]
    assert {line.split()[-2] for line in said[1].splitlines()} == {"0"}
    assert removed(operator) == dict.fromkeys(
        ("opaque tokens", "revocations", "secrets", "signing keys", "audit events"), 0
    )


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
            return cleanup.remove_expired()["opaque tokens"]

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(clean, apps)) == 500
    assert counted(apps[0], IssuedToken) == counted(apps[0], RevokedToken) == 0
    assert counted(apps[0], ClientSecret) > 0


def test_it_goes_in_steps_and_tokens_are_issued_in_between(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 10)
    fill(operator.app, 45)
    machine, statuses = demo(operator.app, "demo-opaque"), []
    monkeypatch.setattr(database.time, "sleep", lambda _: statuses.append(machine.ask().status_code))

    assert removed(operator)["opaque tokens"] == 45

    assert statuses == [200] * 4


def fill(app: Flask, count: int) -> None:
    """So many opaque tokens that have expired."""
    row = {"client_id": "x", "scope": "s", "audience": "a", "claims": {}, "issued_at": 0, "expires_at": 1}
    with app.app_context(), transaction():
        db.session.execute(insert(IssuedToken), [{**row, "digest": n.to_bytes(32)} for n in range(count)])
