"""What a request may cost, counted and not timed: statements, rows, digests, key imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from tests.conftest import ISSUER, Machine, Operator, demo
from tests.work import STATEMENTS, WRITES, Work, counted


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

    (asked,) = [each for each in work.take(*STATEMENTS) if "tokens_not_before" in each]
    assert asked.startswith("SELECT")


def test_what_is_no_token_of_ours_costs_no_statement(work: Work, admin: Machine) -> None:
    admin.get("/inventory", admin.token() + "x")

    assert len(work.take(*STATEMENTS)) == 1  # that of the token


def test_a_question_costs_two_statements_and_writes_nothing(work: Work, operator: Operator, admin: Machine) -> None:
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
    limits = 1  # the id in the key of a limit is a digest as well
    demo(app, "demo-admin").token()
    assert len(work.take("digest")) == 1 + limits

    token = demo(app, "demo-opaque").token()
    assert len(work.take("digest")) == 2 + limits
    demo(app, "demo-opaque").get("/inventory", token)
    assert len(work.take("digest")) == 1


def test_a_success_asks_each_limit_that_is_switched_on_once(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_requests="1000/minute")
    with counted(app) as work:
        demo(app, "demo-admin").token()
        assert work.take("limit") == ["limit test", "limit test", "limit hit"]

    app = new_app(limit_failures="", limit_address="")
    with counted(app) as work:
        demo(app, "demo-admin").token()
        assert work.take("limit") == []


def test_the_keys_are_not_read_again_for_every_token(work: Work, admin: Machine) -> None:
    for _ in range(5):
        admin.token()

    assert [each for each in work.take(*STATEMENTS) if "signing_keys" in each] == []
