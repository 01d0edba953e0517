"""`flask doctor` on trusts and on keys that are elsewhere: each installation is broken, and the check says how."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from joserfc import jwk

from app.audit import trail
from app.clients import registration
from app.doctor import credential_checks
from app.doctor.examining import CHECKS, findings_of
from app.doctor.finding import Finding
from app.doctor.installation import Installation
from app.settings import current_settings
from tests.conftest import Operator, free_port
from tests.support import fake_issuer, federated, keyed
from tests.support.key_server import key_set, sends, sends_text, serving
from tests.support.keyed import Keyed

KEY = jwk.ECKey.generate_key("P-256")
CI = '[issuers.ci]\nissuer = "https://ci.example"\naudience = "https://auth.example"\n'
ByIssuers = Callable[..., Flask]


@pytest.fixture
def database_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    """Of SQLite, unless a test is of both."""
    return prepared(getattr(request, "param", "sqlite"))


ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def with_issuers(new_app: Callable[..., Flask], tmp_path: Path) -> ByIssuers:
    """Creates apps on this test's database, each with a keyturn.toml that has these issuers."""

    def make(*tables: str) -> Flask:
        return new_app(file=federated.toml(tmp_path, *tables))

    return make


def found(app: Flask, name: str) -> list[Finding]:
    check = next(each for each in CHECKS if each.name == name)
    return findings_of(check, Installation(current_settings.of(app)), app)


def said(app: Flask, name: str, kind: str) -> str:
    """What a check says, of which each finding is of this kind."""
    findings = found(app, name)
    assert {each.kind for each in findings} == {kind}
    assert kind == "note" or all(each.remedy for each in findings)
    return "\n".join(f"{each.what} {each.remedy}" for each in findings)


def trust(app: Flask, client: str, *claims: str) -> None:
    options = [word for claim in claims for word in ("--claim", claim)]
    Operator(app).run("clients", "create", client, "--scope", "read:logs", "--issuer", "ci", *options)


def elsewhere(app: Flask, address: str, name: str = "signer") -> Keyed:
    with app.app_context():
        made, _ = registration.register(name, scope="read:logs", jwks_uri=address)
        return Keyed(app, made.client_id, KEY)


@ON_BOTH
def test_a_trust_of_an_issuer_that_keyturn_toml_does_not_declare_is_found(with_issuers: ByIssuers) -> None:
    before = with_issuers(CI)
    trust(before, "deployer", "sub=a")
    trust(before, "other", "sub=b")
    Operator(before).run("clients", "untrust", "other", "ci-1", "--last")
    assert found(before, "trusts") == []

    text = said(with_issuers(), "trusts", "fault")

    assert "declare the issuer https://ci.example of the trusts ci-1 of deployer: they match no token." in text
    assert "Declare it, or end them with `flask clients untrust deployer ci-1`." in text
    assert "other" not in text


def test_trusts_that_overlap_since_identity_claims_were_changed_are_found(with_issuers: ByIssuers) -> None:
    before = with_issuers(CI + 'identity_claims = ["repository_id", "actor"]\n')
    trust(before, "deployer", "repository_id=1", "ref=main")
    trust(before, "nightly", "actor=x", "ref=main")
    trust(before, "third", "repository_id=3", "ref=main")
    assert found(before, "trusts") == []

    text = said(with_issuers(CI + 'identity_claims = ["repository_id", "actor", "ref"]\n'), "trusts", "fault")

    assert "A token of ci could match the trusts of deployer and of nightly, and no server could tell" in text
    assert "of nightly and of third" in text
    assert "of deployer and of third" not in text  # their repository differs
    assert "`flask clients trusts deployer` and `nightly` show both." in text


def test_trusts_that_lost_their_identity_since_identity_claims_were_changed_are_found(with_issuers: ByIssuers) -> None:
    before = with_issuers(CI)
    trust(before, "by-name", "sub=a")
    trust(before, "by-both", "sub=b", "repository_id=1")

    text = said(with_issuers(CI + 'identity_claims = ["repository_id"]\n'), "trusts", "fault")

    assert "The trust ci-1 of by-name expects no value of repository_id, as keyturn.toml is now." in text
    assert re.search("ci-1 of by-both is found by sub, which is no identity claim of ci: it matches no token", text)
    assert "Correct the identity_claims of ci, or replace the trust" in text


@ON_BOTH
def test_a_client_by_key_or_by_trust_only_that_has_none_is_found(with_issuers: ByIssuers, tmp_path: Path) -> None:
    app = with_issuers(CI)
    operator = Operator(app)
    made = operator.run(
        *("clients", "create", "keyless", "--scope", "read:logs", "--generate-key", str(tmp_path / "a.pem"))
    )
    elsewhere(app, "https://signer.example/jwks")
    for name in ("trustless", "disabled"):
        trust(app, name, f"sub={name}")
        operator.run("clients", "untrust", name, "ci-1", "--last")
    operator.run("clients", "disable", "disabled")
    before = said(app, "credentials", "warning")
    operator.run("clients", "remove-key", "keyless", made["keys"][0]["kid"], "--last")

    text = said(app, "credentials", "warning")

    assert "No trust of trustless works, and nothing else authenticates it" in before
    assert "`flask clients trust trustless --issuer NAME --claim KEY=VALUE` gives it one" in before
    assert "keyless" not in before
    assert "No key of keyless works" in text
    assert not {"signer", "disabled"} & set(re.findall("[a-z]+", text))


def test_key_sets_that_can_be_had_are_nothing_to_say(with_issuers: ByIssuers, tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(key_set(KEY))
    with serving(sends(KEY)) as server:
        app = with_issuers(CI + f'jwks_file = "{tmp_path / "cluster.json"}"\n')
        elsewhere(app, server.url())

        assert found(app, "key sets") == []
        assert server.paths == ["/keys"]


@ON_BOTH
def test_a_key_set_that_cannot_be_fetched_is_found_with_the_cause_and_what_the_servers_use(
    with_issuers: ByIssuers,
) -> None:
    app = with_issuers(CI + f'jwks_uri = "http://127.0.0.1:{free_port()}/keys"\n')
    with serving(sends(KEY)) as server:
        client = elsewhere(app, server.url())
        assert client.send().status_code == 200
        server.respond = sends_text("nothing here", 404)
        text = said(app, "key sets", "fault")

    of_issuer, of_client = text.splitlines()
    assert "The keys of the issuer ci cannot be had: the key set cannot be fetched from 127.0.0.1:" in of_issuer
    assert "Tokens that need them are refused." in of_issuer
    assert "The keys of signer cannot be had: 127.0.0.1:" in of_client
    assert re.search(
        r"with status 404 .*The servers use those of \d+ seconds? ago, for 2[45] hours at most.*curl", of_client
    )


def test_a_key_set_that_only_the_servers_could_not_fetch_is_found(with_issuers: ByIssuers) -> None:
    app = with_issuers()
    with serving(sends_text("[]")) as server:
        client = elsewhere(app, server.url())
        assert client.send().status_code == 401
        server.respond = sends(KEY)

        text = said(app, "key sets", "warning")

    assert "The servers could not fetch the keys of signer the last time, and this command can: 127.0.0.1:" in text
    assert "has no JSON Web Key Set" in text


def test_a_key_set_file_that_cannot_be_read_is_found(with_issuers: ByIssuers, tmp_path: Path) -> None:
    app = with_issuers(CI + f'jwks_file = "{tmp_path / "missing.json"}"\n')
    missing = said(app, "key sets", "fault")
    (tmp_path / "missing.json").write_text("{}")

    assert f"the key set file {tmp_path / 'missing.json'} cannot be read: No such file or directory" in missing
    assert "A server uses those that it read from it before, until it restarts." in missing
    assert "Write the key set into that file, and let the server's user read it." in missing
    assert "it has no list `keys`" in said(app, "key sets", "fault")


def test_of_many_key_sets_those_that_failed_are_fetched_first(
    with_issuers: ByIssuers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_checks, "MOST_SOURCES", 1)
    app = with_issuers()
    with serving(sends(KEY)) as good, serving(sends_text("", 500)) as bad:
        elsewhere(app, good.url(), "good")
        elsewhere(app, bad.url(), "bad").send()

        findings = found(app, "key sets")

    assert [each.kind for each in findings] == ["fault", "note"]
    assert "The keys of bad cannot be had" in findings[0].what
    assert findings[1].what == "1 more key sets of clients were not fetched."


def test_what_is_allowed_beyond_https_and_public_addresses_is_noted(with_issuers: ByIssuers) -> None:
    plain = CI.replace("https://ci.", "http://ci.")
    safe = CI.replace("issuers.ci", "issuers.safe").replace("ci.example", "safe.example")

    text = said(with_issuers(f"{plain}private_network = true\n", safe), "other issuers", "note")

    assert "The keys of ci are fetched without https" in text
    assert "The keys of ci may be fetched from a private address" in text
    assert "safe" not in text


@ON_BOTH
def test_a_key_and_a_trust_that_have_ended_and_are_still_used_are_found(
    with_issuers: ByIssuers, tmp_path: Path
) -> None:
    with fake_issuer.served("https://auth.example") as issuer:
        app = with_issuers(CI.replace("https://ci.example", issuer.url))
        operator = Operator(app)
        trust(app, "deployer", "sub=a")
        client = keyed.register(app, tmp_path, name="signer")
        operator.run("clients", "untrust", "deployer", "ci-1", "--last")
        operator.run("clients", "remove-key", "signer", client.key.thumbprint(), "--last")
        assert found(app, "ended secrets") == []
        statuses = [federated.send(app, issuer.sign({"sub": "a"})).status_code for _ in range(2)]
        statuses.append(client.send().status_code)
        with app.app_context():
            trail.current_batch().write_before_reading()

    text = said(app, "ended secrets", "warning")

    assert statuses == [401, 401, 401]
    assert "A key of client signer that has ended was used 1 times in the last day." in text
    assert "The trust ci-1 of deployer, which has ended, was used 2 times in the last day." in text
