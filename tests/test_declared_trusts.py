"""Trusts in the files of `flask apply` and in the lines of an import."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.clients import bulk_import, import_lines, trust_overlaps, trust_rules
from app.clients.applying import ChangedMeanwhileError
from app.clients.trust_overlaps import Held
from tests.conftest import ROOT, Operator, build_app, close
from tests.test_apply import faults
from tests.test_declared_keys import apply, declared, events, new_key

ISSUERS = """
[issuers.github]
issuer = "https://token.actions.githubusercontent.com"
audience = "https://auth.example.com"
identity_claims = ["repository_id"]

[issuers.gitlab]
issuer = "https://gitlab.example.com"
audience = "https://auth.example.com"
identity_claims = ["project_id", "sub"]
"""
DEPLOYER = '[clients.deployer]\nscope = "read:logs"\n'


def trust(of: str = "deployer", issuer: str = "github", **claims: str) -> str:
    """A trust of a file."""
    table = ", ".join(f'{name} = "{value}"' for name, value in claims.items())
    return f'[[clients.{of}.trusts]]\nissuer = "{issuer}"\nclaims = {{ {table} }}\n'


@pytest.fixture
def database_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    """Of SQLite, unless a test is of both."""
    return prepared(getattr(request, "param", "sqlite"))


ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keyturn.toml of this repository, and two issuers."""
    file = tmp_path_factory.mktemp("issuers") / "keyturn.toml"
    file.write_text((ROOT / "keyturn.toml").read_text(encoding="utf-8") + ISSUERS, encoding="utf-8")
    return file


@pytest.fixture
def app(new_app: Callable[..., Flask], settings_file: Path) -> Flask:
    return new_app(file=settings_file)


@pytest.fixture(scope="module")
def trusting(prepared: Callable[[str], str], settings_file: Path) -> Any:
    """An app that the tests of faults share, as they write nothing."""
    made = build_app(database_url=prepared("sqlite"), file=settings_file)
    yield made
    close(made)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clients.toml"


def trusts(operator: Operator, client: str) -> list[dict[str, str]]:
    """What the trusts of a client that work expect."""
    return [each["claims"] for each in operator.run("clients", "trusts", client)["trusts"] if each["state"] == "works"]


def test_a_declared_trust_is_created_without_a_secret_and_applied_once(operator: Operator, file: Path) -> None:
    text = DEPLOYER + trust(repository_id="123", environment="production")

    done = apply(operator, file, text)
    reordered = apply(operator, file, DEPLOYER + trust(environment="production", repository_id="123"))

    assert done["created"][0]["changes"]["trusts"]["new"] == ["github repository_id=123 environment=production"]
    assert done["created"][0]["changes"]["auth_method"]["new"] == "federated_jwt"
    assert (done["without_trust"], reordered["changed"]) == ([], False)
    shown = operator.run("clients", "show", "deployer")
    assert shown["secrets"] == []
    assert [each["name"] for each in shown["trusts"]] == ["github-1"]


def test_a_number_is_written_as_a_token_has_it(operator: Operator, file: Path) -> None:
    claims = "claims = { repository_id = 123, ref_protected = true }\n"
    apply(operator, file, f'{DEPLOYER}[[clients.deployer.trusts]]\nissuer = "github"\n{claims}')

    assert trusts(operator, "deployer") == [{"repository_id": "123", "ref_protected": "true"}]


@ON_BOTH
def test_trusts_are_changed_by_editing_the_file_left_alone_without_and_ended_by_an_empty_list(
    app: Flask, operator: Operator, file: Path
) -> None:
    apply(operator, file, DEPLOYER + trust(repository_id="1") + trust(repository_id="2"))

    changed = apply(operator, file, DEPLOYER + trust(repository_id="2") + trust(issuer="gitlab", project_id="3"))
    after = trusts(operator, "deployer")
    left = apply(operator, file, DEPLOYER + 'auth_method = "federated_jwt"\n')
    ended = apply(operator, file, DEPLOYER + 'auth_method = "federated_jwt"\ntrusts = []\n')
    app.test_cli_runner().invoke(args=["apply", str(file)])

    assert changed["updated"][0]["changes"]["trusts"] == {
        "old": ["github repository_id=1", "github repository_id=2"],
        "new": ["gitlab project_id=3", "github repository_id=2"],
    }
    assert after == [{"repository_id": "2"}, {"project_id": "3"}]
    assert (left["changed"], left["without_trust"]) == (False, [])
    assert (ended["changed"], ended["without_trust"], trusts(operator, "deployer")) == (True, ["deployer"], [])
    assert [reason.partition(":")[0] for _, reason in events(app, "client_trust_added", "client_trust_removed")] == [
        *("trust github-1", "trust gitlab-1", "trust github-2", "trust gitlab-1"),
    ]


@ON_BOTH
def test_a_trust_that_an_operator_has_ended_is_not_brought_back_by_a_file_but_by_a_command(
    operator: Operator, file: Path
) -> None:
    text = DEPLOYER + trust(repository_id="1") + trust(repository_id="2")
    apply(operator, file, text)
    operator.run("clients", "untrust", "deployer", "github-1")

    left = apply(operator, file, text)
    only_other = trusts(operator, "deployer")
    operator.run("clients", "trust", "deployer", "--issuer", "github", "--claim", "repository_id=1")
    again = apply(operator, file, text)

    assert (left["changed"], left["ended"]) == (False, ["deployer github repository_id=1"])
    assert only_other == [{"repository_id": "2"}]
    assert (again["changed"], again["ended"]) == (False, [])
    assert trusts(operator, "deployer") == [{"repository_id": "2"}, {"repository_id": "1"}]


def test_the_trust_that_replaced_one_stays_while_the_file_is_older(operator: Operator, file: Path) -> None:
    apply(operator, file, DEPLOYER + trust(repository_id="1"))
    operator.run("clients", "trust", "deployer", "--issuer", "github", "--claim", "repository_id=2")
    operator.run("clients", "untrust", "deployer", "github-1")

    done = apply(operator, file, DEPLOYER + trust(repository_id="1"))

    assert (done["changed"], done["ended"]) == (False, ["deployer github repository_id=1"])
    assert trusts(operator, "deployer") == [{"repository_id": "2"}]


OTHER = '[clients.other]\nscope = "read:logs"\n'


def test_two_declared_clients_that_one_token_could_match_are_refused_with_both_names(
    operator: Operator, file: Path
) -> None:
    both = DEPLOYER + trust(repository_id="1") + OTHER + trust("other", repository_id="1", ref="main")
    file.write_text(both, encoding="utf-8")

    refused = operator.is_refused("apply", str(file), "--dry-run")

    assert "a token of github could match the trusts of deployer and of other" in refused
    assert refused.count("could match") == 1


@ON_BOTH
def test_a_trust_moves_from_one_client_to_another_in_one_run_in_either_order(operator: Operator, file: Path) -> None:
    mine, theirs = trust(repository_id="1"), trust("other", repository_id="1")
    apply(operator, file, DEPLOYER + mine + OTHER + trust("other", repository_id="2"))

    apply(operator, file, DEPLOYER + trust(repository_id="2") + OTHER + theirs)

    assert (trusts(operator, "deployer"), trusts(operator, "other")) == (
        [{"repository_id": "2"}],
        [{"repository_id": "1"}],
    )


def test_a_trust_of_a_client_that_no_file_declares_counts_unless_it_is_removed(operator: Operator, file: Path) -> None:
    claim = ("--issuer", "github", "--claim", "repository_id=1")
    operator.run("clients", "create", "by-hand", "--scope", "read:logs", *claim)
    file.write_text(DEPLOYER + trust(repository_id="1"), encoding="utf-8")

    refused = operator.is_refused("apply", str(file))
    done = operator.run("apply", str(file), "--prune", "--yes")

    assert "clients.toml, line 1: a token of github could match the trusts of deployer and of by-hand" in refused
    assert [each["name"] for each in done["removed"]] == ["by-hand"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            trust(issuer="githb", repository_id="1"),
            "line 3: [clients.deployer] trust 1: keyturn.toml declares no issuer named githb; did you mean github?",
            id="issuer",
        ),
        pytest.param(
            trust(environment="x"), "trust 1: a trust in github must expect a value of repository_id", id="identity"
        ),
        pytest.param(
            trust(repository_id="1") + trust(repository_id="*"),
            "line 6: [clients.deployer] trust 2: a trust in github must expect more than *",
            id="star",
        ),
        pytest.param(trust(repository_id="1", aud="x"), "trust 1: aud identifies nobody", id="aud"),
        pytest.param(
            trust(repository_id="1", ref="main") + trust(ref="main", repository_id="1"),
            "two of its trusts expect the same",
            id="twice",
        ),
        pytest.param(
            "".join(trust(repository_id=str(n)) for n in range(9)), "has at most 8 trusts, and here are 9", id="nine"
        ),
        pytest.param('trusts = "github"\n', "line 3: [clients.deployer] trusts must be a list of tables", id="form"),
        pytest.param(
            '[[clients.deployer.trusts]]\nissuer = "github"\n', "trusts must be a list of tables", id="no-claims"
        ),
        pytest.param(
            f'auth_method = "private_key_jwt"\n{trust(repository_id="1")}',
            "[clients.deployer] auth_method private_key_jwt leaves the trusts without a use: it needs federated_jwt",
            id="method",
        ),
    ],
)
def test_what_is_wrong_with_declared_trusts_is_named_with_its_line(trusting: Flask, text: str, fault: str) -> None:
    found = faults(trusting, DEPLOYER + text)

    assert any(fault in each for each in found), found


def test_a_client_may_have_keys_and_trusts_together_and_no_secret(operator: Operator, file: Path) -> None:
    both = declared(new_key("first")) + trust("signer", repository_id="1")

    done = apply(operator, file, both)

    assert "auth_method" not in done["created"][0]["changes"]
    shown = operator.run("clients", "show", "signer")
    assert (shown["secrets"], len(shown["keys"]), len(shown["trusts"])) == ([], 1, 1)


@ON_BOTH
def test_an_import_has_trusts_too(app: Flask, operator: Operator, tmp_path: Path) -> None:
    lines = tmp_path / "clients.jsonl"
    line = {
        "client_id": "one",
        "scope": "read:logs",
        "trusts": [{"issuer": "github", "claims": {"repository_id": "1"}}],
    }
    lines.write_text(json.dumps(line))

    done = operator.run("clients", "import", str(lines))
    again = operator.run("clients", "import", str(lines))
    lines.write_text(json.dumps(line | {"client_id": "two"}))
    refused = operator.is_refused("clients", "import", str(lines))
    lines.write_text(json.dumps({"client_id": "three", "scope": "read:logs", "auth_method": "federated_jwt"}))
    without = app.test_cli_runner().invoke(args=["clients", "import", str(lines)]).stdout

    assert (done["imported"], done["without_trust"], again["unchanged"]) == (1, [], 1)
    assert trusts(operator, "one") == [{"repository_id": "1"}]
    assert "line 1: a token of github could match the trusts of two and of one" in refused
    assert "Without a trust: 1. `flask clients trust CLIENT` gives a client its first." in without


def test_a_trust_that_overlaps_since_an_import_was_checked_is_found_before_it_is_stored(
    app: Flask, operator: Operator
) -> None:
    line = {
        "client_id": "one",
        "scope": "read:logs",
        "trusts": [{"issuer": "github", "claims": {"repository_id": "1"}}],
    }
    with app.app_context():
        plan = bulk_import.find(import_lines.read([json.dumps(line)]), has_random_secrets=False)
        operator.run(
            *("clients", "create", "two", "--scope", "read:logs", "--issuer", "github", "--claim", "repository_id=1")
        )

        with pytest.raises(ChangedMeanwhileError, match="another client was given an overlapping trust meanwhile"):
            bulk_import.register(plan, [])

    assert "one" not in [each["name"] for each in operator.run("clients", "list")["clients"]]


def test_every_overlap_is_found_whatever_has_a_star(trusting: Flask) -> None:
    values = (None, "a", "a:b", "a:*", "*:b", "*")
    pairs = [{"project_id": one, "sub": other, "ref": "x"} for one, other in product(values, repeat=2)]
    claims = [{name: value for name, value in each.items() if value} for each in pairs]
    held = [Held(f"client-{number}", "https://gitlab.example.com", each) for number, each in enumerate(claims)]
    with trusting.app_context():
        issuer = trust_rules.get_issuer("gitlab")

        found = {frozenset((one.client, other.client)) for one, other, _ in trust_overlaps.find(held, held)}

        assert found == {
            frozenset((one.client, other.client))
            for one, other in combinations(held, 2)
            if trust_rules.overlap(issuer, one.claims, other.claims)
        }
    assert 100 < len(found) < len(held) * (len(held) - 1) / 2
