"""Signing keys and their publication (RFC 7517, RFC 7638): the life of a key, step by step."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import time_machine
from cryptography.fernet import Fernet
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from app.clock import now
from app.keys import key_rows, keystore, rotation
from app.keys.keystore import current_keystore
from app.keys.signing_key import JWKS_MAX_AGE_SECONDS, LEAD_SECONDS, LINGER_SECONDS, READ_SECONDS, SigningKey
from app.storage.database import db, transaction
from tests.conftest import SECRET_KEY, Machine, Operator, build_app, close, demo, kid_of
from tests.support import forging

DAY = 86_400


def jwks(app: Flask) -> list[dict[str, str]]:
    return list(app.test_client().get("/.well-known/jwks.json").json["keys"])


def key_in_state(operator: Operator, state: str) -> str:
    (kid,) = [key["kid"] for key in operator.run("keys", "list")["keys"] if key["state"] == state]
    return str(kid)


@pytest.fixture(params=["RS256", "ES256"])
def rotated(request: pytest.FixtureRequest, new_app: Callable[..., Flask]) -> Flask:
    """An app that signs with a key of each algorithm."""
    app = new_app(signing_alg=request.param)
    Operator(app).run("keys", "rotate", "--now")
    return app


def test_R072_R073_R075_the_jwks_shows_public_members_and_nothing_else(rotated: Flask) -> None:
    response = rotated.test_client().get("/.well-known/jwks.json")

    assert response.mimetype == "application/json"
    assert response.json.keys() == {"keys"}
    for key in response.json["keys"]:
        members = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}}[key["kty"]]
        assert key.keys() == members | {"kty", "kid", "use", "alg"}
        assert key["use"] == "sig"
        assert key["alg"] == {"RSA": "RS256", "EC": "ES256"}[key["kty"]]
        if key["kty"] == "RSA":
            assert len(base64.urlsafe_b64decode(key["n"] + "==")) * 8 >= 2_048


def test_R074_a_kid_is_the_thumbprint_of_its_key(rotated: Flask) -> None:
    for key in jwks(rotated):
        required = {name: key[name] for name in {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}[key["kty"]]}
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
        thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()

        assert key["kid"] == thumbprint

    assert len({key["kid"] for key in jwks(rotated)}) == len(jwks(rotated))


def test_R076_the_jwks_may_be_cached_and_revalidated_by_etag(app: Flask) -> None:
    first = app.test_client().get("/.well-known/jwks.json")
    again = app.test_client().get("/.well-known/jwks.json", headers={"If-None-Match": first.headers["ETag"]})

    assert f"max-age={JWKS_MAX_AGE_SECONDS}" in first.headers["Cache-Control"]
    assert (again.status_code, again.data) == (304, b"")
    Operator(app).run("keys", "rotate")
    changed = app.test_client().get("/.well-known/jwks.json", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_R076_R077_a_rotation_takes_effect_on_every_worker_in_the_same_second(
    admin: Machine, new_app: Callable[..., Flask]
) -> None:
    workers = [admin, demo(new_app(), "demo-admin")]
    with time_machine.travel(now(), tick=False) as clock:
        old_token = admin.token(scope="read:logs")
        old = kid_of(old_token)
        new = Operator(admin.app).run("keys", "rotate")["kid"]
        standby = key_in_state(Operator(admin.app), "standby")
        clock.shift(READ_SECONDS)  # by now every worker has published it
        for worker in workers:
            assert [key["kid"] for key in jwks(worker.app)] == [old, new, standby]
        clock.shift(LEAD_SECONDS - READ_SECONDS - 1)
        assert [kid_of(worker.token()) for worker in workers] == [old, old]
        clock.shift(1)
        last_old_second = now()
        assert [kid_of(worker.token()) for worker in workers] == [new, new]
        for worker in workers:
            assert worker.get("/admin/logs", old_token).status_code == 200

        clock.move_to(last_old_second + LINGER_SECONDS - 1)
        assert old in {key["kid"] for key in jwks(admin.app)}
        clock.shift(1)
        assert [key["kid"] for key in jwks(admin.app)] == [new, standby]


def test_R076_a_token_of_the_longest_life_outlives_its_keys_retirement(operator: Operator) -> None:
    machine = operator.register("nightly", "--scope", "read:logs", "--lifetime", str(DAY))
    with time_machine.travel(now(), tick=False) as clock:
        operator.run("keys", "rotate")
        clock.shift(LEAD_SECONDS - 1)
        token = machine.token()
        clock.shift(DAY - 1)
        assert machine.get("/admin/logs", token).status_code == 200


def test_rotate_now_signs_at_once_and_other_workers_read_the_key_when_they_meet_it(
    admin: Machine, new_app: Callable[..., Flask]
) -> None:
    other = demo(new_app(), "demo-admin")
    with time_machine.travel(now(), tick=False) as clock:
        old_token = other.token()
        new = Operator(admin.app).run("keys", "rotate", "--now")["kid"]
        token = admin.token()
        clock.shift(1)

        assert kid_of(token) == new
        assert other.get("/admin/logs", token).status_code == 200
        assert admin.get("/admin/logs", old_token).status_code == 200


def test_a_second_rotation_waits_for_the_first_unless_it_is_an_emergency(operator: Operator) -> None:
    waiting = operator.run("keys", "rotate")["kid"]

    assert waiting in operator.is_refused("keys", "rotate")
    at_once = operator.run("keys", "rotate", "--now")

    assert (at_once["kid"], at_once["state"]) == (waiting, "active")


def test_a_withdrawn_key_is_refused_by_every_worker_at_once_and_leaves_the_jwks(
    admin: Machine, new_app: Callable[..., Flask]
) -> None:
    other = demo(new_app(), "demo-admin")
    with time_machine.travel(now(), tick=False) as clock:
        tokens = [admin.token(), other.token()]
        leaked = kid_of(tokens[0])
        for worker in (admin, other):
            assert [worker.get("/admin/logs", token).status_code for token in tokens] == [200, 200]

        Operator(admin.app).run("keys", "withdraw", leaked)

        for worker in (admin, other):  # in the same second
            assert [worker.get("/admin/logs", token).status_code for token in tokens] == [401, 401]
            assert kid_of(worker.token()) != leaked
            assert worker.get("/admin/logs", worker.token()).status_code == 200
        clock.shift(READ_SECONDS)
        for worker in (admin, other):
            assert leaked not in {key["kid"] for key in jwks(worker.app)}


def test_no_token_is_dead_on_arrival_after_an_order(admin: Machine, new_app: Callable[..., Flask]) -> None:
    other = demo(new_app(), "demo-admin")
    with time_machine.travel(now(), tick=False):
        for order in (["rotate", "--now"], ["withdraw", "KID"]):
            old = kid_of(other.token())
            new = Operator(admin.app).run("keys", *[old if word == "KID" else word for word in order])["kid"]
            assert kid_of(other.token()) == new


def test_R095_a_token_of_the_new_key_is_revoked_in_the_second_of_an_emergency_rotation(
    admin: Machine, new_app: Callable[..., Flask]
) -> None:
    other = demo(new_app(), "demo-admin")
    with time_machine.travel(now(), tick=False):
        other.get("/admin/logs", "x.y.z")  # it has just looked for an unknown key
        other.token()
        Operator(admin.app).run("keys", "rotate", "--now")
        token = admin.token()

        assert other.revoke(token).status_code == 200

        assert admin.get("/admin/logs", token).status_code == 401


@pytest.mark.parametrize("seconds", [-3_600, 3_600])
def test_a_key_that_was_withdrawn_by_a_wrong_clock_is_withdrawn_and_one_key_signs(
    admin: Machine, new_app: Callable[..., Flask], seconds: int
) -> None:
    other = demo(new_app(), "demo-admin")
    leaked = other.token()
    Operator(admin.app).run("keys", "rotate")
    with time_machine.travel(now() + seconds, tick=False):
        Operator(admin.app).run("keys", "withdraw", kid_of(leaked))

    assert other.get("/admin/logs", leaked).status_code == 401
    assert kid_of(other.token()) != kid_of(leaked)
    with time_machine.travel(now() + 7_200, tick=False):
        assert kid_of(other.token()) != kid_of(leaked)


def test_a_key_that_is_gone_by_its_plan_can_be_withdrawn_so_that_no_clock_revives_it(
    operator: Operator, admin: Machine
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = admin.token()
        operator.run("keys", "rotate", "--now")
        clock.shift(LINGER_SECONDS)
        operator.run("keys", "withdraw", kid_of(token))
        clock.shift(-LINGER_SECONDS)

        assert admin.get("/inventory", token).status_code == 401


def test_the_list_shows_which_key_was_withdrawn(operator: Operator) -> None:
    kid = key_in_state(operator, "active")
    operator.run("keys", "withdraw", kid)

    lines = operator.app.test_cli_runner().invoke(args=["keys", "list"]).stdout.splitlines()

    assert [line.split()[2] for line in lines] == ["standby", "active", "withdrawn"]
    assert lines[2].startswith(kid)


def test_keys_that_cannot_be_read_are_tried_again_once_in_a_while_and_not_for_every_request(
    admin: Machine, new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    other = demo(new_app(), "demo-admin")
    other.token()
    Operator(admin.app).run("keys", "rotate")
    with admin.app.app_context(), transaction():
        db.session.execute(text("ALTER TABLE signing_keys RENAME TO away"))
    with time_machine.travel(now(), tick=False):
        for _ in range(5):
            assert other.request_token().status_code == 200

    assert caplog.text.count("the signing keys cannot be read") == 1


def test_an_unknown_kid_is_looked_for_once_a_second_and_no_more(
    admin: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    real = keystore.Keystore._read
    monkeypatch.setattr(keystore.Keystore, "_read", lambda self: (reads.append(now()), real(self)))
    token = forging.with_our_key(admin.app, forging.claims(), kid="unknown")
    with time_machine.travel(now(), tick=False) as clock:
        reads.clear()
        current_keystore.of(admin.app).forget()
        for _ in range(20):
            assert admin.get("/admin/logs", token).status_code == 401
        clock.shift(1)
        for _ in range(20):
            assert admin.get("/admin/logs", token).status_code == 401

    assert len(reads) == 2


def test_the_second_of_a_rotation_may_turn_while_the_keys_are_looked_at(
    admin: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    Operator(admin.app).run("keys", "rotate")
    with admin.app.app_context(), time_machine.travel(now(), tick=False):
        keystore.current_keystore().rows()
        moments = count(now() + LEAD_SECONDS - 2)
        monkeypatch.setattr(keystore, "now", lambda: next(moments))
        monkeypatch.setattr(keystore.Keystore, "_read", lambda _: None)
        for _ in range(4):
            assert keystore.signer().alg == "RS256"
            assert keystore.published()


def test_keys_rotated_at_once_by_several_operators_leave_one_next_key(new_app: Callable[..., Flask]) -> None:
    def rotate(app: Flask) -> bool:
        with app.app_context(), contextlib.suppress(rotation.RotationError):
            return bool(rotation.rotate())
        return False

    apps = [new_app(signing_alg="ES256") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(rotate, apps)) == [False, False, False, True]

    states = [key["state"] for key in Operator(apps[0]).run("keys", "list")["keys"]]
    assert sorted(states) == ["active", "gone", "next", "standby"]  # gone: the standby of the algorithm before


def test_a_lost_secret_key_does_not_block_prepare_for_ever(new_app: Callable[..., Flask]) -> None:
    app = new_app(secret_keys=Fernet.generate_key().decode(), env="production", issuer="https://auth.example")
    operator = Operator(app)

    assert "KEYTURN_SECRET_KEYS" in operator.is_refused("keys", "rotate")
    lost = key_in_state(operator, "active")
    assert "--lost-secret-key" in app.test_cli_runner().invoke(args=["prepare"]).stdout
    operator.run("keys", "rotate", "--now", "--lost-secret-key")

    # It is retired, and still nothing can decrypt it; nothing needs to.
    assert "lost" not in app.test_cli_runner().invoke(args=["prepare"]).stdout
    operator.run("keys", "withdraw", lost)
    with app.test_request_context():
        assert keystore.signer().kid != lost


@pytest.mark.parametrize("command", [["rotate"], ["rotate", "--now"], ["withdraw", "KID"]])
def test_with_another_secret_key_than_the_servers_no_command_takes_their_signing_key_away(
    admin: Machine, new_app: Callable[..., Flask], command: list[str]
) -> None:
    active, before = kid_of(admin.token()), Operator(admin.app).run("keys", "list")
    stranger = Operator(new_app(secret_keys=Fernet.generate_key().decode()))

    output = stranger.is_refused("keys", *[active if word == "KID" else word for word in command])

    assert "the servers use another" in output
    assert ("--lost-secret-key" in output) == (command != ["rotate"])
    assert "Traceback" not in output
    assert stranger.run("keys", "list") == before
    assert kid_of(admin.token()) == active


def test_a_leaked_key_that_nothing_opens_is_withdrawn_if_the_operator_says_that_it_is_lost(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(secret_keys=Fernet.generate_key().decode())
    operator = Operator(app)
    leaked = key_in_state(operator, "active")

    operator.run("keys", "withdraw", leaked, "--lost-secret-key")

    assert kid_of(demo(app, "demo-admin").token()) != leaked


@pytest.mark.parametrize("command", [["rotate", "--now"], ["withdraw", "KID"]])
def test_a_waiting_key_that_nothing_opens_is_not_chosen_to_sign(
    new_app: Callable[..., Flask], command: list[str]
) -> None:
    waiting = Operator(new_app()).run("keys", "rotate")["kid"]
    app = new_app(secret_keys=Fernet.generate_key().decode())
    active, standby = key_in_state(Operator(app), "active"), key_in_state(Operator(app), "standby")

    words = [active if word == "KID" else word for word in command]
    Operator(app).run("keys", *words, "--lost-secret-key")

    assert kid_of(demo(app, "demo-admin").token()) not in (active, waiting, standby)


def test_a_retired_key_is_withdrawn_without_any_secret_key(admin: Machine, new_app: Callable[..., Flask]) -> None:
    token = admin.token()
    Operator(admin.app).run("keys", "rotate", "--now")

    Operator(new_app(secret_keys=Fernet.generate_key().decode())).run("keys", "withdraw", kid_of(token))

    assert admin.get("/inventory", token).status_code == 401
    assert admin.request_token().status_code == 200


def test_while_one_thread_reads_the_keys_the_others_use_the_ones_they_have(admin: Machine) -> None:
    token = admin.token()
    known = current_keystore.of(admin.app)
    with time_machine.travel(now() + READ_SECONDS, tick=False), known._lock, ThreadPoolExecutor(1) as pool:
        assert pool.submit(admin.get, "/inventory", token).result(timeout=30).status_code == 200


def test_withdrawing_a_key_that_is_not_there_is_refused(operator: Operator) -> None:
    assert "no key has this kid" in operator.is_refused("keys", "withdraw", "nonsense")


def test_withdrawing_a_key_again_changes_nothing(operator: Operator) -> None:
    kid = key_in_state(operator, "active")
    assert operator.run("keys", "withdraw", kid)["changed"] is True
    before = operator.run("keys", "list")

    again = operator.run("keys", "withdraw", kid)

    assert (again["changed"], again["state"]) == (False, "active")
    assert operator.run("keys", "list") == before


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["rotate", "now", "withdraw"]), st.integers(0, 2), st.integers(0, 200_000)),
        max_size=6,
    )
)
def test_exactly_one_key_signs_whatever_the_operator_does(
    prepared: Callable[[str], str], steps: list[tuple[str, int, int]]
) -> None:
    app = build_app(database_url=prepared("sqlite"), signing_alg="ES256")
    with time_machine.travel(now(), tick=False) as clock, app.app_context():
        for step, which, seconds in steps:
            try:
                if step == "withdraw":
                    kids = [key.kid for key in key_rows.all_keys() if key.state(now()) != "gone"]
                    rotation.withdraw(kids[which % len(kids)])
                else:
                    rotation.rotate(at_once=step == "now")
            except rotation.RotationError:
                assert step == "rotate"
            begin = now()
            for later in (-DAY // 2, -60, 0, 1, LEAD_SECONDS - 1, LEAD_SECONDS, LINGER_SECONDS, 3 * LINGER_SECONDS):
                clock.move_to(begin + later)
                states = [key.state(now()) for key in key_rows.all_keys()]
                assert (states.count("active"), states.count("standby")) == (1, 1)
            clock.move_to(begin + seconds)
    close(app)


def test_private_keys_are_encrypted_at_rest(app: Flask) -> None:
    with app.app_context():
        both = db.session.scalars(select(SigningKey.private_pem)).all()

    assert len(both) == 2  # the active one and the standby
    for sealed in both:
        assert "PRIVATE" not in sealed
        assert b"PRIVATE KEY" in Fernet(SECRET_KEY).decrypt(sealed)


def test_the_secret_keys_can_be_changed_without_losing_the_signing_key(new_app: Callable[..., Flask]) -> None:
    newer = Fernet.generate_key().decode()
    with_both = new_app(secret_keys=f"{newer},{SECRET_KEY}")
    before = jwks(with_both)

    prepared = with_both.test_cli_runner().invoke(args=["prepare"])
    with_newer = new_app(secret_keys=newer)

    assert "re-encrypted" in prepared.stdout
    assert demo(with_newer, "demo-admin").request_token().status_code == 200
    assert jwks(with_newer) == before
    assert "re-encrypted" not in with_both.test_cli_runner().invoke(args=["prepare"]).stdout


def test_without_the_right_secret_key_nothing_is_signed_and_checking_goes_on(
    admin: Machine, new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(secret_keys=Fernet.generate_key().decode())

    response = demo(app, "demo-admin").request_token()

    assert (response.status_code, response.json["error"]) == (503, "temporarily_unavailable")
    assert "KEYTURN_SECRET_KEYS" in caplog.text
    assert admin.get("/admin/logs", admin.token()).status_code == 200


def test_a_change_of_algorithm_takes_effect_at_the_next_rotation(new_app: Callable[..., Flask]) -> None:
    app = new_app(signing_alg="ES256")

    prepared = app.test_cli_runner().invoke(args=["prepare"]).stdout
    before = Operator(app).run("keys", "list")["keys"]
    after = Operator(app).run("keys", "rotate")

    assert "it takes effect at `flask keys rotate`" in prepared
    assert [key["alg"] for key in before] == ["RS256", "RS256"]
    assert after["alg"] == "ES256"
    published = {key["state"]: key["alg"] for key in Operator(app).run("keys", "list")["keys"]}
    assert published == {"active": "RS256", "next": "ES256", "gone": "RS256", "standby": "ES256"}
