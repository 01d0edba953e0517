"""Revocation (RFC 7009): a revoked token is dead everywhere, and no other token is."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import time_machine
from flask import Flask
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from app.audit.event import AuditEvent
from app.clients import registry
from app.clock import now
from app.storage.database import db, transaction
from app.tokens.stored_token import RevokedToken
from tests.conftest import Machine, Operator, build_app, close, demo
from tests.support import forging

INACTIVE = {"active": False}


@pytest.fixture(params=["demo-partner", "demo-opaque"])
def machine(request: pytest.FixtureRequest, app: Flask) -> Machine:
    """A client with tokens of each format."""
    return demo(app, request.param)


def test_R093_R095_R097_a_revoked_token_is_dead_on_every_worker_and_the_others_live(
    machine: Machine, new_app: Callable[..., Flask]
) -> None:
    here, there = machine, Machine(new_app(), machine.client_id, machine.secret)
    token, other = machine.token(), machine.token()
    for worker in (here, there):
        assert worker.get("/inventory", token).status_code == 200

    response = here.revoke(token)

    assert (response.status_code, response.json) == (200, {})
    for worker in (here, there):
        refused = worker.get("/inventory", token)
        assert (refused.status_code, refused.json["error"]) == (401, "invalid_token")
        assert worker.get("/inventory", other).status_code == 200


def test_R095_a_revoked_token_is_inactive(machine: Machine) -> None:
    api, token = demo(machine.app, "demo-shipments"), machine.token(scope="shipments:read")
    assert api.introspect(token).json["active"] is True

    machine.revoke(token)

    assert api.introspect(token).json == INACTIVE


def test_R093_another_clients_token_is_not_revoked(machine: Machine, admin: Machine) -> None:
    token = machine.token()

    response = admin.revoke(token)

    assert (response.status_code, response.json["error"]) == (400, "unauthorized_client")
    assert machine.get("/inventory", token).status_code == 200


def test_R093_R096_the_client_authenticates_and_sends_the_token(machine: Machine) -> None:
    token = machine.token()
    nobody = machine.app.test_client().post("/oauth/revoke", data={"token": token})
    wrong = Machine(machine.app, machine.client_id, "kts_wrong").revoke(token)
    missing = machine.post("/oauth/revoke", token_type_hint="access_token")

    assert [each.json["error"] for each in (nobody, wrong, missing)] == [
        "invalid_client",
        "invalid_client",
        "invalid_request",
    ]
    assert machine.get("/inventory", token).status_code == 200


def test_R094_what_is_dead_already_is_200(machine: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        revoked, expired = machine.token(), machine.token()
        assert [machine.revoke(each).status_code for each in (revoked, revoked, "kta_unknown", "garbage")] == [200] * 4
        clock.shift(3_600)
        assert machine.revoke(expired).status_code == 200


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
def test_R096_a_hint_changes_nothing(machine: Machine, hint: str) -> None:
    token = machine.token()

    assert machine.revoke(token, token_type_hint=hint).status_code == 200
    assert machine.get("/inventory", token).status_code == 401


def test_a_jwt_that_was_revoked_is_stored_once_and_until_it_expires(partner: Machine) -> None:
    with time_machine.travel(now(), tick=False):
        token = partner.token()
        for _ in range(3):
            partner.revoke(token)
        with partner.app.app_context():
            (row,) = db.session.scalars(select(RevokedToken)).all()
        assert row.expires_at == now() + 3_600


def test_R108_a_revocation_is_recorded_with_its_jti_and_without_the_token(machine: Machine, admin: Machine) -> None:
    token = machine.token()
    machine.revoke(token)
    machine.revoke(token)

    (event,) = admin.events(event="token_revoked")
    assert event["client_id"] == machine.client_id
    assert event["reason"].startswith("jti ")
    assert token not in str(event)


def test_refused_revocations_and_introspections_are_recorded_as_such(machine: Machine, admin: Machine) -> None:
    admin.revoke(machine.token())
    admin.introspect("x")

    events = [each["event"] for each in admin.events() if each["event"].endswith("_refused")]
    assert events == ["introspection_refused", "revocation_refused"]


def test_the_operator_revokes_all_tokens_of_a_client_and_nobody_elses(
    operator: Operator, machine: Machine, admin: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        tokens = [machine.token() for _ in range(3)]
        foreign = admin.token()
        clock.shift(1)
        tokens.append(machine.token())
        operator.run("tokens", "revoke", "--client", machine.client_id)

        assert [machine.get("/inventory", token).status_code for token in tokens] == [401] * 4
        assert (
            machine.get("/inventory", machine.token()).status_code == 200
        )  # issued in the same second, but after the revocation
        assert admin.get("/inventory", foreign).status_code == 200
        clock.shift(1)
        assert machine.get("/inventory", tokens[0]).status_code == 401


def test_the_operators_revocation_lists_nothing(operator: Operator, partner: Machine) -> None:
    partner.token()
    operator.run("tokens", "revoke", "--client", "demo-partner")

    with partner.app.app_context():
        assert db.session.scalar(select(func.count()).select_from(RevokedToken)) == 0
    assert "no client has" in operator.is_refused("tokens", "revoke", "--client", "nobody")


def test_disabling_a_client_ends_its_tokens_and_enabling_it_does_not_revive_them(
    operator: Operator, machine: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = machine.token()
        operator.run("clients", "disable", machine.client_id)
        assert machine.get("/inventory", token).status_code == 401

        operator.run("clients", "enable", machine.client_id)
        assert machine.get("/inventory", token).status_code == 401
        assert machine.get("/inventory", machine.token()).status_code == 200
        clock.shift(1)
        assert machine.get("/inventory", token).status_code == 401


def test_a_token_that_was_being_issued_while_its_client_was_disabled_is_dead_when_it_is_enabled(
    operator: Operator, machine: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        clock.shift(2)
        late = machine.token()  # its client was looked up before the next line, but its time is after it
        clock.shift(-2)
        operator.run("clients", "disable", machine.client_id)
        clock.shift(2)
        assert machine.get("/inventory", late).status_code == 401

        operator.run("clients", "enable", machine.client_id)

        assert machine.get("/inventory", late).status_code == 401


def test_a_second_revocation_by_a_slower_clock_revives_nothing(operator: Operator, machine: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        clock.shift(30)
        token = machine.token()
        operator.run("tokens", "revoke", "--client", machine.client_id)
        clock.shift(-30)  # another machine, or the clock was corrected
        operator.run("tokens", "revoke", "--client", machine.client_id)
        operator.run("clients", "disable", machine.client_id)
        operator.run("clients", "enable", machine.client_id)
        clock.shift(30)

        assert machine.get("/inventory", token).status_code == 401


@pytest.mark.parametrize("seconds", [90, -90])
def test_R095_a_token_is_revoked_also_where_another_clock_says_that_it_does_not_live(
    partner: Machine, seconds: int
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = forging.with_our_key(
            partner.app, forging.claims(sub="demo-partner", client_id="demo-partner", scope="inventory:read")
        )
        clock.shift(-90 if seconds > 0 else 3_600 + 30)  # a machine whose clock is behind, or ahead
        assert partner.get("/inventory", token).status_code == 401
        assert partner.revoke(token).status_code == 200
        clock.shift(90 if seconds > 0 else -3_600 - 30)

        assert partner.get("/inventory", token).status_code == 401


def test_R095_why_a_revocation_did_nothing_is_in_the_trail(admin: Machine) -> None:
    response = admin.revoke("garbage")

    (event,) = Operator(admin.app).run("explain", response.headers["X-Request-Id"])["events"]
    assert event["event"] == "token_inactive"
    assert event["reason"] == "inactive: the token is not a JWT, or is incomplete"


@pytest.mark.parametrize("command", [["tokens", "revoke", "--client"], ["clients", "disable"]])
def test_what_is_ordered_ends_tokens_of_a_second_that_is_still_to_come(
    operator: Operator, machine: Machine, command: list[str]
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = machine.token()
        clock.shift(-30)
        operator.run(*command, machine.client_id)
        assert machine.get("/inventory", token).status_code == 401

        operator.run("clients", "enable", machine.client_id)

        assert machine.get("/inventory", token).status_code == 401
        assert machine.get("/inventory", machine.token()).status_code == 200


@pytest.mark.parametrize("order", [registry.revoke_tokens, registry.disable])
def test_a_token_that_is_issued_between_the_order_and_its_commit_is_dead(
    app: Flask, new_app: Callable[..., Flask], order: Callable[[str], object]
) -> None:
    issued = []
    machine = demo(new_app(), "demo-partner")
    with time_machine.travel(now(), tick=False) as clock, app.app_context():

        def issue(session: Session) -> None:
            if session.dirty:  # the revocation, in its own transaction, is about to be committed
                session.flush()
                clock.shift(5)  # a lagging standby delays the commit
                issued.append(machine.token())

        event.listen(db.session, "before_commit", issue)
        try:
            order(machine.client_id)
        finally:
            event.remove(db.session, "before_commit", issue)
        registry.enable(machine.client_id)

    (token,) = issued
    assert machine.get("/inventory", token).status_code == 401
    assert machine.get("/inventory", machine.token()).status_code == 200


def test_on_postgresql_an_opaque_token_that_is_stored_between_the_order_and_its_commit_is_dead(
    prepared: Callable[[str], str],
) -> None:
    url = prepared("postgresql")
    here, there = build_app(database_url=url), build_app(database_url=url)
    machine = demo(there, "demo-opaque")
    with time_machine.travel(now(), tick=False) as clock:
        with here.app_context(), transaction():
            registry.end_tokens(registry.get_client("demo-opaque"))
            db.session.flush()
            clock.shift(5)
            token = machine.token()
            assert machine.get("/inventory", token).status_code == 200

        assert machine.get("/inventory", token).status_code == 401
    close(here)
    close(there)


@pytest.mark.parametrize("command", ["enable", "disable"])
def test_a_change_that_is_there_already_changes_nothing_and_says_so(
    operator: Operator, machine: Machine, command: str
) -> None:
    token = machine.token()
    if command == "disable":
        operator.run("clients", "disable", machine.client_id)
    before = operator.run("clients", "show", machine.client_id), len(events(operator.app))

    done = operator.app.test_cli_runner().invoke(args=["clients", command, machine.client_id, "--json"])

    assert done.exit_code == 0
    assert "nothing was changed" in done.stderr
    assert json.loads(done.stdout) == before[0] | {"changed": False}
    assert (operator.run("clients", "show", machine.client_id), len(events(operator.app))) == before
    if command == "enable":
        assert machine.get("/inventory", token).status_code == 200


def events(app: Flask) -> list[str]:
    changes = ("client_enabled", "client_disabled")
    with app.app_context():
        return list(db.session.scalars(select(AuditEvent.event).where(AuditEvent.event.in_(changes))))


def test_a_token_of_an_earlier_release_has_generation_0(app: Flask, operator: Operator, partner: Machine) -> None:
    claims = forging.claims(sub="demo-partner", client_id="demo-partner", scope="inventory:read")
    for generation, status in ((forging.LEFT_OUT, 200), (0, 200), (1, 401)):
        token = forging.with_our_key(
            app, claims | {"gen": generation} if generation is not forging.LEFT_OUT else claims
        )
        assert partner.get("/inventory", token).status_code == status

    operator.run("tokens", "revoke", "--client", "demo-partner")

    for generation, status in ((forging.LEFT_OUT, 401), (0, 401), (1, 200), (2, 401)):
        token = forging.with_our_key(
            app, claims | {"gen": generation} if generation is not forging.LEFT_OUT else claims
        )
        assert partner.get("/inventory", token).status_code == status


@pytest.mark.parametrize("generation", ["0", 0.0, True, None, [], {}, float("nan")])
def test_R069_attack_a_generation_that_is_no_whole_number(app: Flask, partner: Machine, generation: object) -> None:
    claims = forging.claims(sub="demo-partner", client_id="demo-partner", scope="inventory:read", gen=generation)

    assert partner.get("/inventory", forging.with_our_key(app, claims)).status_code == 401


def test_what_the_previous_release_revoked_by_the_clock_is_revoked(app: Flask, machine: Machine) -> None:
    """By a server or a command of the previous release, beside this one or after a rollback."""
    with time_machine.travel(now(), tick=False) as clock:
        Operator(app).run("tokens", "revoke", "--client", machine.client_id)
        clock.shift(10)
        token = machine.token()
        clock.shift(10)
        with app.app_context(), transaction():
            registry.get_client(machine.client_id).tokens_not_before = now() + 1
        clock.shift(1)

        assert machine.get("/inventory", token).status_code == 401
        assert machine.get("/inventory", machine.token()).status_code == 200


def test_a_demo_client_that_was_deleted_comes_back_without_its_old_tokens_whatever_the_clock(
    operator: Operator, machine: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = machine.token()
        operator.run("clients", "delete", machine.client_id)
        clock.shift(-60)
        assert operator.app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0

        assert machine.get("/inventory", token).status_code == 401
        assert machine.get("/inventory", machine.token()).status_code == 200
