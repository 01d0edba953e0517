"""`flask tokens revoke --jti`: one token is revoked by its id alone, of either format."""

from __future__ import annotations

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

import config
from app.clients.secret import digest
from app.clock import LEEWAY_SECONDS, now
from app.operations.command_group import moment
from app.storage.database import db, transaction
from app.tokens import stored_token
from app.tokens.stored_token import REVOKED_SECONDS, IssuedToken, RevokedToken
from tests.conftest import Machine, Operator, demo
from tests.test_who_and_where import jti_of

DAY = 86_400
UNKNOWN_JTI = "k" * 24


@pytest.fixture
def api(operator: Operator) -> Machine:
    return operator.register("api", "--resource-server", "http://127.0.0.1:8000", "--no-grant")


def revocations(app: Flask) -> dict[str, int]:
    with app.app_context():
        return {row.jti: row.expires_at for row in db.session.scalars(select(RevokedToken))}


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_the_token_with_this_jti_is_refused_and_no_other(operator: Operator, api: Machine, kind: str) -> None:
    machine = operator.register("billing", "--scope", "read:logs", "--format", kind)
    token, other = machine.token(), machine.token()

    done = operator.run("tokens", "revoke", "--jti", jti_of(api, token))

    assert (done["result"], done["changed"], done["is_known"], done["client_id"]) == (
        *("revoked", True, True),
        machine.client_id,
    )
    assert machine.get("/admin/logs", token).status_code == 401
    assert api.introspect(token).json == {"active": False}
    assert machine.get("/admin/logs", other).status_code == 200


def test_what_is_known_of_the_token_is_said(operator: Operator, api: Machine) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    jti = jti_of(api, machine.token())

    shown = operator.app.test_cli_runner().invoke(args=["tokens", "revoke", "--jti", jti]).stdout

    assert f"It was issued to {machine.client_id} with secret-1, from 127.0.0.1 at 20" in shown


def test_an_opaque_token_of_an_earlier_release_is_revoked_by_its_jti(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs", "--format", "opaque")
    token = machine.token()
    old = stored_token.PREFIX + "o" * 43  # all secret, without the beginning that its jti has in common
    with operator.app.app_context(), transaction():
        renamed = update(IssuedToken).where(IssuedToken.digest == digest(token)).values(digest=digest(old))
        db.session.execute(renamed)
    assert machine.get("/admin/logs", old).status_code == 200

    assert (
        operator.run("tokens", "revoke", "--jti", stored_token.jti(old, digest(old)))["client_id"] == machine.client_id
    )

    assert machine.get("/admin/logs", old).status_code == 401


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_revoking_a_token_twice_changes_nothing(operator: Operator, api: Machine, kind: str) -> None:
    jti = jti_of(api, operator.register("billing", "--scope", "read:logs", "--format", kind).token())
    operator.run("tokens", "revoke", "--jti", jti)

    again = operator.run("tokens", "revoke", "--jti", jti)

    assert (again["result"], again["changed"]) == ("before", False)
    assert [each["reason"] for each in demo(operator.app, "demo-admin").events(event="tokens_revoked")] == [
        f"jti {jti}"
    ]


def test_a_jti_of_which_nothing_is_known_is_revoked_and_that_is_said(operator: Operator) -> None:
    done = operator.run("tokens", "revoke", "--jti", UNKNOWN_JTI)
    shown = operator.app.test_cli_runner().invoke(args=["tokens", "revoke", "--jti", "x" * 22]).stdout

    assert (done["result"], done["is_known"], done["client_id"]) == ("revoked", False, None)
    assert "Neither the database nor the audit trail knows a token with this jti" in shown
    assert set(revocations(operator.app)) == {UNKNOWN_JTI, "x" * 22}


def test_without_an_end_a_revocation_outlives_every_token_that_was_issued_until_then(operator: Operator) -> None:
    with time_machine.travel(now(), tick=False):
        operator.run("tokens", "revoke", "--jti", UNKNOWN_JTI)
        until = now() + config.MAX_ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS

    assert revocations(operator.app) == {UNKNOWN_JTI: until}
    with operator.app.app_context():
        for at, is_removed in ((until + REVOKED_SECONDS - 1, False), (until + REVOKED_SECONDS, True)):
            found = db.session.scalar(select(RevokedToken.jti).where(RevokedToken.is_of_no_use(at)))
            assert (found is not None) is is_removed


def test_an_end_that_is_known_is_stored_and_only_ever_moved_later(operator: Operator) -> None:
    with time_machine.travel(now(), tick=False):
        found = [
            operator.run("tokens", "revoke", "--jti", UNKNOWN_JTI, "--expires", end)["result"]
            for end in ("1h", "30m", "2h", "30d")
        ]
        longest = now() + config.MAX_ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS

    assert found == ["revoked", "before", "revoked", "revoked"]
    assert revocations(operator.app) == {UNKNOWN_JTI: longest}  # no token lives for 30 days


def test_a_token_that_no_clock_takes_for_valid_is_not_stored(operator: Operator) -> None:
    with time_machine.travel(now(), tick=False):
        ends = [moment(at) for at in (now() - DAY, now() - DAY + 1)]
        found = [operator.run("tokens", "revoke", "--jti", UNKNOWN_JTI, "--expires", end) for end in ends]

    assert [(each["result"], each["changed"]) for each in found] == [("expired", False), ("revoked", True)]


def test_what_is_no_jti_is_refused(operator: Operator) -> None:
    for text in ("", "short", "k" * 23, "k" * 25, "k" * 23 + "=", "ключ" * 6, "a.b" * 8, "k" * 23 + "\n"):
        assert "a jti is a claim of the token" in operator.is_refused("tokens", "revoke", "--jti", text)
    assert revocations(operator.app) == {}


@pytest.mark.parametrize("client", ["demo-partner", "demo-opaque"])
def test_a_token_in_place_of_its_jti_is_refused_and_not_repeated(operator: Operator, client: str) -> None:
    token = demo(operator.app, client).token()

    refusal = operator.is_refused("tokens", "revoke", "--jti", token)

    assert token not in refusal
    assert revocations(operator.app) == {}


def test_either_a_client_or_a_jti_is_named(operator: Operator) -> None:
    client, jti, expires = ("--client", "demo-admin"), ("--jti", UNKNOWN_JTI), ("--expires", "1h")

    for options in ((), (*client, *jti), (*client, *expires), expires):
        assert "Give either --client" in operator.is_refused("tokens", "revoke", *options, code=2)
