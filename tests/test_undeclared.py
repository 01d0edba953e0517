"""A scope or an audience that disappears from keyturn.toml while clients have it: where it is named, and the fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import LiveServer, Machine, Operator

BOTH = """[resources.samples.scopes]
"read:logs" = "Read the audit trail"
"read:all_data" = "Read all"
[resources.orders]
audience = "https://orders.example"
[resources.orders.scopes]
"orders:read" = "Read orders"
"orders:write" = "Change orders"
"""
ONE = BOTH.replace('"orders:write" = "Change orders"\n', "")
NONE = BOTH.partition("[resources.orders]")[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text(BOTH)
    return tmp_path / "own.toml"


@pytest.fixture
def operator(new_app: Callable[..., Flask], file: Path) -> Operator:
    """An operator with the one demo client whose scope the file declares."""
    operator = Operator(new_app(file=file))
    for demo in operator.run("clients", "list")["clients"]:
        if demo["name"] != "demo-brief":
            operator.run("clients", "delete", demo["name"])
    return operator


@pytest.fixture
def shop(operator: Operator) -> Machine:
    """A client with both scopes, on a server that has read both."""
    operator.register("api", "--resource-server", "https://orders.example")
    return operator.register("shop", "--scope", "orders:read orders:write")


def prepared_sentences(app: Flask) -> list[str]:
    done = app.test_cli_runner().invoke(args=["prepare"])
    assert done.exit_code == 0, done.output
    return [line for line in done.stdout.splitlines() if line.startswith(("own.toml ", "In total own.toml "))]


def test_a_scope_that_is_gone_is_named_by_prepare_with_its_clients_until_it_is_taken_away(
    new_app: Callable[..., Flask], file: Path, shop: Machine
) -> None:
    assert prepared_sentences(new_app(file=file)) == []
    file.write_text(ONE, encoding="utf-8")
    app = new_app(file=file)

    assert prepared_sentences(app) == [
        "own.toml does not declare the scope orders:write of shop: declare it, or remove it with"
        " `flask clients update shop --scope 'orders:read'`."
    ]

    Operator(app).run("clients", "update", "shop", "--scope", "orders:read")
    assert prepared_sentences(app) == []
    assert Machine(app, shop.client_id, shop.secret).request_token().json["scope"] == "orders:read"


def test_a_resource_that_is_gone_is_named_with_its_scopes_and_its_api(
    new_app: Callable[..., Flask], file: Path, shop: Machine
) -> None:
    file.write_text(NONE, encoding="utf-8")
    app = new_app(file=file)

    assert prepared_sentences(app) == [
        "own.toml does not declare the scope orders:read of shop: declare it, or remove it with"
        " `flask clients update shop --no-grant`.",
        "own.toml does not declare the scope orders:write of shop: declare it, or remove it with"
        " `flask clients update shop --no-grant`.",
        "own.toml does not declare the audience https://orders.example of api: declare it, or remove it with"
        " `flask clients update api --resource-server none`.",
    ]

    Operator(app).run("clients", "update", shop.client_id, "--no-grant")
    Operator(app).run("clients", "update", "api", "--resource-server", "none")
    assert prepared_sentences(app) == []


@pytest.mark.usefixtures("operator")
def test_of_many_clients_and_scopes_some_are_named(new_app: Callable[..., Flask], file: Path) -> None:
    words = [f"word:{number:02}" for number in range(12)]
    declared = "\n".join(f'"{word}" = "A scope"' for word in words)
    file.write_text(f"{BOTH}{declared}\n", encoding="utf-8")
    started = Operator(new_app(file=file))
    for number in range(13):
        started.register(f"shop-{number:02}", "--scope", " ".join(words))
    file.write_text(BOTH, encoding="utf-8")

    output = prepared_sentences(new_app(file=file))

    assert len(output) == 11
    assert "shop-08, shop-09 and 3 more: declare it" in output[0]
    assert output[-1] == "In total own.toml does not declare 12 scopes and 0 audiences of clients."


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="development"),
        pytest.param({"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}, id="production"),
    ],
)
def test_a_server_that_starts_names_it_and_starts(
    live: Callable[..., LiveServer],
    operator: Operator,
    database_url: str,
    file: Path,
    environment: dict[str, str],
) -> None:
    operator.run("clients", "delete", "demo-brief")  # production does not start with a demo client
    file.write_text(ONE, encoding="utf-8")

    server = live(KEYTURN_DATABASE_URL=database_url, KEYTURN_FILE=str(file), **environment)

    assert server.process.poll() is None
    (warning,) = [line for line in server.log.read_text().splitlines() if "does not declare" in line]
    assert json.loads(warning)["level"] == "WARNING"
    assert "the scope orders:write of shop" in warning


def test_a_request_for_a_scope_that_is_gone_is_refused_with_that_reason(
    new_app: Callable[..., Flask], file: Path, shop: Machine
) -> None:
    file.write_text(ONE, encoding="utf-8")
    here = Machine(new_app(file=file), shop.client_id, shop.secret)

    for form in ({}, {"scope": "orders:write"}):
        response = here.request_token(**form)

        assert (response.status_code, response.json["error"]) == (400, "invalid_scope")
        assert response.json["hint"] == (
            "own.toml no longer declares the scope orders:write, for which the client is registered"
        )
    assert here.request_token(scope="orders:read").status_code == 200


def test_a_scope_declared_after_the_start_is_refused_with_the_advice_to_restart(
    new_app: Callable[..., Flask], file: Path, shop: Machine
) -> None:
    file.write_text(BOTH + '"invoices:read" = "Read invoices"\n', encoding="utf-8")
    Operator(new_app(file=file)).run("clients", "update", shop.client_id, "--scope", "invoices:read")

    for word in ("invoices:read", "nonsense", "orders:reed"):
        response = shop.request_token(**({} if word == "invoices:read" else {"scope": word}))

        assert response.json["error"] == "invalid_scope"
        assert response.json["hint"] == (
            f"the scope {word} is unknown; own.toml changed since this server started: restart it"
        )

    restarted = Machine(new_app(file=file), shop.client_id, shop.secret)
    assert restarted.request_token().json["scope"] == "invoices:read"
    assert restarted.request_token(scope="nonsense").json["hint"] == "the scope nonsense is unknown"


def test_a_file_that_is_gone_after_the_start_is_a_change_too(file: Path, shop: Machine) -> None:
    file.unlink()

    assert shop.request_token(scope="nonsense").json["hint"].endswith("restart it")
    assert shop.request_token().status_code == 200


@pytest.mark.usefixtures("operator")
def test_an_issuer_that_is_gone_is_named_by_prepare_with_the_trusts_that_need_it(
    new_app: Callable[..., Flask], file: Path
) -> None:
    issuer = '[issuers.ci]\nissuer = "https://ci.example"\naudience = "https://auth.example"\n'
    file.write_text(BOTH + issuer, encoding="utf-8")
    before = new_app(file=file)
    claim = ("--issuer", "ci", "--claim", "sub=a")
    Operator(before).run("clients", "create", "deployer", "--scope", "orders:read", *claim)
    assert prepared_sentences(before) == []
    file.write_text(BOTH, encoding="utf-8")

    assert prepared_sentences(new_app(file=file)) == [
        "own.toml does not declare the issuer https://ci.example of the trusts ci-1 of deployer: declare it, or end"
        " them with `flask clients untrust deployer ci-1`."
    ]
    Operator(before).run("clients", "untrust", "deployer", "ci-1", "--last")
    assert prepared_sentences(new_app(file=file)) == []
