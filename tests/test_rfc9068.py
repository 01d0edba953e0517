"""Access tokens (RFC 9068): their claims, and which tokens the guard refuses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from flask import Flask
from joserfc import jwk, jwt
from joserfc.jwk import KeySet

from app.clients import registry
from app.clock import now
from app.storage.database import transaction
from app.tokens import jwt_check
from app.tokens.access_token import InvalidTokenError
from app.tokens.checking import check
from tests.conftest import ISSUER, Machine, Operator, kid_of
from tests.support import forging
from tests.support.forging import LEFT_OUT


def decoded(app: Flask, token: str) -> jwt.Token:
    """The token as another service reads it, with the keys of the JWKS."""
    keys = KeySet.import_key_set(app.test_client().get("/.well-known/jwks.json").json)
    return jwt.decode(token, keys)


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_R052_R063_R064_R065_R066_R067_R068_a_token_has_the_claims_of_the_profile(
    new_app: Callable[..., Flask], alg: str
) -> None:
    app = new_app(signing_alg=alg)
    if alg == "ES256":
        Operator(app).run("keys", "rotate", "--now")
    machine = Operator(app).register("billing", "--scope", "read:logs write:logs", "--lifetime", "60")
    with time_machine.travel(now(), tick=False):
        moment = now()
        response = machine.request_token().json

    token = decoded(app, response["access_token"])

    jti = token.claims.pop("jti")
    assert token.header == {"typ": "at+jwt", "alg": alg, "kid": token.header["kid"]}
    assert token.claims == {
        "iss": ISSUER,
        "sub": machine.client_id,
        "client_id": machine.client_id,
        "aud": ISSUER,
        "iat": moment,
        "exp": moment + 60,
        "scope": "read:logs write:logs",
    }
    assert isinstance(jti, str)
    assert len(jti) >= 22
    assert response["expires_in"] == 60
    assert machine.get("/admin/logs", response["access_token"]).status_code == 200


def test_R047_R049_the_audience_follows_from_the_scope(partner: Machine) -> None:
    audiences = {
        scope: decoded(partner.app, partner.token(scope=scope)).claims["aud"]
        for scope in ("inventory:read", "shipments:read")
    }

    assert audiences == {"inventory:read": ISSUER, "shipments:read": "http://127.0.0.1:8001"}


def test_R068_claims_of_a_client_are_in_its_tokens(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs", "--claim", "org_id=acme", "--claim", "plan=a=b")

    claims = decoded(machine.app, machine.token()).claims

    assert (claims["org_id"], claims["plan"]) == ("acme", "a=b")


def test_R014_R071_no_one_chooses_a_client_id(operator: Operator) -> None:
    ids = {operator.register(name, "--scope", "read:logs").client_id for name in ("alice", "bob")}

    assert all(re.fullmatch(r"ktc_[A-Za-z0-9_-]{22}", each) for each in ids)
    assert "ktc_alice" in operator.is_refused("clients", "show", "ktc_alice")
    assert "name" in operator.is_refused("clients", "create", "ktc_alice", "--scope", "read:logs")


ABSURD: dict[str, dict[str, Any]] = {
    "another-issuer": {"iss": "https://evil.example"},
    "issuer-with-a-slash": {"iss": ISSUER + "/"},
    "issuer-a-list": {"iss": [ISSUER]},
    "another-audience": {"aud": "https://other.example"},
    "audience-an-object": {"aud": {}},
    "audience-empty": {"aud": []},
    "audience-of-numbers": {"aud": [1]},
    "expired-this-second": {"exp": 0},
    "expiry-a-string": {"exp": "soon"},
    "expiry-true": {"exp": True},
    "expiry-not-a-number": {"exp": float("nan")},
    "expiry-endless": {"exp": float("inf")},
    "no-expiry": {"exp": LEFT_OUT},
    "no-jti": {"jti": LEFT_OUT},
    "no-client": {"client_id": LEFT_OUT},
    "client-a-number": {"client_id": 5},
    "no-subject": {"sub": LEFT_OUT},
    "no-issued-at": {"iat": LEFT_OUT},
    "issued-tomorrow": {"iat": 86_400},
    "not-before-tomorrow": {"nbf": 86_400},
    "scope-a-number": {"scope": 5},
    "scope-a-list": {"scope": ["read:logs"]},
    "scope-null": {"scope": None},
}
RELATIVE = {"exp", "iat", "nbf"}


@pytest.mark.parametrize("name", ABSURD)
def test_R069_a_token_of_ours_with_absurd_claims_is_refused(admin: Machine, name: str) -> None:
    changes = {
        claim: now() + value if claim in RELATIVE and type(value) is int else value
        for claim, value in ABSURD[name].items()
    }
    token = forging.with_our_key(admin.app, forging.claims(**changes))

    response = admin.get("/admin/logs", token)

    assert (response.status_code, response.json["error"]) == (401, "invalid_token")


def test_R069_the_same_token_without_changes_is_accepted(admin: Machine) -> None:
    for audience in (ISSUER, [ISSUER], ["https://other.example", ISSUER]):
        token = forging.with_our_key(admin.app, forging.claims(aud=audience))

        assert admin.get("/admin/logs", token).status_code == 200


@pytest.mark.parametrize("typ", ["JWT", "at jwt", "", 5, LEFT_OUT, None])
def test_R069_a_token_with_another_typ_or_none_is_refused(admin: Machine, typ: object) -> None:
    header = {"alg": "RS256", "kid": kid_of(admin.token())} | ({} if typ is LEFT_OUT else {"typ": typ})

    assert admin.get("/admin/logs", forging.with_header(admin.app, header)).status_code == 401


def test_R063_the_long_form_of_typ_is_accepted(admin: Machine) -> None:
    for typ in ("application/at+jwt", "AT+JWT"):
        assert admin.get("/admin/logs", forging.with_our_key(admin.app, forging.claims(), typ=typ)).status_code == 200


def test_R069_attack_alg_none(admin: Machine) -> None:
    assert admin.get("/admin/logs", forging.unsigned(admin.app)).status_code == 401


def test_R069_attack_public_key_as_hmac_secret(admin: Machine) -> None:
    assert admin.get("/admin/logs", forging.with_the_public_key_as_secret(admin.app)).status_code == 401


def test_R069_attack_foreign_key_with_our_kid(admin: Machine) -> None:
    assert admin.get("/admin/logs", forging.with_a_foreign_key(admin.app)).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        {"alg": [], "kid": "x", "typ": "at+jwt"},
        {"alg": "RS256", "kid": {}, "typ": "at+jwt"},
        {"alg": "RS256", "typ": "at+jwt"},
        {"alg": "RS256", "kid": "unknown", "typ": "at+jwt"},
        {"alg": "PS256", "kid": "x", "typ": "at+jwt"},
        {"alg": "RS256", "kid": "ours", "typ": "at+jwt", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "kid": "ours", "typ": "at+jwt", "crit": []},
        {"alg": "ES256", "kid": "ours", "typ": "at+jwt"},
    ],
)
def test_R069_attack_strange_headers(admin: Machine, header: dict[str, Any]) -> None:
    if header.get("kid") == "ours":
        header = header | {"kid": kid_of(admin.token())}

    assert admin.get("/admin/logs", forging.with_header(admin.app, header)).status_code == 401


def test_R069_attack_keys_in_the_header_are_ignored(admin: Machine) -> None:
    stranger = jwk.ECKey.generate_key("P-256")
    header = {"typ": "at+jwt", "jku": "https://evil.example", "jwk": stranger.as_dict(private=False)}
    ours = header | {"alg": "RS256", "kid": kid_of(admin.token())}
    theirs = header | {"alg": "ES256", "kid": stranger.thumbprint()}

    assert admin.get("/admin/logs", forging.with_header(admin.app, ours)).status_code == 200
    assert admin.get("/admin/logs", jwt.encode(theirs, forging.claims(), stranger)).status_code == 401


def test_R067_only_spaces_separate_scopes(admin: Machine) -> None:
    token = forging.with_our_key(admin.app, forging.claims(scope="write:logs\tread:logs"))

    assert admin.get("/admin/logs", token).status_code == 403


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "eyJ",
        "é",
        "e30.e30.e30",
        "W10.W10.W10",
        "x" * 7_000,
        "\x00",
        "W1tb.e30.e30",
    ],
)
def test_R069_garbage_is_refused(admin: Machine, token: str) -> None:
    response = admin.get("/admin/logs", token)

    assert (response.status_code, response.json["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("payload", [b"5", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"exp": 1e999}'])
def test_R069_a_signed_payload_that_is_no_object_is_refused(admin: Machine, payload: bytes) -> None:
    token = forging.with_our_key(admin.app, payload)

    with admin.app.test_request_context(), pytest.raises(InvalidTokenError):
        check(token)


def test_R069_half_a_token_and_a_changed_one_are_refused(admin: Machine) -> None:
    token = admin.token()
    header, payload, signature = token.split(".")

    for broken in (token[: len(token) // 2], f"{header}.{payload}.", f"{header}.{payload[:-4]}AAAA.{signature}"):
        assert admin.get("/admin/logs", broken).status_code == 401


def test_R069_expiry_has_no_leeway_and_issuing_has_a_minute(admin: Machine) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token = admin.token()
        clock.shift(3_599)
        assert admin.get("/admin/logs", token).status_code == 200
        clock.shift(1)
        assert admin.get("/admin/logs", token).status_code == 401

    with time_machine.travel(now(), tick=False):
        for ahead, status in ((60, 200), (61, 401)):
            for claim in ("iat", "nbf"):
                token = forging.with_our_key(admin.app, forging.claims(**{claim: now() + ahead}))
                assert admin.get("/admin/logs", token).status_code == status


def test_R070_the_kid_names_exactly_one_published_key(admin: Machine) -> None:
    kid = kid_of(admin.token())

    published = [key["kid"] for key in admin.app.test_client().get("/.well-known/jwks.json").json["keys"]]

    assert published.count(kid) == 1


def test_R103_a_token_for_another_api_opens_nothing_here(partner: Machine) -> None:
    response = partner.get("/inventory", partner.token(scope="shipments:read"))

    assert (response.status_code, response.json["error"]) == (401, "invalid_token")


def test_two_apps_in_one_process_keep_their_own_issuer_and_audience(new_app: Callable[..., Flask]) -> None:
    here, there = new_app(), new_app(issuer="http://localhost:9000")
    token = Machine(here, "demo-admin", "kts_demo-admin-is-for-learning-only").token()
    other = Machine(there, "demo-admin", "kts_demo-admin-is-for-learning-only").token()

    assert decoded(there, other).claims["iss"] == "http://localhost:9000"
    for app, own, foreign in ((here, token, other), (there, other, token)):
        assert Machine(app, "", "").get("/admin/logs", own).status_code == 200
        assert Machine(app, "", "").get("/admin/logs", foreign).status_code == 401


def test_R028_a_deleted_client_gets_no_token(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")

    operator.run("clients", "delete", "billing")

    assert machine.request_token().status_code == 401
    with operator.app.app_context():
        assert registry.find_client(machine.client_id) is None


def test_no_live_token_stays_in_memory_and_the_oldest_is_forgotten_first(
    admin: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwt_check, "REMEMBERED_TOKENS", 3)
    tokens = [admin.token() for _ in range(5)]
    for token in tokens:
        assert admin.get("/inventory", token).status_code == 200
    remembered = jwt_check.current_verified_jwts.of(admin.app)

    assert list(remembered._tokens) == [hashlib.sha256(token.encode()).digest() for token in tokens[2:]]
    for token in tokens:
        assert token not in repr(vars(remembered))
        assert token.rpartition(".")[2] not in repr(vars(remembered))
    assert {admin.get("/inventory", token).status_code for token in tokens} == {200}


def test_what_a_request_does_to_the_claims_of_a_token_reaches_no_other_request(admin: Machine) -> None:
    token = admin.token()
    with admin.app.test_request_context():
        checked = check(token)

        with pytest.raises(TypeError):
            checked.claims["scope"] = "everything"  # type: ignore[index]
        with pytest.raises(AttributeError):
            checked.scope = ("everything",)  # type: ignore[misc]

    assert admin.get("/inventory", token).status_code == 200


@pytest.mark.parametrize("token_format", ["jwt", "opaque"])
def test_a_claim_of_a_client_never_replaces_one_of_the_server(operator: Operator, token_format: str) -> None:
    """Registration refuses such a claim: this row was written without it."""
    machine = operator.register("billing", "--scope", "read:logs", "--format", token_format)
    reserved = dict.fromkeys(("iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope", "gen"), "mine")
    with machine.app.app_context(), transaction():
        registry.get_client("billing").claims = reserved | {"org_id": "acme"}
    token = machine.token()

    with machine.app.test_request_context():
        claims = check(token).claims

    assert claims["org_id"] == "acme"
    assert "mine" not in claims.values()
    assert "gen" in operator.is_refused("clients", "create", "b2", "--scope", "read:logs", "--claim", "gen=1")


def test_a_token_has_its_clients_generation_once_there_was_more_than_one(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    assert "gen" not in decoded(machine.app, machine.token()).claims

    operator.run("tokens", "revoke", "--client", "billing")

    assert decoded(machine.app, machine.token()).claims["gen"] == 1
