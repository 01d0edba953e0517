"""What a request may cost, counted instead of timed: statements, rows, digests, key imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from joserfc import jwk

from tests.conftest import ISSUER, Machine, Operator, demo
from tests.support import keyed
from tests.support.federated import platform_in, send
from tests.support.work import STATEMENTS, WRITES, Work, counted


@pytest.fixture
def work(app: Flask, admin: Machine) -> Iterator[Work]:
    """The work of an app that has issued and checked a token before."""
    admin.get("/inventory", admin.token())
    with counted(app) as counting:
        yield counting


def test_a_jwt_costs_one_statement_and_writes_nothing(work: Work, admin: Machine) -> None:
    admin.token()

    done = list(work.done)
    assert len(work.take(*STATEMENTS)) == 1
    assert [each for each in done if each.startswith(WRITES)] == []


def test_an_opaque_token_costs_one_statement_more_which_writes_one_row(work: Work, app: Flask) -> None:
    demo(app, "demo-opaque").token()

    found, written = work.take(*STATEMENTS)
    assert found.startswith("SELECT")
    assert written.startswith("INSERT INTO issued_tokens")
    assert written.count("VALUES") == 1


@pytest.mark.parametrize("name", ["demo-admin", "demo-opaque"])
def test_a_check_costs_one_statement_and_writes_nothing(work: Work, app: Flask, name: str) -> None:
    token = demo(app, name).token()
    work.take()

    demo(app, name).get("/nowhere", token)
    assert work.take(*STATEMENTS) == []
    assert demo(app, name).get("/internal/reports", token).status_code in (200, 403)

    (statement,) = [each for each in work.take(*STATEMENTS) if "tokens_not_before" in each]
    assert statement.startswith("SELECT")


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_an_assertion_costs_one_statement_more_which_writes_one_row_and_one_check_of_a_signature(
    work: Work, app: Flask, tmp_path: Path, alg: str
) -> None:
    client = keyed.register(app, tmp_path, alg=alg)
    client.token()  # the key is parsed once
    work.take()

    client.token()

    done = list(work.done)
    found, written = work.take(*STATEMENTS)
    assert found.startswith("SELECT")
    assert written.startswith("INSERT INTO used_assertions")
    assert written.count("VALUES") == 1
    assert [done.count(each) for each in ("verify", "digest", "import")] == [1, 1, 0]


def test_a_platforms_token_costs_one_statement_more_and_writes_nothing(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    platform, file = platform_in(tmp_path)
    app = new_app(file=file)
    given = ("--scope", "read:logs", "--issuer", "github", "--claim", "sub=a")
    Operator(app).run("clients", "create", "deployer", *given)
    with counted(app) as work:
        assert send(app, platform.sign({"sub": "a"})).status_code == 200  # the key is parsed once
        token = platform.sign({"sub": "a"})
        work.take()

        assert send(app, token).status_code == 200

        done = list(work.done)
        trusts, client = work.take(*STATEMENTS)
        assert ("FROM client_trusts" in trusts, "FROM clients" in client) == (True, True)
        assert [done.count(each) for each in ("verify", "digest", "import")] == [1, 0, 0]


def test_an_unknown_client_and_a_wrong_key_cost_the_same(work: Work, app: Flask, tmp_path: Path) -> None:
    client = keyed.register(app, tmp_path)
    foreign = jwk.ECKey.generate_key("P-256")
    unknown = {"iss": "ktc_nobody", "sub": "ktc_nobody"}
    costs = []
    for changes in ({}, unknown, {"header": {"kid": "x"}}, {}, unknown):
        assertion = client.make(key=foreign, **changes)
        work.take()
        assert client.send(assertion).status_code == 401
        costs.append([each.partition(" ")[0] for each in work.done if each != "import"])

    assert [each.count("verify") for each in costs] == [1] * 5
    assert costs[1:] == costs[:-1]


def test_what_is_no_token_of_ours_costs_no_statement(work: Work, admin: Machine) -> None:
    admin.get("/inventory", admin.token() + "x")

    assert len(work.take(*STATEMENTS)) == 1  # the one for the token itself


def test_an_introspection_costs_two_statements_and_writes_nothing(
    work: Work, operator: Operator, admin: Machine
) -> None:
    api = operator.register("samples", "--resource-server", ISSUER)
    token = admin.token()
    work.take()

    assert api.introspect(token).json["active"] is True

    done = work.take(*STATEMENTS)
    assert [each.partition(" ")[0] for each in done] == ["SELECT", "SELECT"]


def test_no_key_is_imported_for_a_token_or_a_check(work: Work, admin: Machine) -> None:
    for _ in range(3):
        admin.get("/inventory", admin.token())

    assert work.take("import") == []


def test_a_secret_costs_one_digest_and_an_opaque_token_one_more(work: Work, app: Flask) -> None:
    demo(app, "demo-admin").token()
    assert len(work.take("digest")) == 1

    token = demo(app, "demo-opaque").token()
    assert len(work.take("digest")) == 2
    demo(app, "demo-opaque").get("/inventory", token)
    assert len(work.take("digest")) == 1


def test_a_success_counts_once_in_each_limit_of_its_own_and_in_none_of_failures(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_requests="1000/minute", limit_api="1000/minute")
    admin = demo(app, "demo-admin")
    with counted(app) as work:
        token = admin.token()
        assert work.take("limit") == ["limit hit"]
        assert admin.get("/inventory", token).status_code == 200
        assert work.take("limit") == ["limit hit"]

    app = new_app()
    with counted(app) as work:
        demo(app, "demo-admin").get("/inventory", demo(app, "demo-admin").token())
        assert work.take("limit") == []


def test_the_keys_are_not_read_again_for_every_token(work: Work, admin: Machine) -> None:
    for _ in range(5):
        admin.token()

    assert [each for each in work.take(*STATEMENTS) if "signing_keys" in each] == []
