"""Workload identity federation: a token of a client's platform authenticates it (RFC 7523, section 3)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from joserfc import jwk
from werkzeug.test import TestResponse

from app.clock import now
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.refusals.platform_causes import PLATFORM_CAUSES
from tests.conftest import ISSUER, Operator, build_app, close, demo
from tests.support import fake_issuer
from tests.support.fake_issuer import LEFT_OUT, RSA_KEYS, FakeIssuer
from tests.support.federated import send, toml
from tests.support.keyed import TYPE, Keyed
from tests.test_rfc7523 import encoded

FOREIGN = RSA_KEYS[1]
EC = jwk.ECKey.generate_key("P-256")
URL = "https://token.actions.example"

# The platform of these tests: its key set is in a file, so that no request leaves the process.
TABLE = """
[issuers.github]
issuer = "{url}"
audience = "{audience}"
identity_claims = ["repository_id", "repository_owner_id", "sub"]
jwks_file = "{file}"
"""


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


def platform_in(folder: Path, *, audience: str = ISSUER) -> tuple[FakeIssuer, str]:
    platform = FakeIssuer(URL, audience)
    file = platform.write(folder / "keys.json")
    return platform, toml(folder, TABLE.format(url=URL, audience=audience, file=file))


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
    ("issuer_unknown", "neither the client's id nor", lambda p: p.send(p.token(iss="https://gitlab.example"))),
    ("issuer_unknown", f"; did you mean {URL}?", lambda p: p.send(p.token(iss=f"{URL}/"))),
    ("issuer_unknown", f"; did you mean {URL}?", lambda p: p.send(p.token(iss=URL.removeprefix("https://")))),
    (
        "malformed",
        "the assertion's header",
        lambda p: p.send("%%%." + encoded({"iss": URL}, {}).replace(".", ".") + ""),
    ),
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
    ("platform_kid_unknown", "has the kid blue; it has ", lambda p: p.send(p.token(header={"kid": "blue"}))),
    ("platform_wrong_key", "was not signed with the key", lambda p: p.send(by_another_key(p))),
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
    ("trust_of_another", "names another client than github-1 of", lambda p: p.send(client_id="demo-admin")),
]


def by_another_key(place: Place) -> str:
    """The attack: another key under the name of the right one."""
    return place.token(key=FOREIGN, header={"kid": place.platform.keys[0].thumbprint()})


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
    ("platform_kid_missing", "has no kid, and the issuer has 2 keys: ", with_two_keys),
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

    assert_cause(break_it(alone), name, sentence)


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

    events = demo(place.app, "demo-admin").events(client_id=client_id)
    assert [(each["event"], each.get("credential")) for each in events] == [
        ("token_issued", "github-1"),
        ("client_created", None),
    ]


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
]


def test_no_claim_ends_in_a_500_or_brings_a_secret_into_a_reason(place: Place) -> None:
    place.trust("deployer", "repository_id=74", "environment=production")

    for changes in HOSTILE:
        said = place.hint(place.token(**changes), client_id="x\x00")

        assert "kts_secret" not in said
        assert len(said) <= 200


def test_an_expected_value_may_be_a_number_a_truth_or_within_an_object(place: Place) -> None:
    place.trust("deployer", "repository_id=74", "/run/attempt=2", "/run/is_first=false")

    run = {"attempt": 2, "is_first": False}
    assert place.send(place.token(repository_id=74, run=run)).status_code == 200
    assert place.hint(place.token(repository_id=74.0, run=run)).startswith("the claim repository_id is 74.0; ")
    assert place.hint(place.token(run=run | {"is_first": "False"})).startswith("the claim /run/is_first is False; ")
    assert "has no claim /run/attempt" in place.hint(place.token(run=[2]))
