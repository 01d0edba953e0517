"""The standby key, which is always published, and the dates that `flask keys plan` shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from cryptography.fernet import Fernet
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import delete, update

from app.clock import now
from app.keys.signing_key import AT_ONCE, LEAD_SECONDS, LINGER_SECONDS, NEVER, SigningKey
from app.storage.database import db, transaction
from app.upkeep import round  # noqa: A004, as in app/
from tests.conftest import SECRET_KEY, Machine, Operator, demo, kid_of

DAY = 86_400


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """SQLite: on both databases `test_keys.py` has the life of a key, and `test_upkeep_rounds.py` thirty days."""
    return prepared("sqlite")


def states(app: Flask) -> dict[str, str]:
    """The kid of the key in each state that is not withdrawn; there must be one of each at most."""
    keys = [key for key in Operator(app).run("keys", "list")["keys"] if key["withdrawn_at"] is None]
    found = {key["state"]: key["kid"] for key in keys}
    assert len(found) == len(keys), keys
    return found


def jwks(app: Flask) -> KeySet:
    return KeySet.import_key_set(app.test_client().get("/.well-known/jwks.json").json)


def run_round(app: Flask) -> dict[str, object]:
    with app.app_context():
        return round.run()


def remove_standby(app: Flask) -> None:
    """As the previous release leaves the table."""
    with app.app_context(), transaction():
        db.session.execute(delete(SigningKey).where(SigningKey.signs_from == NEVER))


def test_a_cache_from_before_a_withdrawal_has_the_key_of_the_next_tokens(admin: Machine) -> None:
    cached, leaked, standby = jwks(admin.app), kid_of(admin.token()), states(admin.app)["standby"]

    Operator(admin.app).run("keys", "withdraw", leaked)
    token = admin.token()

    assert kid_of(token) == standby
    assert jwt.decode(token, cached, algorithms=["RS256"]).claims["client_id"] == "demo-admin"


def test_the_commands_say_which_caches_have_the_key(operator: Operator) -> None:
    def say(*command: str) -> str:
        return operator.app.test_cli_runner().invoke(args=["keys", *command]).stdout

    with time_machine.travel(now() + LEAD_SECONDS, tick=False):
        first = say("withdraw", states(operator.app)["active"])
        second = say("withdraw", states(operator.app)["active"])

    assert "every cache of the JWKS has it" in first
    assert "may not have it for up to 300 seconds" in second


def test_a_cache_from_before_an_emergency_rotation_has_the_key_of_the_next_tokens(admin: Machine) -> None:
    cached = jwks(admin.app)

    Operator(admin.app).run("keys", "rotate", "--now")

    assert jwt.decode(admin.token(), cached, algorithms=["RS256"]).claims["client_id"] == "demo-admin"


def test_a_cache_from_before_a_rotation_has_the_key_of_the_next_tokens(admin: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        cached = jwks(admin.app)
        Operator(admin.app).run("keys", "rotate")
        clock.shift(LEAD_SECONDS)

        jwt.decode(admin.token(), cached, algorithms=["RS256"])


def test_the_next_key_signs_if_the_active_one_is_withdrawn_during_a_rotation(admin: Machine) -> None:
    operator = Operator(admin.app)
    leaked, waiting = kid_of(admin.token()), operator.run("keys", "rotate")["kid"]
    standby = states(admin.app)["standby"]

    operator.run("keys", "withdraw", leaked)

    assert kid_of(admin.token()) == waiting
    assert states(admin.app)["standby"] == standby


def test_a_standby_that_is_withdrawn_is_replaced_and_the_active_key_goes_on(admin: Machine) -> None:
    before = states(admin.app)

    Operator(admin.app).run("keys", "withdraw", before["standby"])

    after = states(admin.app)
    assert kid_of(admin.token()) == after["active"] == before["active"]
    assert after["standby"] not in before.values()


@pytest.mark.parametrize("by", ["prepare", "a round"])
def test_a_database_of_the_previous_release_gets_a_standby(app: Flask, by: str) -> None:
    remove_standby(app)

    outputs = [
        app.test_cli_runner().invoke(args=["prepare"]).stdout if by == "prepare" else str(run_round(app)["standby"])
        for _ in range(2)
    ]

    standby = states(app)["standby"]
    assert [standby in output for output in outputs] == [True, False]


def test_without_a_standby_a_rotation_and_a_withdrawal_still_work_and_publish_one(admin: Machine) -> None:
    remove_standby(admin.app)
    first = kid_of(admin.token())
    Operator(admin.app).run("keys", "rotate", "--now")
    assert states(admin.app).keys() == {"active", "standby", "retired"}

    remove_standby(admin.app)
    Operator(admin.app).run("keys", "withdraw", kid_of(admin.token()))

    assert states(admin.app)["retired"] == first
    assert kid_of(admin.token()) == states(admin.app)["active"]


def test_a_process_with_another_secret_key_publishes_no_standby(app: Flask, new_app: Callable[..., Flask]) -> None:
    remove_standby(app)
    stranger = new_app(secret_keys=Fernet.generate_key().decode())

    assert run_round(stranger)["standby"] is None
    assert states(app).keys() == {"active"}


def test_while_secret_keys_are_changed_every_server_decrypts_a_key_that_another_has_created(
    app: Flask, new_app: Callable[..., Flask]
) -> None:
    ahead = new_app(secret_keys=f"{Fernet.generate_key().decode()},{SECRET_KEY}")

    Operator(ahead).run("keys", "rotate", "--now")
    Operator(ahead).run("keys", "withdraw", states(ahead)["active"])  # so that a key of this server signs

    assert demo(app, "demo-admin").request_token().status_code == 200
    assert states(app).keys() >= {"active", "standby"}


def make_old(app: Flask, days: int, *, at_once: bool) -> None:
    """Let the active key have signed for so many days, as an older release wrote it or as this one does."""
    begin = now() - days * DAY
    active = SigningKey.signs_from != NEVER
    with app.app_context(), transaction():
        values = {"published_at": begin, "signs_from": AT_ONCE if at_once else begin}
        db.session.execute(update(SigningKey).where(active).values(values))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(("days", "limit", "is_rotated"), [(8, 7, True), (6, 7, False), (4_000, 0, False)])
def test_a_key_is_rotated_once_it_is_as_old_as_the_setting_says(
    new_app: Callable[..., Flask], days: int, limit: int, is_rotated: bool, at_once: bool
) -> None:
    app = new_app(key_rotation_days=limit)
    make_old(app, days, at_once=at_once)
    standby = states(app)["standby"]

    reports = [run_round(app) for _ in range(2)]

    assert [report["rotated"] for report in reports] == [standby if is_rotated else None, None]
    assert ("next" in states(app)) is is_rotated


def test_a_key_that_signs_since_a_withdrawal_is_as_old_as_that(new_app: Callable[..., Flask]) -> None:
    app = new_app(key_rotation_days=7)
    with app.app_context(), transaction():
        db.session.execute(update(SigningKey).values(published_at=SigningKey.published_at - 30 * DAY))
    Operator(app).run("keys", "withdraw", states(app)["active"])

    assert run_round(app)["rotated"] is None


def test_the_plan_shows_the_next_rotation_and_what_it_does(new_app: Callable[..., Flask]) -> None:
    app = new_app(key_rotation_days=7)
    kids = states(app)
    make_old(app, 5, at_once=False)

    plan = Operator(app).run("keys", "plan")
    lines = app.test_cli_runner().invoke(args=["keys", "plan"]).stdout.splitlines()

    due = plan["next_rotation"]
    assert due - now() == pytest.approx(2 * DAY, abs=60)
    assert plan["dates"] == [
        {"at": due, "kid": kids["active"], "what": "is old enough: the upkeep rotates"},
        {"at": due, "kid": None, "what": "a new key is in the JWKS: the standby"},
        {"at": due + LEAD_SECONDS, "kid": kids["standby"], "what": "begins to sign"},
        {"at": due + LEAD_SECONDS, "kid": kids["active"], "what": "stops signing: retired"},
        {"at": due + LEAD_SECONDS + LINGER_SECONDS, "kid": kids["active"], "what": "leaves the JWKS: gone"},
    ]
    assert (plan["rotation_days"], plan["upkeep"], len(lines)) == (7, "on", 5)


def test_what_the_plan_shows_comes_true(new_app: Callable[..., Flask]) -> None:
    app = new_app(key_rotation_days=7)
    with time_machine.travel(now(), tick=False) as clock:
        make_old(app, 8, at_once=False)
        old = states(app)["active"]
        run_round(app)
        dates = {each["what"].split(":")[0]: each for each in Operator(app).run("keys", "plan")["dates"]}

        clock.move_to(dates["begins to sign"]["at"])
        assert states(app)["active"] == dates["begins to sign"]["kid"]
        clock.move_to(dates["leaves the JWKS"]["at"])
        assert states(app)["gone"] == dates["leaves the JWKS"]["kid"] == old


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"key_rotation_days": 0}, "KEYTURN_KEY_ROTATION_DAYS is 0: `flask keys rotate` rotates."),
        ({"upkeep": "off"}, "KEYTURN_UPKEEP is off: `flask cleanup` rotates a key that is old enough"),
    ],
)
def test_the_plan_says_if_nothing_rotates_by_itself(
    new_app: Callable[..., Flask], settings: dict[str, object], words: str
) -> None:
    app = new_app(**settings)

    assert words in app.test_cli_runner().invoke(args=["keys", "plan"]).stdout
