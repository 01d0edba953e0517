"""Attacks with forged tokens: refused by the routes, inactive at introspection, 200 at revocation.

Each token is sent to all three. A valid one is accepted by all three first, so that a refusal means something.
"""

from __future__ import annotations

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.audit.event import AuditEvent
from app.clock import now
from app.storage.database import db
from app.tokens.stored_token import IssuedToken
from tests.conftest import ISSUER, demo
from tests.support import forging

SHIPMENTS = "http://127.0.0.1:8001"
AUDIENCES = [ISSUER, SHIPMENTS]  # a token for both: the guarded routes and the API that introspects would accept it


def shown_everywhere(app: Flask, token: str) -> tuple[int, object, int]:
    """The responses of a guarded route, introspection and revocation."""
    admin, api = demo(app, "demo-admin"), demo(app, "demo-shipments")
    guarded = admin.get("/admin/logs", token)
    introspection, revoked = api.introspect(token), admin.revoke(token)
    if guarded.status_code == 401:
        assert guarded.json["error"] == "invalid_token"
        assert guarded.headers["WWW-Authenticate"].startswith('Bearer realm="keyturn", error="invalid_token"')
    assert introspection.status_code == 200
    return (
        guarded.status_code,
        introspection.json if introspection.json == {"active": False} else introspection.json["active"],
        revoked.status_code,
    )


def assert_refused_everywhere(app: Flask, token: str) -> None:
    """Refused, inactive, and 200 with no effect: anyone who forges a token changes nothing."""
    before = revoked(app)

    assert shown_everywhere(app, token) == (401, {"active": False}, 200)

    assert revoked(app) == before


def revoked(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(select(AuditEvent.reason).where(AuditEvent.event == "token_revoked")))


def test_a_good_token_is_accepted_everywhere_until_it_is_revoked(app: Flask) -> None:
    token = forging.with_our_key(app, forging.claims(aud=AUDIENCES))

    assert shown_everywhere(app, token) == (200, True, 200)
    assert_refused_everywhere(app, token)


@pytest.mark.parametrize("token", ["x", "..", "a.b.c", "kta_", "kta_x", "kta_" + "x" * 43, "eyJ.e30.e30", "é", "\x00"])
def test_R069_R088_R094_attack_garbage(app: Flask, token: str) -> None:
    assert_refused_everywhere(app, token)


@pytest.mark.parametrize("name", ["demo-partner", "demo-opaque"])
def test_R069_R088_R094_attack_half_a_token(app: Flask, name: str) -> None:
    token = demo(app, name).token(scope="shipments:read")

    for half in (token[: len(token) // 2], token[:-1], token + "A", token[len(token) // 2 :]):
        assert_refused_everywhere(app, half)


def test_R069_R088_R094_attack_another_servers_token_with_our_kid(app: Flask) -> None:
    assert_refused_everywhere(app, forging.with_a_foreign_key(app, forging.claims(aud=AUDIENCES)))


def test_R069_R088_R094_attack_another_issuers_token_with_our_key(app: Flask) -> None:
    assert_refused_everywhere(app, forging.with_our_key(app, forging.claims(aud=AUDIENCES, iss="https://evil.example")))


def test_R069_R088_R094_attack_alg_none(app: Flask) -> None:
    assert_refused_everywhere(app, forging.unsigned(app, forging.claims(aud=AUDIENCES)))


def test_R069_R088_R094_attack_public_key_as_hmac_secret(app: Flask) -> None:
    assert_refused_everywhere(app, forging.with_the_public_key_as_secret(app, forging.claims(aud=AUDIENCES)))


@pytest.mark.parametrize("typ", ["JWT", "", 5, forging.LEFT_OUT])
def test_R069_R088_R094_attack_a_jwt_that_is_no_access_token(app: Flask, typ: object) -> None:
    assert_refused_everywhere(app, forging.with_our_key(app, forging.claims(aud=AUDIENCES), typ=typ))


@pytest.mark.parametrize("expiry", ["soon", str(2**40), None, True, [], forging.LEFT_OUT])
def test_R069_R088_R094_attack_expiry_as_text(app: Flask, expiry: object) -> None:
    assert_refused_everywhere(app, forging.with_our_key(app, forging.claims(aud=AUDIENCES, exp=expiry)))


@pytest.mark.parametrize("name", ["demo-partner", "demo-opaque"])
def test_R069_R088_R094_attack_a_token_a_second_past_its_life(app: Flask, name: str) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = demo(app, name).token(scope="shipments:read")
        api = demo(app, "demo-shipments")
        clock.shift(3_599)
        assert api.introspect(token).json["active"] is True
        clock.shift(1)
        assert api.introspect(token).json == {"active": False}
        assert demo(app, "demo-admin").get("/admin/logs", token).status_code == 401
        assert demo(app, name).revoke(token).status_code == 200


@pytest.mark.parametrize("start", ["", "kta_", "eyJ"])
def test_R069_R088_R094_attack_ten_thousand_bytes(app: Flask, start: str) -> None:
    assert_refused_everywhere(app, start + "A" * 10_000)


@pytest.mark.parametrize("name", ["jti", "client_id"])
@pytest.mark.parametrize("value", [5, None, {}, "a\x00b", "\ud800", "a\nb"])
def test_R069_R088_R094_attack_a_name_that_the_database_would_choke_on(app: Flask, name: str, value: object) -> None:
    assert_refused_everywhere(app, forging.with_our_key(app, forging.claims(aud=AUDIENCES, **{name: value})))


def test_R069_R088_R094_attack_a_token_of_a_client_that_was_never_there(app: Flask) -> None:
    token = forging.with_our_key(app, forging.claims(aud=AUDIENCES, sub="nobody", client_id="nobody"))

    assert shown_everywhere(app, token) == (401, {"active": False}, 400)  # it is ours, and belongs to no client


@pytest.mark.parametrize("expiry", [2**40, 2**53, 1e300, 10**400])
def test_R069_R088_attack_a_token_that_lives_for_ever(app: Flask, expiry: float) -> None:
    token = forging.with_our_key(app, forging.claims(aud=AUDIENCES, exp=expiry))

    assert demo(app, "demo-admin").get("/admin/logs", token).status_code == 401
    assert demo(app, "demo-shipments").introspect(token).json == {"active": False}
    assert demo(app, "demo-admin").revoke(token).status_code == 200


def test_R089_a_token_that_is_not_valid_yet_is_inactive(app: Flask) -> None:
    token = forging.with_our_key(app, forging.claims(aud=AUDIENCES, nbf=now() + 3_000))

    assert demo(app, "demo-admin").get("/admin/logs", token).status_code == 401
    assert demo(app, "demo-shipments").introspect(token).json == {"active": False}


def test_a_stolen_table_of_opaque_tokens_opens_nothing(app: Flask) -> None:
    demo(app, "demo-opaque").token()
    with app.app_context():
        digest = db.session.scalars(select(IssuedToken.digest)).one()

    for stolen in (digest.hex(), "kta_" + forging.base64url(digest)):
        assert_refused_everywhere(app, stolen)
