"""Secrets one by one: rotated, planned, ended and found, with who still sends which."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.audit import trail
from app.audit.event import AuditEvent
from app.clients import secret_rotation
from app.clients.client_row import ClientRow
from app.clients.registration_rules import RegistrationError
from app.clock import now
from app.operations.time_options import parse_duration, parse_time
from app.settings import current_settings
from app.storage.database import db
from tests.conftest import ROOT, SECRET_KEY, Machine, Operator
from tests.support.leaks import suite
from tests.support.terminal import Terminal

HOUR, DAY = 3_600, 86_400
NOON = 1_900_000_000 - 1_900_000_000 % HOUR


def rotated(operator: Operator, machine: Machine, *options: str) -> Machine:
    """The client with its newest secret."""
    made = operator.run("clients", "rotate-secret", "billing", *options)
    return replace(machine, secret=made["client_secret"])


def send(machine: Machine, address: str = "192.0.2.1", **form: str) -> int:
    """Request a token from an address; return the status."""
    response = machine.app.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials", **form},
        auth=(machine.client_id, machine.secret),
        environ_base={"REMOTE_ADDR": address},
    )
    return response.status_code


def events(app: Flask, *names: str) -> list[tuple[str, str | None]]:
    with app.app_context():
        query = select(AuditEvent.event, AuditEvent.reason).where(AuditEvent.event.in_(names)).order_by(AuditEvent.id)
        return [(event, reason) for event, reason in db.session.execute(query)]


@pytest.fixture
def billing(operator: Operator) -> Machine:
    return operator.register("billing", "--scope", "read:logs write:logs", "--default-scope", "read:logs")


def secret(operator: Operator, name: str, *options: str) -> dict[str, object]:
    """What `flask clients secrets` says about one secret."""
    found = operator.run("clients", "secrets", "billing", *options)["secrets"]
    return dict(next(each for each in found if each["name"] == name))


def test_without_an_overlap_a_rotation_is_refused_and_says_what_it_would_break(
    operator: Operator, billing: Machine
) -> None:
    assert send(billing, "192.0.2.7") == 200

    refusal = operator.is_refused("clients", "rotate-secret", "billing")

    assert "secret-1 was last used" in refusal
    assert "from 192.0.2.7" in refusal
    assert "--overlap 0" in refusal
    assert [each["name"] for each in operator.run("clients", "show", "billing")["secrets"]] == ["secret-1"]
    assert send(billing) == 200


def test_with_nothing_to_break_no_overlap_is_needed(operator: Operator, billing: Machine) -> None:
    operator.run("clients", "revoke-secret", "billing", "secret-1", "--last")

    assert send(rotated(operator, billing)) == 200


def test_a_rotation_says_whether_the_old_secret_is_in_use_and_by_whom(operator: Operator, billing: Machine) -> None:
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        send(billing, address)

    made = operator.run("clients", "rotate-secret", "billing", "--overlap", "1d")

    (old,) = made["old_secrets"]
    assert (old["name"], old["state"], old["is_in_use"]) == ("secret-1", "works", True)
    assert {use["address"]: use["issued"] for use in old["used_from"]} == {"192.0.2.1": 2, "192.0.2.2": 1}
    assert made["changed"] is True
    sentence = operator.app.test_cli_runner().invoke(
        args=["clients", "rotate-secret", "billing", "--overlap", "0"]
    ).stdout  # fmt: skip
    suite.remember(sentence.partition("client_secret")[2].split()[0])
    assert "secret-1 has ended; it was last used" in sentence
    assert "What still sends it is refused" in sentence


def test_each_secret_has_its_own_addresses_and_pauses(operator: Operator, billing: Machine) -> None:
    new = rotated(operator, billing, "--overlap", "7d", "--name", "blue")
    with time_machine.travel(now() + DAY, tick=False) as traveller:
        send(new, "192.0.2.2")
        for _ in range(2):
            traveller.shift(HOUR)
            send(billing, "192.0.2.1")

        found = [secret(operator, name) for name in ("secret-1", "blue")]

    assert [[use["address"] for use in each["used_from"]] for each in found] == [["192.0.2.1"], ["192.0.2.2"]]
    assert [each["longest_pause"] for each in found] == [HOUR, None]


@pytest.fixture
def terminal(operator: Operator) -> Iterator[Callable[..., Terminal]]:
    """Types a `flask` command in a terminal, on the database of the test."""
    started: list[Terminal] = []
    url = current_settings.of(operator.app).database_url
    given = {"ENV": "development", "DATABASE_URL": url, "JOURNAL": "off", "SECRET_KEYS": SECRET_KEY}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    environment |= {f"KEYTURN_{name}": value for name, value in given.items()}

    def run(*command: str) -> Terminal:
        started.append(Terminal([sys.executable, "-m", "flask", *command], ROOT, environment))
        return started[-1]

    yield run
    for each in started:
        each.kill()


def test_on_a_terminal_a_rotation_asks_for_the_overlap(
    operator: Operator, billing: Machine, terminal: Callable[..., Terminal]
) -> None:
    send(billing)
    asked = terminal("clients", "rotate-secret", "billing")
    asked.wait_for("How long should it still work (0 ends it at once)? [1d]")

    asked.type("soon\n")
    asked.wait_for("a duration is seconds")
    asked.type("2h\n")

    asked.wait_for("client_secret")
    assert asked.end() == 0
    ends = secret(operator, "secret-1")["not_after"]
    assert isinstance(ends, int)
    assert 0 < ends - now() <= 2 * HOUR
    assert send(billing) == 200


def test_a_new_secret_ends_when_it_was_planned(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        new = rotated(operator, billing, "--overlap", "0", "--not-after", "90d", "--name", "autumn")
        assert secret(operator, "autumn")["not_after"] == NOON + 90 * DAY

        traveller.move_to(NOON + 90 * DAY - 1)
        assert send(new) == 200
        traveller.move_to(NOON + 90 * DAY)
        assert send(new) == 401


def test_an_end_in_the_past_is_refused(operator: Operator, billing: Machine) -> None:
    for end in ("0", "2020-01-01T00:00:00Z"):
        for command in (("rotate-secret", "billing", "--overlap", "60"), ("update-secret", "billing", "secret-1")):
            refusal = operator.is_refused("clients", *command, "--not-after", end)
            assert "the end of a secret is in the future" in refusal
    assert send(billing) == 200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("0", 0), ("60", 60), ("90s", 90), ("5m", 300), ("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600)),
        *(("3650d", 315_360_000), ("3651d", None), ("-1", None), ("1.5h", None), ("", None), ("d", None)),
        *(("1 d", None), ("1y", None), ("٣d", None), ("9" * 30, None)),
    ],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2030-03-17T17:46:40Z", 1_900_000_000),
        ("2030-03-17t17:46:40.999z", 1_900_000_000),
        ("2030-03-17T19:46:40+02:00", 1_900_000_000),
        ("2030-03-17 17:46:40Z", 1_900_000_000),
        ("1h", NOON + HOUR),
        ("2030-03-17T17:46:40", None),  # without a zone it is another moment on each machine
        ("2030-03-17", None),
        ("2030-02-30T00:00:00Z", None),
        ("2030-03-17T23:59:60Z", None),
        ("20300317T174640Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("1969-12-31T23:59:59Z", None),
        ("tomorrow", None),
    ],
)
def test_a_time_is_as_in_rfc_3339_or_a_duration_from_now(text: str, at: int | None) -> None:
    with time_machine.travel(NOON, tick=False):
        assert parse_time(text) == at


def test_one_secret_is_revoked_and_the_others_work(operator: Operator, billing: Machine) -> None:
    new = rotated(operator, billing, "--overlap", "7d")
    token = billing.token()

    done = operator.run("clients", "revoke-secret", "billing", "secret-1")

    assert (done["state"], done["changed"]) == ("ended", True)
    assert (send(billing), send(new)) == (401, 200)
    assert billing.get("/admin/logs", token).status_code == 200
    assert events(operator.app, "secret_revoked") == [("secret_revoked", "secret secret-1")]


def test_revoking_a_secret_twice_changes_nothing(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "7d")
    first = operator.run("clients", "revoke-secret", "billing", "secret-1")

    again = operator.run("clients", "revoke-secret", "billing", "secret-1")

    assert again == {**first, "changed": False}
    assert len(events(operator.app, "secret_revoked")) == 1


def test_a_clock_that_moves_back_does_not_revive_a_revoked_secret(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "7d")
    operator.run("clients", "revoke-secret", "billing", "secret-1")

    with time_machine.travel(now() - DAY):
        assert send(billing) == 401


def test_a_secret_whose_planned_end_has_passed_can_be_revoked_for_good(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "60")
    with time_machine.travel(now() + 120):
        assert operator.run("clients", "revoke-secret", "billing", "secret-1")["changed"] is True

    assert send(billing) == 401


def test_the_last_secret_that_works_is_only_revoked_if_that_is_said(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "0")

    refusal = operator.is_refused("clients", "revoke-secret", "billing", "secret-2")
    assert "secret-2 is the only secret of billing that works" in refusal
    assert secret(operator, "secret-2")["state"] == "works"

    operator.run("clients", "revoke-secret", "billing", "secret-2", "--last")
    assert secret(operator, "secret-2")["state"] == "ended"


def test_two_operators_cannot_revoke_the_last_two_secrets_at_once(
    operator: Operator, billing: Machine, new_app: Callable[..., Flask]
) -> None:
    rotated(operator, billing, "--overlap", "7d")
    pairs = [(operator.app, "secret-1"), (new_app(), "secret-2")]

    def revoke(pair: tuple[Flask, str]) -> bool:
        app, name = pair
        with app.app_context():
            try:
                return secret_rotation.revoke_secret("billing", name)
            except RegistrationError:
                return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(revoke, pairs)) == [False, True]


@pytest.mark.parametrize("end", ["30", "20d", "never"], ids=["earlier", "later", "never"])
def test_the_planned_end_of_a_secret_can_be_moved(operator: Operator, billing: Machine, end: str) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        rotated(operator, billing, "--overlap", "60")

        done = operator.run("clients", "update-secret", "billing", "secret-1", "--not-after", end)

        moved = {"30": NOON + 30, "20d": NOON + 20 * DAY, "never": None}[end]
        assert (done["not_after"], done["changed"]) == (moved, True)
        traveller.move_to(NOON + 45)
        assert send(billing) == (401 if end == "30" else 200)
        traveller.move_to(NOON + 61)
        assert send(billing) == (401 if end == "30" else 200)
        again = operator.run("clients", "update-secret", "billing", "secret-1", "--not-after", "never")
        assert again["changed"] is (end != "never")
    assert (
        events(operator.app, "secret_updated")[0][1] == f"secret secret-1: {f'ends at {moved}' if moved else 'no end'}"
    )


def test_a_secret_whose_planned_end_has_passed_can_be_brought_back(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        rotated(operator, billing, "--overlap", "60")
        traveller.move_to(NOON + 120)
        assert send(billing) == 401

        operator.run("clients", "update-secret", "billing", "secret-1", "--not-after", "1h")

        assert send(billing) == 200


def test_a_secret_that_was_revoked_is_not_brought_back(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "0")

    refusal = operator.is_refused("clients", "update-secret", "billing", "secret-1", "--not-after", "never")

    assert "secret-1 was ended for good" in refusal
    assert send(billing) == 401


@pytest.mark.usefixtures("billing")
def test_an_end_after_which_the_client_has_no_secret_is_said(operator: Operator) -> None:
    command = ["clients", "update-secret", "billing", "secret-1", "--not-after", "1d"]

    done = operator.app.test_cli_runner().invoke(args=command)

    assert "Then billing has no secret" in done.stdout


@pytest.mark.usefixtures("billing")
def test_a_mistyped_name_of_a_secret_gets_a_hint(operator: Operator) -> None:
    for typed, hint in (("secret1", "did you mean secret-1?"), ("blue", "it has secret-1")):
        assert hint in operator.is_refused("clients", "revoke-secret", "billing", typed)
        assert hint in operator.is_refused("clients", "update-secret", "billing", typed, "--not-after", "1d")


def test_a_secret_typed_in_place_of_its_name_is_not_repeated(operator: Operator, billing: Machine) -> None:
    assert billing.secret not in operator.is_refused("clients", "revoke-secret", "billing", billing.secret)


def test_who_still_sends_a_secret_that_has_ended_is_shown(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "0")
    assert send(billing, "192.0.2.9") == 401

    found = secret(operator, "secret-1")

    assert found["state"] == "ended"
    assert [(use["address"], use["issued"], use["refused"]) for use in found["used_from"]] == [("192.0.2.9", 0, 1)]


def test_a_secret_is_in_use_if_it_was_used_within_the_period(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        assert secret(operator, "secret-1")["is_in_use"] is False
        send(billing, "192.0.2.9")
        traveller.move_to(NOON + 2 * HOUR)

        found = [secret(operator, "secret-1", "--within", period) for period in ("1h", "2h")]

    assert [each["is_in_use"] for each in found] == [False, True]
    # An address is also shown for a secret that was not used in the period.
    assert [[use["address"] for use in each["used_from"]] for each in found] == [["192.0.2.9"], ["192.0.2.9"]]


def test_a_secret_is_safe_to_end_after_twice_its_longest_pause(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        for hours in (0, 1, 6, 8):
            traveller.move_to(NOON + hours * HOUR)
            send(billing)

        found = secret(operator, "secret-1")
        shown = operator.app.test_cli_runner().invoke(args=["clients", "secrets", "billing"]).stdout
        traveller.move_to(NOON + 18 * HOUR)
        later = operator.app.test_cli_runner().invoke(args=["clients", "secrets", "billing"]).stdout

    assert (found["longest_pause"], found["safe_to_end_at"]) == (5 * HOUR, NOON + 18 * HOUR)
    assert "if it is not used until then: its longest pause was 5 hours" in shown
    assert "yes: it was last used 10 hours ago" in later


@pytest.mark.usefixtures("billing")
def test_a_secret_that_was_never_used_is_safe_to_end_two_days_after_its_creation(operator: Operator) -> None:
    found = secret(operator, "secret-1")

    assert isinstance(found["created_at"], int)
    assert found["safe_to_end_at"] == found["created_at"] + 2 * DAY


def test_a_secret_is_not_safe_to_end_before_a_token_of_the_client_has_expired_twice(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs", "--lifetime", "36000")
    with time_machine.travel(NOON, tick=False) as traveller:
        for hours in (0, 1):
            traveller.move_to(NOON + hours * HOUR)
            send(machine)

        assert secret(operator, "secret-1")["safe_to_end_at"] == NOON + HOUR + 20 * HOUR


def test_an_earlier_secret_of_the_same_name_does_not_count(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        rotated(operator, billing, "--overlap", "60", "--name", "blue")
        send(billing, "192.0.2.1")
        traveller.move_to(NOON + 30 * DAY)
        with operator.app.app_context():
            trail.current_batch().write()
            for row in db.session.scalars(select(ClientRow).where(ClientRow.name == "billing")):
                row.secrets.remove(row.secrets[0])  # as the upkeep does, a week after its end
            db.session.commit()
        new = rotated(operator, billing, "--overlap", "60", "--name", "secret-1")
        traveller.move_to(NOON + 30 * DAY + HOUR)
        send(new, "192.0.2.2")

        found = secret(operator, "secret-1", "--within", "365d")

    assert [use["address"] for use in found["used_from"]] == ["192.0.2.2"]
    assert found["longest_pause"] is None


def test_the_report_for_people_names_each_address(operator: Operator, billing: Machine) -> None:
    send(billing, "192.0.2.4")
    send(billing, "192.0.2.4", scope="nonsense")

    shown = operator.app.test_cli_runner().invoke(args=["clients", "secrets", "billing"]).stdout

    assert shown.startswith("secret-1\n  created")
    assert "192.0.2.4: 1 token, 1 refused, last 20" in shown
    assert ", in use)" in shown


def names(found: dict[str, object], kind: str) -> list[tuple[object, object]]:
    listed = found[kind]
    assert isinstance(listed, list)
    return [(each["client"], each["name"]) for each in listed]


def test_what_ends_soon_is_listed_across_all_clients(operator: Operator, billing: Machine) -> None:
    operator.register("other", "--scope", "read:logs")
    rotated(operator, billing, "--overlap", "2d", "--not-after", "20d", "--name", "autumn")
    operator.run("clients", "update-secret", "other", "secret-1", "--not-after", "40d")

    found = operator.run("clients", "ending")["ending"]
    wider = operator.run("clients", "ending", "--within", "50d")["ending"]

    secrets = [(each["client"], each["name"], each["is_last"]) for each in found if each["kind"] == "secret_ends"]
    assert secrets == [("billing", "secret-1", False), ("billing", "autumn", True)]
    assert ("other", "secret-1", True) in [
        (each["client"], each["name"], each["is_last"]) for each in wider if each["kind"] == "secret_ends"
    ]
    shown = operator.app.test_cli_runner().invoke(args=["clients", "ending"]).stdout
    assert re.search("the secret autumn of client billing ends in (19|20) days, and it is the client's last", shown)


def test_a_revoked_secret_does_not_end_soon(operator: Operator, billing: Machine) -> None:
    rotated(operator, billing, "--overlap", "2d")
    operator.run("clients", "revoke-secret", "billing", "secret-1")

    assert "billing" not in [each.get("client") for each in operator.run("clients", "ending")["ending"]]


def test_what_was_not_used_for_long_is_stale_and_what_is_young_is_not(operator: Operator, billing: Machine) -> None:
    with time_machine.travel(now() + 100 * DAY, tick=False):
        new = rotated(operator, billing, "--overlap", "0")
        assert send(new) == 200
        operator.register("young", "--scope", "read:logs")

        found = operator.run("clients", "stale", "--within", "90d")

    stale = [client for client, _ in names(found, "clients")]
    assert "demo-partner" in stale  # never used
    assert not {"billing", "young"} & set(stale)
    assert names(found, "secrets") == []


def test_an_unused_secret_of_a_client_in_use_is_stale(operator: Operator, billing: Machine) -> None:
    operator.run("clients", "rotate-secret", "billing", "--overlap", "7d", "--name", "spare")
    operator.run("clients", "update-secret", "billing", "secret-1", "--not-after", "never")
    operator.run("clients", "disable", "demo-brief")
    with time_machine.travel(now() + 100 * DAY, tick=False):
        assert send(billing) == 200

        found = operator.run("clients", "stale")
        shown = operator.app.test_cli_runner().invoke(args=["clients", "stale"]).stdout

    assert names(found, "secrets") == [("billing", "spare")]
    assert "`flask clients revoke-secret billing spare`" in shown
    assert "`flask clients disable demo-partner`" in shown
    assert "`flask clients delete demo-brief`" in shown


def test_a_client_that_got_tokens_with_a_secret_that_is_removed_is_not_stale(
    operator: Operator, billing: Machine
) -> None:
    with time_machine.travel(now() + 100 * DAY, tick=False):
        assert send(billing) == 200
        with operator.app.app_context():
            trail.current_batch().write()
            client = db.session.scalars(select(ClientRow).where(ClientRow.name == "billing")).one()
            client.secrets.clear()
            db.session.commit()

        stale = [client for client, _ in names(operator.run("clients", "stale"), "clients")]

    assert "billing" not in stale
    assert "demo-partner" in stale
