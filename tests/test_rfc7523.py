"""Client authentication by a signed assertion (RFC 7523), with the audience rule of draft-ietf-oauth-rfc7523bis."""

from __future__ import annotations

import base64
import hmac
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from joserfc import jwk
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.authentication import replay
from app.authentication.replay import UsedAssertion
from app.clients.client_key import ClientKey
from app.clock import now
from app.doctor import record_checks
from app.health.fleet import of_endings
from app.keys.key_rows import new_pair
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.refusals.key_set_causes import KEY_SET_CAUSES
from app.refusals.platform_causes import PLATFORM_CAUSES
from app.storage.database import db
from app.upkeep import removals, warnings
from tests.conftest import ISSUER, ROOT, Machine, Operator, demo
from tests.support.federated import assert_explained
from tests.support.keyed import GRANT, LEFT_OUT, TYPE, Keyed, public_set, register

NOBODY = "ktc_aaaaaaaaaaaaaaaaaaaaaa"
UUID = "38826b17-6a30-5f9b-b169-8beb8202f723"
FOREIGN = new_pair("ES256")  # its kid is in sentences, which show nothing that looks like a secret
FOREIGN_RSA = jwk.RSAKey.generate_key(2_048)


@pytest.fixture
def keyed(app: Flask, tmp_path: Path) -> Keyed:
    return register(app, tmp_path)


def encoded(*parts: object) -> str:
    texts = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in parts)
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in texts)


# Each cause with an assertion that has it and no other, and the sentence that the operator reads.
Break = Callable[[Keyed, Path], TestResponse]
BROKEN: list[tuple[str, str, Break]] = [
    (
        "no_type",
        "the parameter client_assertion was sent without client_assertion_type",
        lambda c, _: c.send(client_assertion_type=LEFT_OUT),
    ),
    (
        "no_assertion",
        "the parameter client_assertion_type was sent without client_assertion",
        lambda c, _: c.send(client_assertion=LEFT_OUT),
    ),
    ("other_type", f"must be {TYPE}", lambda c, _: c.send(client_assertion_type=TYPE.replace("jwt", "saml2"))),
    ("encrypted", "it has five parts", lambda c, _: c.send("a.b.c.d.e")),
    ("not_a_jwt", "must have three parts, and has 1", lambda c, _: c.send("kts_secret")),
    ("malformed", "the assertion's header is not", lambda c, _: c.send("%%%.e30.e30")),
    ("malformed", "the assertion's payload is not", lambda c, _: c.send(encoded({"alg": "ES256"}, b"no JSON", b"x"))),
    ("malformed", "the assertion's payload is not", lambda c, _: c.send(encoded({"alg": "ES256"}, [1], b"x"))),
    ("malformed", "the assertion's header is not", lambda c, _: c.send(encoded([], {}, b"x"))),
    ("malformed", "the assertion's payload is not", lambda c, _: c.send(encoded({"alg": "ES256"}, b"[" * 5_000, b"x"))),
    (
        "malformed",
        "the assertion's payload is not",
        lambda c, _: c.send(encoded({"alg": "ES256"}, "{}".encode("utf-16"), b"x")),
    ),
    ("header", "kid is not text", lambda c, _: c.send(encoded({"alg": "ES256", "kid": 5}, {}, b"x"))),
    ("header", "is not valid: ", lambda c, _: c.send(encoded({"alg": "ES256", "x5u": 5}, {}, b"x"))),
    ("too_long", "at most 4096 characters", lambda c, _: c.send(c.make(header={"x5c": ["A" * 4_000]}))),
    ("critical", "critical extensions", lambda c, _: c.send(encoded({"alg": "ES256", "crit": []}, {}, b"x"))),
    ("typ", "and is at+jwt", lambda c, _: c.send(c.make(header={"typ": "at+jwt"}))),
    ("unsigned", "alg is none", lambda c, _: c.send(encoded({"alg": "none"}, {"sub": c.client_id}) + ".")),
    ("hmac", "signed with HS256, a shared secret", lambda c, _: c.send(with_the_public_key_as_secret(c))),
    ("algorithm", "signed with RS512, and RS256 and ES256", lambda c, _: c.send(encoded({"alg": "RS512"}, {}, b"x"))),
    ("party_missing", "has no iss", lambda c, _: c.send(c.make(iss=LEFT_OUT))),
    ("party_missing", "has no sub", lambda c, _: c.send(c.make(sub=5))),
    ("party_missing", "has no sub", lambda c, _: c.send(c.make(sub="\ud800"))),
    ("issuer_is_server", "did you mean ktc_", lambda c, _: c.send(c.make(iss=ISSUER))),
    ("parties_differ", "did you mean demo-admin for both", lambda c, _: c.send(c.make(sub="demo-admin"))),
    ("stray_character", "as a line end", lambda c, _: c.send(c.make() + "\n")),
    ("stray_character", "as a line end", lambda c, _: c.send(f'"{c.make()}"')),
    ("parties_differ", f"did you mean {NOBODY} for both", lambda c, _: c.send(c.make(sub=NOBODY))),
    ("parties_differ", "did you mean [redacted] for both", lambda c, _: c.send(c.make(sub=f"{NOBODY}A"))),
    ("another_id", "client_id is not the sub", lambda c, _: c.send(client_id="demo-admin")),
    ("no_key", "the client has no key", lambda c, _: c.send(c.make(iss="demo-admin", sub="demo-admin"))),
    (
        "kid_unknown",
        "no key of the client has the kid blue; it has ",
        lambda c, _: c.send(c.make(header={"kid": "blue"})),
    ),
    ("kid_unknown", f"; did you mean {FOREIGN.thumbprint()}?", lambda c, folder: with_nearly_one_of_three(c, folder)),
    ("kid_unknown", f"the kid {UUID}; it has ", lambda c, _: c.send(c.make(header={"kid": UUID}))),
    ("kid_missing", "and the client has 2 keys: ", lambda c, folder: with_a_second_key(c, folder).send()),
    ("key_algorithm", "signed with RS256, and the key", lambda c, _: c.send(with_a_foreign_rsa_key(c))),
    ("key_ended", "ended 0 seconds ago", lambda c, _: without_its_key(c).send()),
    ("wrong_key", "was not signed with the key ", lambda c, _: c.send(c.make(key=FOREIGN))),
    ("wrong_key", "or was changed", lambda c, _: c.send(changed(c.make()))),
    ("audience_missing", f"it must be {ISSUER}", lambda c, _: c.send(c.make(aud=LEFT_OUT))),
    ("audience_list", f"aud must be {ISSUER} as a text", lambda c, _: c.send(c.make(aud=[ISSUER]))),
    ("audience_list", "and is no text", lambda c, _: c.send(c.make(aud=5))),
    (
        "audience_endpoint",
        f"aud must be {ISSUER}, and is the a",
        lambda c, _: c.send(c.make(aud=f"{ISSUER}/oauth/token")),
    ),
    ("audience_slash", f"aud must be {ISSUER}, without a slash", lambda c, _: c.send(c.make(aud=f"{ISSUER}/"))),
    (
        "audience",
        "aud is https://other.example, and must be ",
        lambda c, _: c.send(c.make(aud="https://other.example")),
    ),
    ("time_form", "exp is not a number", lambda c, _: c.send(c.make(claims_with(c, exp="soon")))),
    ("time_form", "nbf is not a number", lambda c, _: c.send(c.make(claims_with(c, nbf=1e999)))),
    ("time_form", "iat is not a number", lambda c, _: c.send(c.make(claims_with(c, iat=True)))),
    ("no_expiry", "no exp", lambda c, _: c.send(c.make(exp=LEFT_OUT))),
    ("expired", "expired 100 seconds ago", lambda c, _: c.send(c.make(exp=now() - 100))),
    ("lives_too_long", "exp is 10 minutes ahead", lambda c, _: c.send(c.make(exp=now() + 600))),
    ("not_yet", "nbf is 100 seconds ahead", lambda c, _: c.send(c.make(nbf=now() + 100))),
    ("not_yet", "iat is 100 seconds ahead", lambda c, _: c.send(c.make(iat=now() + 100))),
    ("no_jti", "no jti", lambda c, _: c.send(c.make(jti=LEFT_OUT))),
    ("no_jti", "1 to 255 characters", lambda c, _: c.send(c.make(jti="x" * 256))),
    ("replayed", "was used before, 0 seconds ago: its jti was first seen at ", lambda c, _: twice(c)),
]


def with_the_public_key_as_secret(client: Keyed) -> str:
    """The attack: the public key, which everyone may have, as the secret of an HMAC."""
    signed = encoded({"alg": "HS256"}, claims_with(client))
    mac = hmac.digest(client.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_a_foreign_rsa_key(client: Keyed) -> str:
    return Keyed(client.app, client.client_id, FOREIGN_RSA, "RS256").make()


def with_a_second_key(client: Keyed, folder: Path) -> Keyed:
    Operator(client.app).run("clients", "add-key", "keyed", "--jwks", public_set(folder, FOREIGN))
    return client


def with_nearly_one_of_three(client: Keyed, folder: Path) -> TestResponse:
    Operator(client.app).run("clients", "add-key", "keyed", "--jwks", public_set(folder, FOREIGN, FOREIGN_RSA))
    return client.send(client.make(header={"kid": FOREIGN.thumbprint()[:-1]}))


def without_its_key(client: Keyed) -> Keyed:
    Operator(client.app).run("clients", "remove-key", "keyed", client.key.thumbprint(), "--last")
    return client


def claims_with(client: Keyed, **changes: Any) -> dict[str, Any]:
    return {"iss": client.client_id, "sub": client.client_id, "aud": ISSUER, "exp": now() + 60, "jti": "a"} | changes


def changed(assertion: str) -> str:
    head, middle, signature = assertion.split(".")
    return ".".join((head, middle, ("A" if signature[0] != "A" else "B") + signature[1:]))


def twice(client: Keyed) -> TestResponse:
    assertion = client.make()
    assert client.send(assertion).status_code == 200
    return client.send(assertion)


@pytest.mark.parametrize(
    ("name", "sentence", "send"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BROKEN)]
)
def test_R031_R032_R033_R034_R035_R036_R037_R038_each_cause_of_a_refusal_has_its_own_sentence(
    keyed: Keyed, tmp_path: Path, name: str, sentence: str, send: Break
) -> None:
    with time_machine.travel(now(), tick=False):
        response = send(keyed, tmp_path)

    cause = ASSERTION_CAUSES[name]
    assert (response.status_code, response.json["error"]) == (
        401 if cause.code == "invalid_client" else 400,
        cause.code,
    )
    assert sentence in response.json["hint"]
    assert cause.matches(response.json["hint"])
    assert [each for each, other in ASSERTION_CAUSES.items() if other.matches(response.json["hint"])] == [name]
    assert response.headers.get("WWW-Authenticate", "Basic").startswith("Basic")
    assert_explained(keyed.app, response, cause)


def test_the_list_of_broken_assertions_has_every_cause() -> None:
    elsewhere = {*KEY_SET_CAUSES, *PLATFORM_CAUSES}  # in test_remote_keys.py and test_federation.py
    assert {name for name, _, _ in BROKEN} == set(ASSERTION_CAUSES) - elsewhere
    assert len(ASSERTION_CAUSES) >= 25
    assert len({each.sentence for each in ASSERTION_CAUSES.values()}) == len(ASSERTION_CAUSES)
    page = (ROOT / "docs" / "errors.md").read_text()
    assert [each.cause for each in ASSERTION_CAUSES.values() if f"| {each.cause} |" not in page] == []


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_R030_R039_an_assertion_authenticates_at_every_endpoint(
    app: Flask, tmp_path: Path, path: str, alg: str
) -> None:
    client = register(app, tmp_path, "--scope", "read:logs", "--resource-server", ISSUER, alg=alg)
    token = client.token()

    response = client.send(path=path, token=token)

    assert response.status_code == 200
    if path == "/oauth/introspect":
        assert response.json["client_id"] == client.client_id
    if path == "/oauth/revoke":
        assert demo(app, "demo-admin").get("/admin/logs", token).status_code == 401


@pytest.mark.parametrize("typ", ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"])
def test_R033_the_type_of_an_assertion_is_accepted_or_left_out(keyed: Keyed, typ: str) -> None:
    assert keyed.send(keyed.make(header={"typ": typ})).status_code == 200
    assert keyed.send(keyed.make()).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [{"exp": -59}, {"exp": 360}, {"nbf": 60}, {"iat": 60}, {"iat": LEFT_OUT}, {"exp": 300}],
    ids=["exp-past", "exp-ahead", "nbf", "iat", "no-iat", "five-minutes"],
)
def test_R035_a_clock_may_differ_by_60_seconds(keyed: Keyed, changes: dict[str, Any]) -> None:
    with time_machine.travel(now(), tick=False):
        moved = {name: by if by is LEFT_OUT else now() + by for name, by in changes.items()}

        assert keyed.send(keyed.make(**moved)).status_code == 200


def test_R034_how_far_ahead_an_assertion_may_expire_is_a_setting(keyed: Keyed, new_app: Callable[..., Flask]) -> None:
    strict = Keyed(new_app(assertion_seconds="30"), keyed.client_id, keyed.key)
    loose = Keyed(new_app(assertion_seconds="3600"), keyed.client_id, keyed.key)
    with time_machine.travel(now(), tick=False):
        assert strict.send(strict.make(exp=now() + 90)).status_code == 200
        said = strict.send(strict.make(exp=now() + 91)).json["hint"]
        assert said == "exp is 91 seconds ahead, and at most 30 seconds are accepted"
        assert strict.send(strict.make(exp=LEFT_OUT)).json["hint"].endswith("it must expire within 30 seconds")
        assert loose.send(loose.make(exp=now() + 3_660)).status_code == 200
        assert "at most 60 minutes" in loose.send(loose.make(exp=now() + 3_661)).json["hint"]


def test_R037_a_key_in_the_header_is_ignored(keyed: Keyed) -> None:
    """The attack: the header brings the attacker's own key."""
    header = {"jwk": FOREIGN.as_dict(private=False), "jku": "https://attacker.example", "x5u": "https://a.example"}

    assert "was not signed with" in keyed.send(keyed.make(header=header, key=FOREIGN)).json["hint"]
    assert keyed.send(keyed.make(header=header)).status_code == 200


def test_R036_of_forty_replays_of_one_assertion_one_is_accepted(keyed: Keyed, new_app: Any) -> None:
    other, assertion = new_app(), keyed.make()
    senders = [keyed, Keyed(other, keyed.client_id, keyed.key)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: senders[number % 2].send(assertion).status_code, range(40)))

    assert sorted(set(found)) == [200, 401]
    assert found.count(200) == 1


def test_R036_one_clients_jti_is_not_anothers(app: Flask, keyed: Keyed, tmp_path: Path) -> None:
    other = register(app, tmp_path, name="other")

    assert keyed.send(keyed.make(jti="1")).status_code == 200
    assert other.send(other.make(jti="1")).status_code == 200


def test_what_is_refused_uses_no_jti_up(keyed: Keyed) -> None:
    """The attack: someone who saw a jti, or guesses it, uses it up before its client."""
    assert keyed.send(keyed.make(jti="1", key=FOREIGN)).status_code == 401
    assert keyed.send(keyed.make(jti="1", aud="https://other.example")).status_code == 401

    assert keyed.send(keyed.make(jti="1")).status_code == 200


def test_used_assertions_are_removed_when_no_clock_can_need_them(app: Flask, keyed: Keyed) -> None:
    with app.app_context(), time_machine.travel(now(), tick=False) as clock:
        keyed.token()
        clock.shift(60 + replay.LONGEST_NEED_SECONDS - 1)
        removals.remove_expired(lambda: None, lambda _: 0)
        assert len(db.session.scalars(select(UsedAssertion)).all()) == 1
        db.session.rollback()

        clock.shift(1)
        removals.remove_expired(lambda: None, lambda _: 0)

        assert db.session.scalars(select(UsedAssertion)).all() == []


def in_production(new_app: Callable[..., Flask]) -> Flask:
    return new_app(env="production", issuer="https://auth.example.com", trusted_proxies="1")


def test_R024_in_production_all_causes_have_one_response(keyed: Keyed, new_app: Callable[..., Flask]) -> None:
    app = in_production(new_app)
    aud = "https://auth.example.com"
    bad = [
        keyed.make(aud=aud, key=FOREIGN),
        keyed.make(aud=aud, iss=NOBODY, sub=NOBODY),
        keyed.make(aud=aud, header={"kid": "x"}),
        keyed.make(aud=ISSUER),
        keyed.make(aud=aud, exp=now() - 100),
        "a.b.c.d.e",
    ]

    responses = [send_to(app, each) for each in bad]

    assert {each.status_code for each in responses} == {401}
    assert len({each.data for each in responses}) == 1
    headers = [{k: v for k, v in each.headers if k not in ("Date", "X-Request-Id")} for each in responses]
    assert headers[1:] == headers[:-1]
    assert b"hint" not in responses[0].data
    assert send_to(app, keyed.make(aud=aud)).status_code == 200


def send_to(app: Flask, assertion: str) -> TestResponse:
    form = GRANT | {"client_assertion": assertion, "client_assertion_type": TYPE}
    return app.test_client().post("/oauth/token", data=form, headers={"X-Forwarded-Proto": "https"})


def test_the_operator_reads_the_cause_and_what_to_do(app: Flask, keyed: Keyed) -> None:
    response = keyed.send(keyed.make(aud=f"{ISSUER}/oauth/token"))

    (found,) = Operator(app).run("explain", response.headers["X-Request-Id"])["events"]

    assert found["reason"] == f"aud must be {ISSUER}, and is the address of an endpoint"
    assert found["do"] == "Set `aud` to the issuer, as the metadata has it, and to nothing else."
    assert (found["client_id"], found["credential"]) == (keyed.client_id, keyed.key.thumbprint())


@pytest.mark.parametrize("form", [{"client_secret": "kts_x"}, {}], ids=["secret", "basic"])
def test_R018_an_assertion_and_a_secret_are_two_ways(app: Flask, keyed: Keyed, form: dict[str, str]) -> None:
    basic = {} if form else {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}
    sent = GRANT | {"client_assertion": keyed.make(), "client_assertion_type": TYPE} | form

    response = app.test_client().post("/oauth/token", data=sent, headers=basic)

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert response.json["hint"].startswith("the request has ")


def test_R025_a_wrong_assertion_counts_like_a_wrong_secret(keyed: Keyed, new_app: Callable[..., Flask]) -> None:
    limited = Keyed(new_app(limit_failures="2/hour"), keyed.client_id, keyed.key)

    statuses = [limited.send(limited.make(key=FOREIGN)).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]
    assert limited.send().status_code == 200


def test_R029_a_client_with_a_key_has_no_secret_and_one_with_a_secret_method_may_use_no_key(
    app: Flask, keyed: Keyed, operator: Operator, tmp_path: Path
) -> None:
    assert Machine(app, keyed.client_id, "kts_x").request_token().json["hint"] == "the secret is wrong"
    strict = operator.register("strict", "--scope", "read:logs", "--auth-method", "client_secret_post")
    key = public_set(tmp_path, FOREIGN)
    assert "may not use a key" in operator.is_refused("clients", "add-key", "strict", "--jwks", key)
    operator.run("clients", "update", "strict", "--auth-method", "any")
    operator.run("clients", "add-key", "strict", "--jwks", key)
    both = Keyed(app, strict.client_id, FOREIGN)
    assert both.send().status_code == 200
    assert strict.request_token().status_code == 200

    operator.run("clients", "update", "strict", "--auth-method", "private_key_jwt")

    assert strict.request_token().json["hint"] == "the client is registered for private_key_jwt, Basic was sent"
    assert both.send().status_code == 200
    operator.run("clients", "update", "strict", "--auth-method", "client_secret_basic")
    assert both.send().json["hint"].endswith("client_secret_basic, a signed assertion was sent")


def test_a_client_that_authenticates_by_a_key_only_gets_no_new_secret(
    app: Flask, keyed: Keyed, operator: Operator
) -> None:
    before = operator.run("clients", "show", "keyed")
    for options in ((), ("--overlap", "0")):
        said = operator.is_refused("clients", "rotate-secret", "keyed", *options)
        assert (
            "keyed is registered for private_key_jwt, and may not use a secret: `flask clients add-key keyed`" in said
        )
    assert operator.run("clients", "show", "keyed") == before
    operator.run("clients", "update", "keyed", "--auth-method", "any")
    made = operator.run("clients", "rotate-secret", "keyed")["client_secret"]
    assert Machine(app, keyed.client_id, made).request_token().status_code == 200

    operator.run("clients", "revoke-secret", "keyed", "secret-1")  # without --last: its key works

    assert keyed.send().status_code == 200


def ends(operator: Operator) -> list[tuple[str, str, bool]]:
    """What ends soon of the client `keyed`: its kind, its name, and whether it is the last."""
    found = operator.run("clients", "ending", "--within", "60d")["ending"]
    return [(each["kind"], each["name"], each["is_last"]) for each in found if each.get("client") == "keyed"]


def test_the_planned_end_of_a_key_is_known_wherever_what_ends_soon_is_named(
    app: Flask, keyed: Keyed, operator: Operator, tmp_path: Path
) -> None:
    kid, file = FOREIGN.thumbprint(), public_set(tmp_path, FOREIGN)
    operator.run("clients", "add-key", "keyed", "--jwks", file, "--not-after", "6d")
    assert ends(operator) == [("client_key_ends", kid, False)]
    with app.app_context():
        number = next(each for each in of_endings() if each.name == "keyturn_ending")
        assert {each.labels["kind"]: each.value for each in number.samples}["client_key"] == 1
        warned = [warnings.sentence(each) for each in warnings.collect()]
    assert next(each for each in warned if kid in each).startswith(f"the key {kid} of client keyed ends in ")

    operator.run("clients", "remove-key", "keyed", keyed.key.thumbprint())

    assert ends(operator) == [("client_key_ends", kid, True)]
    with app.app_context():
        found = next(each for each in record_checks.check_secrets(None) if "keyed" in each.what)  # type: ignore[arg-type]
    assert found.what.startswith("The last key of client keyed ends in ")
    operator.run("clients", "update", "keyed", "--auth-method", "any")
    operator.run("clients", "rotate-secret", "keyed", "--not-after", "50d")
    assert ends(operator) == [("client_key_ends", kid, False), ("secret_ends", "secret-1", True)]
    operator.run("clients", "update", "keyed", "--auth-method", "private_key_jwt")  # it cannot use the secret
    assert ends(operator) == [("client_key_ends", kid, True)]


def test_a_client_that_uses_its_key_is_not_stale(keyed: Keyed, operator: Operator) -> None:
    with time_machine.travel(now() + 100 * 86_400, tick=False):
        stale = operator.run("clients", "stale", "--within", "90d")["clients"]
        assert keyed.client_id in [each["client_id"] for each in stale]
        assert (
            keyed.send(path="/oauth/revoke", token="x").status_code == 200
        )  # no token is issued: only the key says so
        stale = operator.run("clients", "stale", "--within", "90d")["clients"]
    assert keyed.client_id not in [each["client_id"] for each in stale]


def test_R027_a_disabled_client_is_refused_and_its_assertion_is_not_used_up(keyed: Keyed, operator: Operator) -> None:
    operator.run("clients", "disable", "keyed")
    assertion = keyed.make()
    assert keyed.send(assertion).json["hint"] == "the client is disabled"

    operator.run("clients", "enable", "keyed")

    assert keyed.send(assertion).status_code == 200


def test_a_generated_private_key_is_in_its_file_only(app: Flask, operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "new.pem"
    made = operator.run("clients", "create", "svc", "--scope", "read:logs", "--generate-key", str(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert made["secrets"] == []
    assert "client_secret" not in made
    private = jwk.import_key(file.read_text(), "EC").as_dict(private=True)["d"]
    assert private not in json.dumps(made)
    with app.app_context():
        assert not [each for each in db.session.scalars(select(ClientKey.jwk)) if private in each]
    before = file.read_bytes()
    assert "never overwritten" in operator.is_refused("clients", "add-key", "svc", "--generate-key", str(file))
    assert file.read_bytes() == before


def test_a_private_key_file_is_removed_if_the_client_is_refused(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "new.pem"

    operator.is_refused("clients", "create", "svc", "--scope", "no:such", "--generate-key", str(file))

    assert not file.exists()


PRIVATE = jwk.ECKey.generate_key("P-256").as_dict(private=True)
WEAK = jwk.RSAKey.generate_key(2_048).as_dict(private=False) | {"n": "w" + "A" * 170 + "E"}
BAD_SETS = [
    pytest.param({"keys": [PRIVATE]}, "is a private key", id="private"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0"}, "is a secret of an HMAC", id="hmac"),
    pytest.param({"keys": []}, "must be a JSON Web Key Set", id="empty"),
    pytest.param([], "must be a JSON Web Key Set", id="list"),
    pytest.param({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}, "has 17 bits", id="tiny"),
    pytest.param({"keys": [WEAK]}, "RSA keys have 2048 to 4096", id="weak"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False) | {"use": "enc"}]}, "not for signatures", id="enc"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False) | {"key_ops": 5}]}, "not for signatures", id="ops"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False) | {"kid": "kts_x"}]}, "looks secret", id="kid"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False) | {"alg": "ES512"}]}, "for RS256, or an EC key", id="alg"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False)] * 2}, "have one kid", id="twice"),
    pytest.param({"keys": [FOREIGN.as_dict(private=False)] * 9}, "at most 8", id="nine"),
    pytest.param({"keys": [{"kty": "EC", "crv": "P-256", "x": 5, "y": "a"}]}, "is not a valid EC key", id="number"),
]


@pytest.mark.parametrize(("document", "sentence"), BAD_SETS)
def test_a_key_set_that_cannot_be_used_is_refused_without_repeating_it(
    operator: Operator, tmp_path: Path, document: Any, sentence: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(document))

    said = operator.is_refused("clients", "create", "svc", "--scope", "read:logs", "--jwks", str(file))

    assert sentence in said
    assert str(PRIVATE["d"]) not in said


def test_a_private_key_in_pem_is_refused_without_repeating_it(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "keys.pem"
    file.write_bytes(FOREIGN.as_pem(private=True))

    said = operator.is_refused("clients", "create", "svc", "--scope", "read:logs", "--jwks", str(file))

    assert "It is a private key" in said
    assert file.read_text().splitlines()[1] not in said


def test_R028_keys_are_replaced_without_a_pause(keyed: Keyed, operator: Operator, tmp_path: Path) -> None:
    old, new = keyed.key.thumbprint(), FOREIGN.thumbprint()
    added = operator.run("clients", "add-key", "keyed", "--jwks", public_set(tmp_path, FOREIGN))
    assert ([each["kid"] for each in added["keys"]], added["changed"]) == ([new], True)
    assert operator.run("clients", "add-key", "keyed", "--jwks", public_set(tmp_path, FOREIGN))["changed"] is False
    assert keyed.send(keyed.make(header={"kid": old})).status_code == 200
    assert keyed.send(keyed.make(header={"kid": new}, key=FOREIGN)).status_code == 200

    operator.run("clients", "remove-key", "keyed", old)

    assert keyed.send(keyed.make(header={"kid": old})).status_code == 401
    assert keyed.send(keyed.make(key=FOREIGN)).status_code == 200  # the one that is left needs no kid
    assert operator.run("clients", "remove-key", "keyed", old)["changed"] is False
    assert "is the only key" in operator.is_refused("clients", "remove-key", "keyed", new)
    assert "ended for good" in operator.is_refused(
        "clients", "add-key", "keyed", "--jwks", public_set(tmp_path, keyed.key)
    )
    shown = operator.run("clients", "keys", "keyed")["keys"]
    assert [(each["kid"], each["state"], bool(each["last_used_at"])) for each in shown] == [
        (old, "ended", True),
        (new, "works", True),
    ]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--auth-method", "private_key_jwt"], 1, "needs a key"),
        (["--auth-method", "client_secret_basic", "--jwks", "KEYS"], 1, "with a key the method is private_key_jwt"),
        (["--generate-key", "/no/such/folder/key.pem"], 3, "No such file"),
        (["--jwks", "/no/such/file"], 2, "No such file"),
        (["--jwks", "KEYS", "--generate-key", "x.pem"], 2, "--jwks, --jwks-uri or --generate-key"),
    ],
)
def test_options_about_keys_that_cannot_be_right_are_refused(
    operator: Operator, tmp_path: Path, options: list[str], code: int, sentence: str
) -> None:
    given = [public_set(tmp_path, FOREIGN) if each == "KEYS" else each for each in options]

    assert sentence in operator.is_refused("clients", "create", "svc", "--scope", "read:logs", *given, code=code)


def test_the_trail_names_the_key(keyed: Keyed) -> None:
    keyed.token()

    events = demo(keyed.app, "demo-admin").events(client_id=keyed.client_id)

    assert events[0]["event"] == "token_issued"
    assert events[0]["credential"] == keyed.key.thumbprint()
    assert [each["event"] for each in events][1:] == ["client_created"]


def test_R082_the_metadata_says_how_a_client_authenticates_at_each_endpoint(app: Flask) -> None:
    document = app.test_client().get("/.well-known/oauth-authorization-server").json

    for endpoint in ("token", "introspection", "revocation"):
        assert "private_key_jwt" in document[f"{endpoint}_endpoint_auth_methods_supported"]
        assert document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == ["RS256", "ES256"]
