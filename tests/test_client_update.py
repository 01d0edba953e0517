"""`flask clients update`: only what is named changes, and it says what that means for issued tokens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from app.clients import registration_update
from app.clients.registration_update import Wanted
from tests.conftest import ISSUER, Machine, Operator, demo


@pytest.fixture
def billing(operator: Operator) -> Machine:
    return operator.register("billing", "--scope", "read:logs write:logs", "--claim", "org_id=acme")


def updates(app: Flask) -> list[str]:
    """The reasons of the `client_updated` events, newest first."""
    return [event["reason"] for event in demo(app, "demo-admin").events(event="client_updated")]


@pytest.mark.parametrize(
    ("options", "changed", "reason"),
    [
        pytest.param(
            ["--default-scope", "read:logs"],
            {"default_scope": ("read:logs write:logs", "read:logs")},
            "default_scope -write:logs",
            id="default-scope",
        ),
        pytest.param(
            ["--scope", "read:logs"],
            {"scope": ("read:logs write:logs", "read:logs"), "default_scope": ("read:logs write:logs", "read:logs")},
            "scope -write:logs; default_scope -write:logs",
            id="smaller-scope",
        ),
        pytest.param(
            ["--scope", "read:logs write:logs shipments:read", "--default-scope", "read:logs"],
            {
                "scope": ("read:logs write:logs", "read:logs write:logs shipments:read"),
                "default_scope": ("read:logs write:logs", "read:logs"),
            },
            "scope +shipments:read; default_scope -write:logs",
            id="another-resource",
        ),
        pytest.param(
            ["--lifetime", "60"], {"access_token_seconds": (None, 60)}, "access_token_seconds +60", id="lifetime"
        ),
        pytest.param(
            ["--claim", "plan=gold"],
            {"claims": ({"org_id": "acme"}, {"org_id": "acme", "plan": "gold"})},
            "claims plan",
            id="one-more-claim",
        ),
        pytest.param(
            ["--no-claims", "--claim", "plan=gold"],
            {"claims": ({"org_id": "acme"}, {"plan": "gold"})},
            "claims org_id plan",
            id="other-claims",
        ),
        pytest.param(["--no-claims"], {"claims": ({"org_id": "acme"}, {})}, "claims org_id", id="no-claims"),
        pytest.param(
            ["--format", "opaque"], {"token_format": ("jwt", "opaque")}, "token_format -jwt +opaque", id="format"
        ),
        pytest.param(
            ["--resource-server", ISSUER],
            {"resource_server": (None, ISSUER)},
            f"resource_server +{ISSUER}",
            id="resource-server",
        ),
        pytest.param(
            ["--auth-method", "client_secret_post"],
            {"token_endpoint_auth_method": (None, "client_secret_post")},
            "token_endpoint_auth_method +client_secret_post",
            id="auth-method",
        ),
        pytest.param(["--name", "invoices"], {"name": ("billing", "invoices")}, "name -billing +invoices", id="name"),
        pytest.param(
            ["--no-grant"],
            {"grant_types": (["client_credentials"], [])},
            "grant_types -client_credentials",
            id="no-grant",
        ),
    ],
)
def test_only_what_is_named_changes_with_one_event(
    operator: Operator,
    billing: Machine,
    options: list[str],
    changed: dict[str, tuple[object, object]],
    reason: str,
) -> None:
    before = operator.run("clients", "show", billing.client_id)

    updated = operator.run("clients", "update", billing.client_id, *options)

    assert updated.pop("changed") is True
    assert updated.pop("changes") == {what: {"old": old, "new": new} for what, (old, new) in changed.items()}
    after = operator.run("clients", "show", billing.client_id)
    assert updated == after
    assert {what for what in after if after[what] != before[what]} == set(changed)
    assert updates(operator.app) == [reason]


@pytest.mark.usefixtures("billing")
@pytest.mark.parametrize(
    ("there", "back"),
    [
        (["--lifetime", "60"], ["--lifetime", "default"]),
        (["--auth-method", "client_secret_basic"], ["--auth-method", "any"]),
        (["--resource-server", ISSUER], ["--resource-server", "none"]),
        (["--no-grant"], ["--grant"]),
        (["--format", "opaque"], ["--format", "jwt"]),
    ],
)
def test_each_change_can_be_undone(operator: Operator, there: list[str], back: list[str]) -> None:
    before = operator.run("clients", "show", "billing")

    operator.run("clients", "update", "billing", *there)
    assert operator.run("clients", "show", "billing") != before
    operator.run("clients", "update", "billing", *back)

    assert operator.run("clients", "show", "billing") == before


@pytest.mark.usefixtures("billing")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--scope", "read:logs write:logs"],
        ["--default-scope", "read:logs write:logs"],
        ["--name", "billing"],
        ["--claim", "org_id=acme"],
        ["--lifetime", "default"],
        ["--format", "jwt"],
        ["--auth-method", "any"],
        ["--resource-server", "none"],
        ["--grant"],
    ],
)
def test_an_update_that_changes_nothing_says_so_and_writes_no_event(operator: Operator, options: list[str]) -> None:
    output = operator.app.test_cli_runner().invoke(args=["clients", "update", "billing", *options])

    assert (output.exit_code, output.stdout) == (0, "Nothing to change: the client is already registered like that.\n")
    assert operator.run("clients", "update", "billing", *options)["changes"] == {}
    assert updates(operator.app) == []


@pytest.mark.usefixtures("billing")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--scope", ""], "--scope is missing"),
        (["--scope", "read:lgos"], "did you mean read:logs?"),
        (["--scope", "read:logs  write:logs"], "single spaces"),
        (["--scope", "read:logs shipments:read"], "name a default scope"),
        (["--default-scope", "reports:read"], "not in the scope"),
        (["--default-scope", ""], "--default-scope is empty"),
        (["--lifetime", "0"], "1 to 86400"),
        (["--lifetime", "86401"], "1 to 86400"),
        (["--lifetime", "-1"], "a whole number"),
        (["--lifetime", "soon"], "a whole number"),
        (["--auth-method", "none"], "client_secret_basic"),
        (["--format", "paper"], "jwt, opaque"),
        (["--resource-server", "https://elsewhere.example"], "one of the audiences"),
        (["--claim", "sub=me"], "the server's own"),
        (["--claim", "org_id"], "KEY=VALUE"),
        (["--claim", "plan=" + "x" * 2_030], "2048"),
        (["--name", "demo-admin"], "is a demo client's"),
        (["--name", "other"], "is taken"),
        (["--name", "ktc_x"], "a name is"),
        (["--lifetime", "60", "--name", "two words"], "a name is"),
    ],
)
def test_a_bad_change_is_refused_whole_with_the_reason(operator: Operator, options: list[str], reason: str) -> None:
    operator.register("other", "--scope", "read:logs")
    before = operator.run("clients", "show", "billing")

    assert reason in operator.is_refused("clients", "update", "billing", *options)

    assert operator.run("clients", "show", "billing") == before
    assert updates(operator.app) == []


def test_a_default_scope_of_its_own_keeps_what_is_left_in_the_scope(operator: Operator) -> None:
    operator.register("shop", "--scope", "read:logs write:logs reports:read", "--default-scope", "read:logs write:logs")

    assert (
        operator.run("clients", "update", "shop", "--scope", "write:logs reports:read")["default_scope"] == "write:logs"
    )
    more = operator.run("clients", "update", "shop", "--scope", "write:logs reports:read read:all_data")
    assert more["default_scope"] == "write:logs"
    assert operator.run("clients", "update", "shop", "--scope", "reports:read")["default_scope"] == "reports:read"


def test_a_grant_needs_a_scope(operator: Operator) -> None:
    operator.register("api", "--resource-server", ISSUER)

    assert "--scope is missing" in operator.is_refused("clients", "update", "api", "--grant")

    operator.run("clients", "update", "api", "--grant", "--scope", "read:logs")
    assert operator.run("clients", "show", "api")["grant_types"] == ["client_credentials"]


def test_a_change_counts_from_the_next_request_and_issued_tokens_stay(operator: Operator, billing: Machine) -> None:
    before = billing.token()

    operator.run("clients", "update", "billing", "--scope", "write:logs", "--lifetime", "60")

    assert billing.get("/admin/logs", before).status_code == 200
    response = billing.request_token()
    assert (response.json["scope"], response.json["expires_in"]) == ("write:logs", 60)
    assert billing.request_token(scope="read:logs").json["error"] == "invalid_scope"


@pytest.mark.usefixtures("billing")
def test_it_says_what_changed_and_what_that_means_for_tokens_that_are_out(operator: Operator) -> None:
    output = operator.app.test_cli_runner().invoke(
        args=["clients", "update", "billing", "--scope", "read:logs", "--lifetime", "60", "--no-claims"]
    )

    assert output.stdout.splitlines() == [
        "claims: org_id=acme -> none",
        "scope: read:logs write:logs -> read:logs",
        "default_scope: read:logs write:logs -> read:logs",
        "access_token_seconds: none -> 60",
        "Tokens issued before keep their scope and claims and lifetime until they expire"
        " (their lifetime: 3600 seconds); `flask tokens revoke --client billing` revokes them now.",
    ]


def test_a_change_that_no_token_shows_says_nothing_about_tokens(operator: Operator, billing: Machine) -> None:
    output = operator.app.test_cli_runner().invoke(args=["clients", "update", "billing", "--name", "invoices"])

    assert output.stdout == "name: billing -> invoices\n"
    assert operator.run("clients", "show", "invoices")["client_id"] == billing.client_id


def test_changes_made_at_once_by_several_operators_are_all_made(new_app: Callable[..., Flask]) -> None:
    def add_claim(app: Flask, name: str) -> None:
        with app.app_context():
            registration_update.update("demo-admin", Wanted(claims={name: "1"}))

    apps = [new_app() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_claim, apps, "abcd"))

    assert set(Operator(apps[0]).run("clients", "show", "demo-admin")["claims"]) == set("abcd")
    assert len(updates(apps[0])) == 4


@pytest.mark.usefixtures("billing")
def test_no_value_of_a_claim_is_in_the_trail(operator: Operator) -> None:
    operator.run("clients", "update", "billing", "--claim", "org_id=a-value-that-somebody-took-for-private")

    assert updates(operator.app) == ["claims org_id"]
