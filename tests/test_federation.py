"""Workload identity federation: a token of a client's platform authenticates it (RFC 7523, section 3)."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwk
from joserfc.util import urlsafe_b64decode
from werkzeug.test import TestResponse

import config
from app.clients import registration, trust_rules
from app.clients.registration_rules import RegistrationError
from app.clock import now
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.refusals.platform_causes import PLATFORM_CAUSES
from app.settings import read_settings
from tests.conftest import ISSUER, SECRET_KEY, Operator, build_app, close, demo
from tests.support import fake_issuer
from tests.support.fake_issuer import LEFT_OUT, RSA_KEYS, FakeIssuer
from tests.support.federated import TABLE, URL, assert_explained, platform_in, send, toml
from tests.support.keyed import TYPE, Keyed
from tests.support.pages import page, pattern
from tests.test_rfc7523 import UUID, encoded

FOREIGN = RSA_KEYS[1]
EC = jwk.ECKey.generate_key("P-256")
KID = "38826b17-6a30-5f9b-b169-8beb8202f723"  # as that of GitHub


@dataclass
class Place:
    """An app that trusts a platform, and the platform."""

    app: Flask
    platform: FakeIssuer

    @property
    def operator(self) -> Operator:
        return Operator(self.app)

    def trust(self, client: str, *claims: str, issuer: str = "github", **options: str) -> str:
        """Register a client with a trust; its id."""
        given = [part for each in claims for part in ("--claim", each)]
        given += [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        scope = ["--scope", "read:logs"]
        return str(self.operator.run("clients", "create", client, *scope, "--issuer", issuer, *given)["client_id"])

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        return self.platform.sign(fake_issuer.github(**changes), key=key, **(header or {}))

    def send(self, token: str | None = None, **form: Any) -> TestResponse:
        return send(self.app, token or self.token(), **form)

    def hint(self, token: str | None = None, **form: Any) -> str:
        response = self.send(token, **form)
        assert (response.status_code, response.json["error"]) == (401, "invalid_client"), response.text
        return str(response.json["hint"])


@pytest.fixture
def place(new_app: Callable[..., Flask], tmp_path: Path) -> Place:
    platform, file = platform_in(tmp_path)
    return Place(new_app(file=file), platform)


@pytest.fixture
def alone(prepared: Callable[[str], str], tmp_path: Path) -> Iterator[Place]:
    """The same on SQLite alone, where no statement of its own is run."""
    platform, file = platform_in(tmp_path)
    app = build_app(database_url=prepared("sqlite"), file=file)
    yield Place(app, platform)
    close(app)


@pytest.fixture(scope="module")
def shared(prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose client `deployer` expects a repository and an environment; the tests change nothing of it."""
    platform, file = platform_in(tmp_path_factory.mktemp("federation"))
    app = build_app(database_url=prepared("sqlite"), file=file, limit_failures="", limit_address="")
    place = Place(app, platform)
    place.trust("deployer", "repository_id=74", "environment=production")
    yield place
    close(app)


# Each cause with a token that has it and no other, and the sentence that the operator reads.
Break = Callable[[Place], TestResponse]
BROKEN: list[tuple[str, str, Break]] = [
    (
        "issuer_unknown",
        "does not declare, and which is not the client's id",
        lambda p: p.send(p.token(iss="https://gitlab.example")),
    ),
    ("issuer_unknown", f"; did you mean {URL}?", lambda p: p.send(p.token(iss=f"{URL}/"))),
    ("issuer_unknown", f"; did you mean {URL}?", lambda p: p.send(p.token(iss=URL.removeprefix("https://")))),
    ("malformed", "the assertion's header", lambda p: p.send("%%%." + encoded({"iss": URL}, {}))),
    ("malformed", "the assertion's payload", lambda p: p.send(encoded({"alg": "RS256"}, in_utf_16(p.token()), b"x"))),
    ("critical", "critical extensions", lambda p: p.send(encoded({"alg": "RS256", "crit": []}, {"iss": URL}, b"x"))),
    ("header", "kid is not text", lambda p: p.send(encoded({"alg": "RS256", "kid": 5}, {"iss": URL}, b"x"))),
    ("header", "is not valid: ", lambda p: p.send(encoded({"alg": "RS256", "x5u": 5}, {"iss": URL}, b"x"))),
    ("platform_typ", "and is at+jwt", lambda p: p.send(p.token(header={"typ": "at+jwt"}))),
    (
        "platform_typ",
        "client-authentication+jwt",
        lambda p: p.send(p.token(header={"typ": "client-authentication+jwt"})),
    ),
    ("platform_algorithm", "signed with none", lambda p: p.send(encoded({"alg": "none"}, {"iss": URL}, b""))),
    ("platform_algorithm", "allows RS256", lambda p: p.send(p.token(key=EC, header={"alg": "ES256"}))),
    (
        "platform_kid_unknown",
        f"no key with the kid {KID}; it has {RSA_KEYS[0].thumbprint()}",
        lambda p: p.send(p.token(header={"kid": KID})),
    ),
    (
        "platform_kid_unknown",
        "the kid [redacted]; it",
        lambda p: p.send(p.token(header={"kid": "aB1-cD2_eF3-gH4_iJ5-k"})),
    ),
    (
        "platform_wrong_key",
        f"was not signed with the key {RSA_KEYS[0].thumbprint()} of",
        lambda p: p.send(by_another_key(p)),
    ),
    ("stray_character", "as a line end", lambda p: p.send(p.token() + "\n")),
    ("platform_wrong_key", "or was changed", lambda p: p.send(changed(p.token(), sub="repo:octo-org/other"))),
    ("platform_audience_missing", f"it must be {ISSUER}", lambda p: p.send(p.token(aud=LEFT_OUT))),
    (
        "platform_audience_list",
        "is a list of 2, and must",
        lambda p: p.send(p.token(aud=[ISSUER, "https://other.example"])),
    ),
    (
        "platform_audience",
        "and is https://github.com/octo-org",
        lambda p: p.send(p.token(aud="https://github.com/octo-org")),
    ),
    ("platform_audience", "and is other", lambda p: p.send(p.token(aud=["other"]))),
    ("platform_audience", "and is 5", lambda p: p.send(p.token(aud=5))),
    ("time_form", "exp is not a number", lambda p: p.send(p.token(exp="soon"))),
    ("time_form", "iat is not a number", lambda p: p.send(p.token(iat=True))),
    ("platform_time_missing", "has no exp", lambda p: p.send(p.token(exp=LEFT_OUT))),
    ("platform_time_missing", "has no iat", lambda p: p.send(p.token(iat=LEFT_OUT))),
    ("platform_expired", "expired 2 minutes ago", lambda p: p.send(p.token(iat=now() - 420, exp=now() - 120))),
    ("not_yet", "nbf is 100 seconds ahead", lambda p: p.send(p.token(nbf=now() + 100))),
    ("not_yet", "iat is 100 seconds ahead", lambda p: p.send(p.token(iat=now() + 100, exp=now() + 400))),
    ("platform_lives_too_long", "lives 2 hours, and", lambda p: p.send(p.token(exp=now() + 7_200))),
    (
        "claim_differs",
        "the claim repository_id is 75; github-1 of deployer expects 74",
        lambda p: p.send(p.token(repository_id="75")),
    ),
    ("claim_differs", "environment is staging; github-1", lambda p: p.send(p.token(environment="staging"))),
    ("claim_differs", "environment is true; github-1", lambda p: p.send(p.token(environment=True))),
    ("claim_missing", "no claim environment; github-1 of", lambda p: p.send(p.token(environment=LEFT_OUT))),
    ("claim_missing", "no claim environment", lambda p: p.send(p.token(environment=None))),
    ("claim_form", "as the claim environment is; github-1", lambda p: p.send(p.token(environment=["production"]))),
    ("trust_of_another", "left out: the token matches github-1 of", lambda p: p.send(client_id="demo-admin")),
    ("trust_of_another", "the parameter client_id must be ktc_", lambda p: p.send(client_id="deployer")),
]


def by_another_key(place: Place) -> str:
    """The attack: another key under the name of the right one."""
    return place.token(key=FOREIGN, header={"kid": place.platform.keys[0].thumbprint()})


def in_utf_16(token: str) -> bytes:
    return urlsafe_b64decode(token.split(".")[1].encode()).decode().encode("utf-16")


def changed(token: str, **changes: Any) -> str:
    """The attack: the claims of a signed token are replaced."""
    header, _, signature = token.split(".")
    return f"{header}.{encoded({'iss': URL, 'aud': ISSUER} | changes)}.{signature}"


@pytest.mark.parametrize(
    ("name", "sentence", "break_it"), [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(BROKEN)]
)
def test_R032_R033_R034_R035_R037_R038_each_cause_has_its_own_sentence(
    shared: Place, name: str, sentence: str, break_it: Break
) -> None:
    with time_machine.travel(now(), tick=False):
        response = break_it(shared)

    assert_cause(response, name, sentence)
    assert_explained(shared.app, response, ASSERTION_CAUSES[name])


def assert_cause(response: TestResponse, name: str, sentence: str) -> None:
    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    assert sentence in response.json["hint"]
    assert [each for each, other in ASSERTION_CAUSES.items() if other.matches(response.json["hint"])] == [name]


# Causes of a place of its own: what must be there before, and the request.
def with_two_keys(place: Place) -> TestResponse:
    place.platform.rotate(*RSA_KEYS)
    return place.send(place.token(header={"kid": LEFT_OUT}))


def with_a_key_for_another_algorithm(place: Place) -> TestResponse:
    place.platform.rotate(RSA_KEYS[0])
    place.platform.alg = "RS512"
    place.platform.write(place.platform.key_file or Path())
    place.platform.alg = "RS256"
    return place.send()


def without_a_trust(place: Place) -> TestResponse:
    place.operator.run("clients", "delete", "deployer")
    return place.send()


def after_its_end(place: Place) -> TestResponse:
    place.operator.run("clients", "untrust", "deployer", "github-1", "--last")
    return place.send()


def with_two_clients(place: Place) -> TestResponse:
    place.trust("other", "sub=repo:octo-org/octo-repo:environment:production")  # another claim: nobody can know
    return place.send()


def with_other_identity_claims(place: Place) -> TestResponse:
    (issuer,) = place.app.extensions["settings"].issuers
    changed_issuer = replace(issuer, identity_claims=("workflow",))
    place.app.extensions["settings"] = replace(place.app.extensions["settings"], issuers=(changed_issuer,))
    return place.send()


ALONE: list[tuple[str, str, Break]] = [
    ("platform_kid_missing", f"2 keys: {RSA_KEYS[0].thumbprint()}, {RSA_KEYS[1].thumbprint()}", with_two_keys),
    ("platform_key_algorithm", "is for RS512", with_a_key_for_another_algorithm),
    ("no_trust", "no client trusts a token of github", without_a_trust),
    ("trust_ended", "the trust github-1 of deployer ended 0 seconds ago", after_its_end),
    ("trust_ambiguous", "the trusts of deployer and other: it must be", with_two_clients),
    ("trust_not_found", "the token matches github-1 of deployer, which was", with_other_identity_claims),
]


@pytest.mark.parametrize(("name", "sentence", "break_it"), [pytest.param(*row, id=row[0]) for row in ALONE])
def test_a_cause_that_lies_in_the_register_or_in_the_key_set_has_its_own_sentence(
    alone: Place, name: str, sentence: str, break_it: Break
) -> None:
    alone.trust("deployer", "repository_id=74", "environment=production")
    assert alone.send().status_code == 200

    response = break_it(alone)

    assert_cause(response, name, sentence)
    assert_explained(alone.app, response, ASSERTION_CAUSES[name])


def test_the_list_of_broken_tokens_has_every_cause() -> None:
    assert {name for name, _, _ in BROKEN + ALONE} >= set(PLATFORM_CAUSES)
    assert {name for name, _, _ in BROKEN + ALONE} <= set(ASSERTION_CAUSES)


def test_whether_or_not_a_client_is_named_a_token_of_two_is_refused(place: Place) -> None:
    deployer = place.trust("deployer", "repository_id=74", "environment=production")
    assert place.send(client_id=deployer).status_code == 200
    place.trust("other", "sub=repo:octo-org/octo-repo:environment:production")

    assert place.hint(client_id=deployer) == place.hint()


def test_the_operator_reads_the_cause_what_to_do_and_which_trust(place: Place) -> None:
    client_id = place.trust("deployer", "repository_id=74", "environment=production")
    response = place.send(place.token(environment="staging"))
    (found,) = place.operator.run("explain", response.headers["X-Request-Id"])["events"]
    assert found["reason"] == "the claim environment is staging; github-1 of deployer expects production"
    assert found["do"].startswith("Compare with `flask clients trusts CLIENT`")
    assert "client_id" not in found  # nobody has authenticated

    place.send()

    issued, created = demo(place.app, "demo-admin").events(client_id=client_id)
    assert (issued["event"], issued["credential"]) == ("token_issued", "github-1")
    assert created["event"] == "client_created"
    assert created["reason"] == "trust github-1: https://token.actions.example repository_id environment"


def test_R024_in_production_all_causes_have_one_response(new_app: Callable[..., Flask], tmp_path: Path) -> None:
    aud = "https://auth.example.com"
    platform, file = platform_in(tmp_path, audience=aud)
    place = Place(new_app(env="production", issuer=aud, trusted_proxies="1", file=file), platform)
    place.trust("deployer", "repository_id=74", "environment=production")
    bad = [
        place.token(iss="https://gitlab.example"),
        place.token(header={"kid": "blue"}),
        by_another_key(place),
        place.token(aud="https://github.com/octo-org"),
        place.token(iat=now() - 900, exp=now() - 600),
        place.token(repository_id="75"),
        place.token(environment="staging"),
        "a.b.c.d.e",
    ]

    def sent(token: str, **form: str) -> TestResponse:
        data = {"grant_type": "client_credentials", "client_assertion": token, "client_assertion_type": TYPE} | form
        return place.app.test_client().post("/oauth/token", data=data, headers={"X-Forwarded-Proto": "https"})

    responses = [*map(sent, bad), sent(place.token(), client_id="demo-admin")]

    assert {each.status_code for each in responses} == {401}
    assert len({each.data for each in responses}) == 1
    headers = [{k: v for k, v in each.headers if k not in ("Date", "X-Request-Id")} for each in responses]
    assert headers[1:] == headers[:-1]
    assert b"hint" not in responses[0].data
    assert sent(place.token()).status_code == 200


def test_R036_a_token_authenticates_at_every_endpoint_and_as_often_as_it_lives(place: Place) -> None:
    options = ("--scope", "read:logs", "--resource-server", ISSUER, "--issuer", "github", "--claim", "repository_id=74")
    place.operator.run("clients", "create", "api", *options)
    platform_token = place.token()
    issued = place.send(platform_token).json["access_token"]

    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
        responses = [send(place.app, platform_token, path, {"token": issued}) for _ in range(2)]

        assert [each.status_code for each in responses] == [200, 200], path


@pytest.mark.parametrize("typ", ["JWT", "jwt", "JOSE", LEFT_OUT])
def test_R033_the_type_of_a_platforms_token_is_accepted_or_left_out(shared: Place, typ: Any) -> None:
    assert shared.send(shared.token(header={"typ": typ})).status_code == 200


def test_R033_a_list_of_the_one_audience_is_accepted(shared: Place) -> None:
    assert shared.send(shared.token(aud=[ISSUER])).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": -3_659, "exp": -59},
        {"nbf": 60},
        {"iat": 60, "exp": 360},
        {"iat": 0, "exp": 3_600},
        {"iat": 0.5, "exp": 300.5},
    ],
    ids=["exp-past", "nbf", "iat", "an-hour", "fractions"],
)
def test_R034_R035_a_clock_may_differ_by_60_seconds_and_a_token_may_live_for_an_hour(
    shared: Place, changes: dict[str, float]
) -> None:
    with time_machine.travel(now(), tick=False):
        moved = {name: now() + by for name, by in changes.items()}

        assert shared.send(shared.token(**moved)).status_code == 200


def test_R037_a_key_in_the_header_is_ignored(shared: Place) -> None:
    """The attack: the header brings the attacker's own key."""
    header = {"jwk": FOREIGN.as_dict(private=False), "jku": "https://attacker.example/keys"}

    assert shared.hint(shared.token(header=header | {"kid": RSA_KEYS[0].thumbprint()}, key=FOREIGN))
    assert shared.send(shared.token(header=header)).status_code == 200


ALGORITHMS = {
    **{f"{kind}{bits}": RSA_KEYS[0] for kind in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": EC,
    "ES384": jwk.ECKey.generate_key("P-384"),
    "ES512": jwk.ECKey.generate_key("P-521"),
    "Ed25519": jwk.OKPKey.generate_key("Ed25519"),
    "EdDSA": jwk.OKPKey.generate_key("Ed25519"),
}


def test_R039_every_algorithm_that_keyturn_toml_may_allow_is_checked(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    platform = FakeIssuer(URL, ISSUER)
    table = TABLE.format(url=URL, audience=ISSUER, file=tmp_path / "keys.json")
    file = toml(tmp_path, f"{table}algorithms = {json.dumps(list(ALGORITHMS))}")
    place = Place(new_app(file=file), platform)
    place.trust("deployer", "repository_id=74")
    for alg, key in ALGORITHMS.items():
        platform.alg = alg
        platform.keys = [key]
        platform.write(tmp_path / "keys.json")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the name EdDSA is deprecated (RFC 9864)
            token = place.token()

        assert place.send(token).status_code == 200, alg
        assert "the signature is wrong" in place.hint(changed_signature(token)), alg


def changed_signature(token: str) -> str:
    head, middle, signature = token.split(".")
    return ".".join((head, middle, ("A" if signature[0] != "A" else "B") + signature[1:]))


def test_R025_a_wrong_token_counts_like_a_wrong_secret_and_a_failure_of_its_issuer_does_not(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    platform, file = platform_in(tmp_path)
    place = Place(new_app(file=file, limit_failures="2/hour"), platform)
    place.trust("deployer", "repository_id=74")
    (tmp_path / "keys.json").unlink()
    assert [place.send().status_code for _ in range(3)] == [401, 401, 401]
    platform.write(tmp_path / "keys.json")

    statuses = [place.send(place.token(repository_id="75")).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]
    assert place.send().status_code == 200


def test_R006_an_empty_client_id_is_none(shared: Place) -> None:
    assert shared.send(client_id="").status_code == 200


def test_R082_the_metadata_lists_the_registered_methods_alone(shared: Place) -> None:
    """To a client a platform's token is one more assertion, and `federated_jwt` is no word of the RFCs."""
    document = shared.app.test_client().get("/.well-known/oauth-authorization-server").json

    for endpoint in ("token", "introspection", "revocation"):
        assert document[f"{endpoint}_endpoint_auth_methods_supported"] == [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ]


def test_R018_a_token_of_a_platform_and_a_secret_are_two_ways(shared: Place) -> None:
    response = shared.send(client_secret="kts_x")

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_R027_R029_a_client_that_is_disabled_or_registered_for_another_method_is_refused(place: Place) -> None:
    place.trust("deployer", "repository_id=74")
    place.operator.run("clients", "disable", "deployer")
    assert place.hint() == "the client is disabled"
    place.operator.run("clients", "enable", "deployer")
    assert place.send().status_code == 200

    place.operator.run("clients", "update", "deployer", "--auth-method", "private_key_jwt")

    assert place.hint() == "the client is registered for private_key_jwt, a token of its platform was sent"


def test_with_an_issuer_declared_a_clients_own_assertion_is_accepted_as_before(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    made = place.operator.run("clients", "create", "signer", "--scope", "read:logs", "--generate-key", str(file))
    signer = Keyed(place.app, made["client_id"], jwk.import_key(file.read_text(), "EC"))

    assert signer.send().status_code == 200


HOSTILE = [
    {"sub": "\ud800"},
    {"repository_id": "74\x00"},
    {"repository_id": 74e400},
    {"environment": "x" * 4_000},
    {"environment": "eyJhbGciOi.kts_secret"},
    {"repository_id": {"a": {}}},
    {"exp": 1e308, "iat": 0},
    {"aud": {"a": 1}},
    {"repository_id": 10**1_000},
    {"environment": "production/" + "x" * 100},
]


def test_no_claim_ends_in_a_500_or_brings_a_secret_into_a_reason(place: Place) -> None:
    place.trust("deployer", "repository_id=74", "environment=production")

    for changes in HOSTILE:
        said = place.hint(place.token(**changes), client_id="x\x00")

        assert "kts_secret" not in said
        assert "?" not in said  # what an error may not have
        assert len(said) <= 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "repository_id", "environment"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claims=st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1, max_size=2))
def test_whatever_an_issuer_signs_is_accepted_or_refused(shared: Place, claims: dict[str, Any]) -> None:
    assert shared.send(shared.token(**claims)).status_code in (200, 401)


def test_an_expected_value_may_be_a_number_a_truth_or_within_an_object(place: Place) -> None:
    place.trust("deployer", "repository_id=74", "/run/attempt=2", "/run/is_first=false")

    run = {"attempt": 2, "is_first": False}
    assert place.send(place.token(repository_id=74, run=run)).status_code == 200
    assert place.hint(place.token(repository_id=74.0, run=run)).startswith("the claim repository_id is 74.0; ")
    assert place.hint(place.token(run=run | {"is_first": "False"})).startswith("the claim /run/is_first is False; ")
    assert "has no claim /run/attempt" in place.hint(place.token(run=[2]))


REFUSED_TRUSTS = [
    pytest.param(["--issuer", "githb", "--claim", "repository_id=74"], "did you mean github?", id="issuer"),
    pytest.param(["--issuer", "nothing", "--claim", "repository_id=74"], "it declares github", id="no-issuer"),
    pytest.param(["--issuer", URL, "--claim", "repository_id=74"], "did you mean github?", id="issuer-by-url"),
    pytest.param(["--claim", "environment=production"], "must expect a value of repository_id or", id="no-identity"),
    pytest.param(["--claim", "sub=*"], "must expect more than * of", id="anyone"),
    pytest.param(["--claim", "sub=*/*:*"], "must expect more than * of", id="anyone-in-parts"),
    pytest.param(["--claim", "sub=repo:*/*:environment:production"], "before the first *", id="any-owner"),
    pytest.param(["--claim", "sub=*/octo-repo"], "before the first *", id="the-name-alone"),
    pytest.param(["--claim", "sub=spiffe://*/ns/billing"], "before the first *", id="any-trust-domain"),
    pytest.param(["--claim", "sub=system:serviceaccount:*:builder"], "before the first *", id="any-namespace"),
    pytest.param(["--claim", "iss=https://a.example"], "iss identifies nobody", id="iss"),
    pytest.param(["--claim", "repository_id=74", "--claim", "aud=x"], "aud identifies nobody", id="aud"),
    pytest.param(["--claim", "/sub/x=5", "--claim", "/iss/x=5"], "the name of a claim is", id="within-iss"),
    pytest.param(["--claim", "/sub=5"], "the name of a claim is", id="pointer-to-a-member"),
    pytest.param(["--claim", "/a/~2=5"], "the name of a claim is", id="no-pointer"),
    pytest.param(["--claim", "sub=repo:octo-*/x:y"], "a * in the value of sub must be a whole segment", id="star"),
    pytest.param(["--claim", "sub=**"], "a * in the value of sub must be a whole segment", id="two-stars"),
    pytest.param(["--claim", "sub="], "1 to 512 printable characters", id="empty"),
    pytest.param(["--claim", "sub=a\nb"], "1 to 512 printable characters", id="newline"),
    pytest.param(["--claim", f"sub={'x' * 513}"], "1 to 512 printable characters", id="long"),
    pytest.param(["--claim", "sub=a", "--claim", "sub=b"], "each key once", id="twice"),
    pytest.param(["--claim", "sub"], "KEY=VALUE", id="no-value"),
    pytest.param([p for n in range(17) for p in ("--claim", f"c{n}=x")], "at most 16 claims", id="seventeen"),
    pytest.param(["--claim", "sub=a", "--name", "two words"], "a name is 1 to 64 letters", id="name"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED_TRUSTS)
def test_a_trust_that_cannot_be_right_is_refused(shared: Place, options: list[str], sentence: str) -> None:
    given = options if "--issuer" in options else ["--issuer", "github", *options]

    assert sentence in shared.operator.is_refused("clients", "trust", "deployer", *given)


# Each expected value with one that it matches and one that it does not.
VALUES = [
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org/a.b:ref:refs/heads/main", True),
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org/a/b:ref:refs/heads/main", False),
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org/:ref:refs/heads/main", False),
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org/a:x:ref:refs/heads/main", False),
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org/a:ref:refs/heads/main2", False),
    ("repo:octo-org/*:ref:refs/heads/main", "repo:octo-org@65/a@74:ref:refs/heads/main", False),
    ("refs/heads/*", "refs/heads/main", True),
    ("refs/heads/*", "refs/heads/feature/x", False),
    ("a.c", "abc", False),
    ("a.c/*", "abc/x", False),
    ("x/*", "x/a\nb", True),
    ("74", "74 ", False),
    ("Production", "production", False),
]


@pytest.mark.parametrize(("expected", "value", "matches"), VALUES)
def test_a_star_is_one_whole_segment(expected: str, value: str, matches: bool) -> None:
    assert (trust_rules.mismatches({"sub": expected}, {"sub": value}) == []) is matches


OVERLAPS = [
    ({"repository_id": "1"}, {"repository_id": "1"}, True),
    ({"repository_id": "1"}, {"repository_id": "2"}, False),
    ({"repository_id": "1", "environment": "a"}, {"repository_id": "1", "environment": "b"}, False),
    ({"repository_id": "1", "environment": "a"}, {"repository_id": "1", "ref": "b"}, True),
    ({"repository_id": "1"}, {"sub": "repo:a/b"}, False),  # that cannot be known
    ({"sub": "repo:a/*"}, {"sub": "repo:a/b"}, True),
    ({"sub": "repo:a/*:x"}, {"sub": "repo:a/b:*"}, True),
    ({"sub": "repo:a/*:x"}, {"sub": "repo:a/b:y"}, False),
    ({"sub": "repo:a/*"}, {"sub": "repo:a/b/c"}, False),
    ({"sub": "repo:*"}, {"sub": "repo:"}, False),
]


@pytest.mark.parametrize(("one", "other", "is_known"), OVERLAPS)
def test_two_trusts_overlap_if_no_claim_tells_them_apart(
    one: dict[str, str], other: dict[str, str], is_known: bool
) -> None:
    issuer = config.Issuer(name="x", issuer=URL, audience="a", identity_claims=("repository_id", "sub"))

    assert trust_rules.overlap(issuer, one, other) is is_known
    assert trust_rules.overlap(issuer, other, one) is is_known


PARTS = st.lists(st.tuples(st.sampled_from(["a", "b", "*", ""]), st.sampled_from(":/")), min_size=1, max_size=4)
EXPECTED = PARTS.map(lambda parts: "".join(segment + separator for segment, separator in parts)[:-1])


@given(EXPECTED, EXPECTED, EXPECTED)
def test_two_expected_values_can_be_equal_exactly_if_one_text_is_as_both_expect(
    one: str, other: str, text: str
) -> None:
    pairs = zip(trust_rules.SEPARATOR.split(one), trust_rules.SEPARATOR.split(other), strict=False)
    common = "".join(b if a == "*" else a for a, b in pairs).replace("*", "x")
    both = [trust_rules.is_value(one, each) and trust_rules.is_value(other, each) for each in (common, text)]

    assert trust_rules.can_be_equal(one, other) is both[0]
    assert trust_rules.can_be_equal(one, other) or not both[1]


def test_two_clients_that_one_token_would_match_are_refused_and_the_other_is_named(place: Place) -> None:
    place.trust("deployer", "repository_id=74", "environment=production")
    given = ["--issuer", "github", "--claim", "repository_id=74"]
    scope = ["--scope", "read:logs"]

    said = place.operator.is_refused("clients", "create", "other", *scope, *given)

    assert "a token of github could match the trusts of other and of deployer" in said
    assert [each["name"] for each in place.operator.run("clients", "list")["clients"] if each["name"] == "other"] == []
    place.operator.run("clients", "create", "other", *scope, *given, "--claim", "environment=staging")
    assert "of deployer and of other" in place.operator.is_refused("clients", "trust", "deployer", *given)
    place.operator.run("clients", "untrust", "other", "github-1", "--last")
    place.operator.run("clients", "trust", "deployer", *given)  # what has ended is in nobody's way


def test_of_clients_that_are_registered_at_once_with_one_identity_one_is_stored(
    place: Place, new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    apps = [place.app, new_app(file=platform_in(tmp_path)[1])]

    def register(number: int) -> str:
        with apps[number % 2].app_context():
            try:
                trust = trust_rules.checked_trust("github", {"repository_id": "74"})
                registration.register(f"client-{number}", scope="read:logs", trust=trust)
            except RegistrationError as error:
                return str(error)
            return "stored"

    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(register, range(16)))

    assert stored.count("stored") == 1
    assert sum("could match the trusts of" in each for each in stored) == 15
    assert place.send().status_code == 200


def test_a_client_has_several_trusts_and_each_is_ended_by_itself(place: Place) -> None:
    client_id = place.trust("deployer", "repository_id=74", "environment=production")
    again = ("clients", "trust", "deployer", "--issuer", "github", "--claim", "environment=production")
    same = place.operator.run(*again, "--claim", "repository_id=74")
    assert ([each["name"] for each in same["trusts"]], same["changed"]) == (["github-1"], False)
    assert "is named github-1" in place.operator.is_refused(*again, "--claim", "repository_id=74", "--name", "mine")
    assert "has a trust named github-1" in place.operator.is_refused(
        *again, "--claim", "repository_id=76", "--name", "github-1"
    )
    added = place.operator.run(*again, "--claim", "repository_id=75", "--not-after", "1h")["trusts"][0]
    assert (added["name"], added["state"], added["issuer"]) == ("github-2", "works", URL)
    assert place.send(place.token(repository_id="75")).status_code == 200

    ended = place.operator.run("clients", "untrust", "deployer", "github-1")

    assert ended["trusts"][0]["state"] == "ended"
    assert place.send().status_code == 401
    assert place.operator.run("clients", "untrust", "deployer", "github-1")["changed"] is False
    assert "is the only trust" in place.operator.is_refused("clients", "untrust", "deployer", "github-2")
    assert "did you mean github-2?" in place.operator.is_refused("clients", "untrust", "deployer", "github-22")
    shown = place.operator.run("clients", "trusts", "deployer")["trusts"]
    assert [(each["name"], each["state"], bool(each["last_used_at"])) for each in shown] == [
        ("github-1", "ended", False),
        ("github-2", "works", True),
    ]
    for number in range(6):
        place.operator.run(*again, "--claim", f"repository_id=9{number}")
    place.operator.run(*again, "--claim", "repository_id=99")  # in the place of the one that has ended
    assert "has at most 8 trusts" in place.operator.is_refused(*again, "--claim", "repository_id=100")
    with time_machine.travel(now() + 3_601, tick=False):
        assert "the trust github-2 of deployer ended " in place.hint(place.token(repository_id="75"))
    events = demo(place.app, "demo-admin").events(client_id=client_id, event="client_trust_removed")
    assert [each["reason"] for each in events] == [f"trust github-1: {URL} repository_id environment"]


def test_a_client_of_a_platform_has_no_secret_and_one_with_a_secret_may_get_a_trust_beside_it(place: Place) -> None:
    made = place.operator.run(
        "clients", "create", "deployer", "--scope", "read:logs", "--issuer", "github", "--claim", "repository_id=74"
    )
    assert (made["secrets"], made["token_endpoint_auth_method"]) == ([], "federated_jwt")
    assert "client_secret" not in made
    assert "gives it another trust" in place.operator.is_refused("clients", "rotate-secret", "deployer")
    given = ("--issuer", "github", "--claim", "repository_id=75")
    strict = place.operator.register("strict", "--scope", "read:logs", "--auth-method", "client_secret_post")
    assert "may not use a token of another issuer" in place.operator.is_refused("clients", "trust", "strict", *given)
    place.operator.run("clients", "update", "strict", "--auth-method", "any")
    place.operator.run("clients", "trust", "strict", *given)
    assert strict.request_token().status_code == 200
    assert place.send(place.token(repository_id="75")).status_code == 200

    place.operator.run("clients", "update", "strict", "--auth-method", "federated_jwt")

    assert strict.request_token().json["hint"] == "the client is registered for federated_jwt, Basic was sent"
    assert place.send(place.token(repository_id="75")).status_code == 200
    place.operator.run("clients", "revoke-secret", "strict", "secret-1")  # without --last: its trust works


@pytest.mark.parametrize(
    ("old", "method", "sentence"),
    [
        (
            "any",
            "federated_jwt",
            "It has no trust that works, and gets no token: `flask clients trust shop` gives it one.",
        ),
        (
            "any",
            "private_key_jwt",
            "It has no key that works, and gets no token: `flask clients add-key shop` gives it one.",
        ),
        ("any", "client_secret_post", None),
        ("client_secret_post", "any", None),
    ],
)
def test_a_change_of_the_method_says_what_the_client_lacks(
    alone: Place, old: str, method: str, sentence: str | None
) -> None:
    alone.operator.register("shop", "--scope", "read:logs", "--auth-method", old)

    done = alone.app.test_cli_runner().invoke(args=["clients", "update", "shop", "--auth-method", method])

    said = [f"token_endpoint_auth_method: {old} -> {method}", sentence]
    assert done.stdout.splitlines() == [each for each in said if each]


@pytest.mark.parametrize("command", [["create", "shop", "--scope", "read:logs"], ["trust", "demo-admin"]])
@pytest.mark.parametrize(("claim", "is_anyones"), [("sub=repo:octo-org/*:environment:x", True), ("sub=a", False)])
def test_a_trust_without_an_exact_identity_is_pointed_out(
    alone: Place, command: list[str], claim: str, is_anyones: bool
) -> None:
    done = alone.app.test_cli_runner().invoke(args=["clients", *command, "--issuer", "github", "--claim", claim])

    assert done.exit_code == 0
    assert ("anyone whose token fits authenticates as" in done.output) is is_anyones


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--auth-method", "federated_jwt"], "federated_jwt needs a trust: give it with --issuer and --claim"),
        (["--issuer", "github", "--auth-method", "client_secret_basic"], "with a trust the method is federated_jwt"),
        (["--issuer", "github", "--claim", "actor=x"], "must expect a value of"),
    ],
)
def test_options_about_a_trust_that_cannot_be_right_are_refused(
    shared: Place, options: list[str], sentence: str
) -> None:
    claims = [] if "--claim" in options else ["--claim", "repository_id=1000"]
    given = options if "--issuer" not in options else [*options, *claims]

    assert sentence in shared.operator.is_refused("clients", "create", "other", "--scope", "read:logs", *given)


def test_the_issuer_of_a_trust_is_its_url_and_not_the_name_of_a_table(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """The attack: somebody points `[issuers.github]` at a server of theirs."""
    platform, file = platform_in(tmp_path)
    Place(new_app(file=file), platform).trust("deployer", "repository_id=74")
    other = FakeIssuer("https://other.example", ISSUER, keys=[FOREIGN])
    table = TABLE.format(url=other.url, audience=ISSUER, file=other.write(tmp_path / "other.json"))
    place = Place(new_app(file=toml(tmp_path, table)), other)

    assert place.hint() == "no client trusts a token of github"
    (trust,) = place.operator.run("clients", "trusts", "deployer")["trusts"]
    assert (trust["issuer"], trust["state"]) == (URL, "undeclared")


GOOD = {"issuer": "https://issuer.example", "audience": "https://auth.example.com"}
KEYS_URI = "https://tenant.example/discovery/v2.0/keys?p=b2c_1_sign-in&v=2"
FAULTS = [
    ({"isuer": "https://a.example"}, "isuer is unknown; did you mean issuer?"),
    ({"issuer": LEFT_OUT}, "[issuers.x] has no issuer: an http or https URL"),
    ({"audience": LEFT_OUT}, "[issuers.x] has no audience: the text that"),
    ({"issuer": "issuer.example"}, "issuer of x must be an http or https URL"),
    ({"issuer": "https://issuer.example?a=b"}, "issuer of x must be an http or https URL"),
    ({"issuer": "https://issuer.example:65536"}, "issuer of x must be an http or https URL"),
    ({"issuer": "https://" + "a" * 200}, "issuer of x must be an http or https URL"),
    ({"audience": ""}, "audience of x must be the text"),
    ({"audience": ["a"]}, "audience of x must be the text"),
    ({"identity_claims": []}, "identity_claims of x must be a list of 1 to 8 claims"),
    ({"identity_claims": "sub"}, "identity_claims of x must be a list of 1 to 8 claims"),
    ({"identity_claims": ["iss"]}, "identity_claims of x must be a list of 1 to 8 claims"),
    ({"identity_claims": ["sub", "sub"]}, "identity_claims of x must be a list of 1 to 8 claims"),
    ({"identity_claims": [f"c{n}" for n in range(9)]}, "identity_claims of x must be a list of 1 to 8 claims"),
    ({"algorithms": ["HS256"]}, "algorithms of x must be a list of RS256"),
    ({"algorithms": ["none"]}, "algorithms of x must be a list of RS256"),
    ({"algorithms": [["RS256"]]}, "algorithms of x must be a list of RS256"),
    ({"max_token_seconds": 86_401}, "max_token_seconds of x must be a whole number from 1 to 86400"),
    ({"max_token_seconds": True}, "max_token_seconds of x must be a whole number"),
    ({"jwks_uri": "ftp://a.example"}, "jwks_uri of x must be an http or https URL"),
    ({"jwks_file": "keys.json"}, "jwks_file of x must be the absolute path of a file"),
    ({"jwks_file": "/keys.json", "jwks_uri": "https://a.example"}, "come from one place"),
    ({"private_network": "yes"}, "private_network of x must be true or false"),
]


@pytest.mark.parametrize(("changes", "sentence"), FAULTS)
def test_a_fault_in_the_table_of_an_issuer_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    members = {key: value for key, value in (GOOD | changes).items() if value is not LEFT_OUT}
    lines = [f"{key} = {json.dumps(value)}" for key, value in members.items()]

    (fault,) = read_settings({"KEYTURN_FILE": toml(tmp_path, "\n".join(["[issuers.x]", *lines]))}).faults

    assert sentence in fault
    assert re.search(r": line \d+: ", fault)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (['[issuers."a b"]\nissuer = "https://a.example"'], "an issuer's name is 1 to 48 letters"),
        (['[issuers]\nx = "https://a.example"'], "issuers.x is not a table"),
        (['[[issuers]]\nissuer = "https://a.example"'], "issuers is not a table"),
        (['[issuer.x]\nissuer = "https://a.example"'], "issuer is unknown; did you mean issuers?"),
        ([f'[issuers.{name}]\nissuer = "https://a.example"\naudience = "b"' for name in "xy"], "x and y are one"),
        ([f'[issuers.x]\nissuer = "{ISSUER}"\naudience = "b"'], "without this server (KEYTURN_ISSUER)"),
    ],
)
def test_a_fault_in_the_tables_of_issuers_is_named(tmp_path: Path, tables: list[str], sentence: str) -> None:
    (fault,) = read_settings({"KEYTURN_FILE": toml(tmp_path, *tables)}).faults

    assert sentence in fault


def test_the_address_of_a_key_set_may_have_a_query(tmp_path: Path) -> None:
    """As that of a policy of Azure AD B2C."""
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (GOOD | {"jwks_uri": KEYS_URI}).items())

    found = read_settings({"KEYTURN_FILE": toml(tmp_path, f"[issuers.x]\n{table}")})

    assert found.faults == ()
    assert found.issuers[0].jwks_uri == KEYS_URI


@pytest.mark.parametrize("key", ["issuer", "jwks_uri"])
def test_in_production_an_issuer_is_https(tmp_path: Path, key: str) -> None:
    members = GOOD | {key: "http://issuer.example"}
    table = "\n".join(["[issuers.x]", *(f'{name} = "{value}"' for name, value in members.items())])
    given = {"KEYTURN_FILE": toml(tmp_path, table)}
    production = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
    production["KEYTURN_SECRET_KEYS"] = SECRET_KEY

    assert read_settings(given).faults == ()
    assert "whose issuers are https in production, and http://issuer.example is not" in str(
        read_settings(given | production).faults
    )


# Each recipe of the page, with the table of its issuer pointed at a platform on loopback.
PAGE = page("federation")
RECIPES = [
    heading for heading in re.findall(r"^## (.+)$", PAGE.prose, re.MULTILINE) if "```toml" in PAGE.section(heading)
]
AUDIENCE = "https://auth.example.com"


@pytest.fixture(scope="module")
def platform() -> Iterator[FakeIssuer]:
    with fake_issuer.served(AUDIENCE) as found:
        yield found


def from_page(heading: str, platform: FakeIssuer, folder: Path) -> str:
    """The path of a keyturn.toml with the excerpt of a recipe, in which only the addresses are another's."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.section(heading), re.DOTALL | re.MULTILINE)
    ((_, table),) = tomllib.loads(text)["issuers"].items()
    platform.path = "/" + table["issuer"].partition("://")[2].partition("/")[2]
    platform.audience = table["audience"]
    text = text.replace(table["issuer"], platform.url)
    if "jwks_file" in table:
        text = text.replace(table["jwks_file"], str(platform.write(folder / "cluster-keys.json")))
    return toml(folder, text)


@pytest.fixture
def recipe(prepared: Callable[[str], str], platform: FakeIssuer, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Follows a recipe of the page: its excerpt, and its commands with their outputs."""
    made: list[Flask] = []

    def follow(heading: str, *headings: str) -> Place:
        platform.rotate(RSA_KEYS[0])
        platform.alg, platform.key_file = "RS256", None
        platform.requests.clear()
        made.append(build_app(database_url=prepared("sqlite"), file=from_page(heading, platform, tmp_path)))
        for each in (heading, *headings):
            for command, shown in commands(each):
                run(made[-1], command, shown, table_address(heading), platform.url)
        return Place(made[-1], platform)

    yield follow
    for app in made:
        close(app)


def commands(heading: str) -> list[tuple[str, str]]:
    found = re.findall(r"^```console\n(.*?)^```$", PAGE.section(heading), re.DOTALL | re.MULTILINE)
    parts = [part for block in found for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def table_address(heading: str) -> str:
    return re.findall(r'^issuer = "(.*)"$', PAGE.section(heading), re.MULTILINE)[0]


def run(app: Flask, command: str, shown: str, address: str, url: str) -> None:
    program, *args = shlex.split(command)
    done = app.test_cli_runner().invoke(args=args)
    assert (program, done.exit_code) == (".venv/bin/flask", 0), done.output
    assert pattern(shown).fullmatch(done.stdout.replace(url, address).strip()), done.stdout


def claims_of_entra(**changes: Any) -> dict[str, Any]:
    usual = {"oid": "9f8e7d6c-0000-4000-8000-5b4a39281706", "sub": "9f8e7d6c-0000-4000-8000-5b4a39281706"}
    return (
        usual
        | {"tid": "3b4c5d6e-0000-4000-8000-1a2b3c4d5e6f", "ver": "2.0", "iat": now() - 300, "exp": now() + 4_200}
        | changes
    )


def claims_of_google(**changes: Any) -> dict[str, Any]:
    usual = {"sub": "113475438248934895348", "azp": "113475438248934895348", "email_verified": True}
    return usual | {"email": "collector@project.iam.gserviceaccount.com", "exp": now() + 3_600} | changes


TOKENS: dict[str, Callable[..., dict[str, Any]]] = {
    "GitHub Actions": fake_issuer.github,
    "GitLab CI": fake_issuer.gitlab,
    "Kubernetes": fake_issuer.kubernetes,
    "SPIFFE": fake_issuer.spiffe,
    "Microsoft Entra": claims_of_entra,
    "Google Cloud": claims_of_google,
}


def test_every_recipe_of_the_page_is_followed_here() -> None:
    assert list(TOKENS) == RECIPES


def accepted(place: Place, claims: dict[str, Any], **how: Any) -> TestResponse:
    response = send(place.app, place.platform.sign(claims, **how))
    assert response.status_code == 200, response.text
    return response


def refused(place: Place, claims: dict[str, Any], **how: Any) -> str:
    response = send(place.app, place.platform.sign(claims, **how))
    assert response.status_code == 401, response.text
    return str(response.json["hint"])


def test_a_job_of_github_is_known_by_ids_whatever_its_sub_is(recipe: Callable[..., Place]) -> None:
    """The attack: a repository is deleted, and created again by another owner under its name."""
    place = recipe("GitHub Actions")

    accepted(place, fake_issuer.github())
    accepted(place, fake_issuer.github_immutable())

    assert fake_issuer.github_immutable()["sub"] == "repo:octo-org@65/octo-repo@74:environment:production"
    assert refused(place, fake_issuer.github(repository_id="9074")) == (
        "the claim repository_id is 9074; github-1 of deployer expects 74"
    )
    assert refused(place, fake_issuer.github_immutable(repository_id="9074", repository_owner_id="9065"))
    assert "repository_owner_id is 9065" in refused(place, fake_issuer.github(repository_owner_id="9065"))
    assert "environment is staging" in refused(place, fake_issuer.github(environment="staging"))
    assert "has no claim environment" in refused(place, fake_issuer.github(environment=LEFT_OUT))
    assert place.platform.requests == ["/.well-known/openid-configuration", "/keys"]


def test_a_job_of_github_on_a_wrong_branch_is_refused(recipe: Callable[..., Place]) -> None:
    place = recipe("GitHub Actions")
    place.trust("nightly", "repository_id=80", "ref=refs/heads/main", "event_name=push")
    job = {"repository_id": "80", "environment": LEFT_OUT}

    accepted(place, fake_issuer.github(**job))

    for ref in ("refs/heads/feature", "refs/tags/main", "refs/pull/5/merge"):
        assert refused(place, fake_issuer.github(**job, ref=ref)) == (
            f"the claim ref is {ref}; github-1 of nightly expects refs/heads/main"
        )
    assert "event_name is pull_request_target" in refused(
        place, fake_issuer.github(**job, event_name="pull_request_target")
    )


def test_what_a_client_trusts_is_changed_as_the_page_shows(recipe: Callable[..., Place]) -> None:
    place = recipe("GitHub Actions", "Change what a client trusts")

    accepted(place, fake_issuer.github(repository_id="75"))
    assert "the trust github-1 of deployer ended" in refused(place, fake_issuer.github())


def test_a_job_of_gitlab_is_known_by_its_project_and_a_protected_branch(recipe: Callable[..., Place]) -> None:
    place = recipe("GitLab CI")

    accepted(place, fake_issuer.gitlab())
    accepted(place, fake_issuer.gitlab(project_path="renamed/project"))

    assert "project_id is 21" in refused(place, fake_issuer.gitlab(project_id="21"))
    assert refused(place, fake_issuer.gitlab(ref="feature", ref_protected="false")) == (
        "the claim ref_protected is false; gitlab-1 of publisher expects true"
    )


def test_a_pod_is_known_by_the_uid_of_its_service_account_through_a_rotation(recipe: Callable[..., Place]) -> None:
    """The attack: a service account is deleted, and created again under its name by another one."""
    place = recipe("Kubernetes")
    accepted(place, fake_issuer.kubernetes())

    place.platform.rotate(*RSA_KEYS[::-1])  # the new key signs, and the old one is still published

    accepted(place, fake_issuer.kubernetes())
    accepted(place, fake_issuer.kubernetes(), key=RSA_KEYS[0])
    place.platform.rotate(RSA_KEYS[1])
    assert "no key with the kid" in refused(place, fake_issuer.kubernetes(), key=RSA_KEYS[0])
    uid = "0b2d6f0e-63c5-4d4e-9b2c-7a1f0e9d8c7b"
    assert refused(place, fake_issuer.kubernetes(uid)) == (
        f"the claim /kubernetes.io/serviceaccount/uid is {uid}; cluster-1 of exporter expects "
        "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"
    )
    assert place.platform.requests == []  # the keys are in a file


def test_a_workload_of_spiffe_is_known_by_its_id_and_its_aud_is_a_list_of_one(recipe: Callable[..., Place]) -> None:
    place = recipe("SPIFFE")
    place.platform.rotate(EC)
    place.platform.alg = "ES256"

    accepted(place, fake_issuer.spiffe(aud=[AUDIENCE]))

    assert "spire-1 of billing expects" in refused(
        place, fake_issuer.spiffe(aud=[AUDIENCE], sub="spiffe://example.org/ns/billing/sa/other")
    )
    assert "is a list of 2" in refused(place, fake_issuer.spiffe(aud=[AUDIENCE, "https://other.example"]))


@pytest.mark.parametrize(("heading", "identity"), [("Microsoft Entra", "oid"), ("Google Cloud", "sub")])
def test_a_cloud_knows_a_workload_by_an_id(recipe: Callable[..., Place], heading: str, identity: str) -> None:
    place = recipe(heading)

    accepted(place, TOKENS[heading]())

    assert f"the claim {identity} is 5; " in refused(place, TOKENS[heading](**{identity: "5"}))


def test_a_token_of_another_tenant_is_refused_and_both_are_named(
    prepared: Callable[[str], str], tmp_path: Path
) -> None:
    """A reason is bounded, and the issuers of Entra are long."""
    ours, other = (f"https://login.microsoftonline.com/{each}/v2.0" for each in (UUID, UUID.replace("3", "4")))
    file = FakeIssuer(ours, ISSUER).write(tmp_path / "keys.json")
    app = build_app(
        database_url=prepared("sqlite"), file=toml(tmp_path, TABLE.format(url=ours, audience=ISSUER, file=file))
    )

    hint = Place(app, FakeIssuer(other, ISSUER)).hint()
    close(app)

    assert hint == f"iss is {other}, which keyturn.toml does not declare; did you mean {ours}?"


def test_an_issuer_with_a_new_key_is_read_again_and_one_that_is_down_is_not_needed(
    recipe: Callable[..., Place],
) -> None:
    place = recipe("GitHub Actions")
    with time_machine.travel(now(), tick=False) as clock:
        accepted(place, fake_issuer.github())
        clock.shift(120)
        place.platform.rotate(FOREIGN)

        accepted(place, fake_issuer.github())

    assert place.platform.requests.count("/keys") == 2


def test_the_key_set_may_have_an_address_of_its_own(
    prepared: Callable[[str], str], platform: FakeIssuer, tmp_path: Path
) -> None:
    platform.requests.clear()
    platform.path, platform.audience = "/", ISSUER
    table = TABLE.format(url=platform.url, audience=ISSUER, file="")
    file = toml(tmp_path, table.replace('jwks_file = ""', f'jwks_uri = "{platform.address}/keys"'))
    app = build_app(database_url=prepared("sqlite"), file=file)
    Place(app, platform).trust("deployer", "repository_id=74")

    accepted(Place(app, platform), fake_issuer.github())

    assert platform.requests == ["/keys"]
    close(app)


def test_the_key_set_of_a_platform_that_cannot_be_fetched_is_the_cause(recipe: Callable[..., Place]) -> None:
    place = recipe("GitHub Actions")
    place.platform.path = "/elsewhere"  # its metadata name another issuer now

    said = refused(place, fake_issuer.github(iss=place.platform.url.removesuffix("/elsewhere")))

    assert ASSERTION_CAUSES["status"].matches(said), said
