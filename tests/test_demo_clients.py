"""The demo clients: in development, after `flask prepare`, the database has what config.py says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from joserfc import jwk

import config
from tests.conftest import ROOT, Machine, Operator, demo
from tests.support.keyed import GRANT, TYPE, Keyed

MINE = "kts_my-own-secret"


def edit(monkeypatch: pytest.MonkeyPatch, client_id: str, **changes: object) -> None:
    """Change config.py as a learner does, for a process that starts later."""
    edited = [replace(each, **changes) if each.client_id == client_id else each for each in config.DEMO_CLIENTS]  # type: ignore[arg-type]
    monkeypatch.setattr(config, "DEMO_CLIENTS", tuple(edited))


def prepare(app: Flask) -> str:
    done = app.test_cli_runner().invoke(args=["prepare"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_demo_client_that_was_edited_takes_effect_at_the_next_prepare(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = demo(app, "demo-reporting")
    old_token = before.token()
    edit(monkeypatch, "demo-reporting", secret=MINE, scope="reports:read inventory:read", access_token_seconds=77)

    output = prepare(app)
    issued = Machine(app, "demo-reporting", MINE).request_token().json

    assert (
        "demo-reporting was changed to what config.py says: scope, default_scope, access_token_seconds, secret."
        in output
    )
    assert (issued["scope"], issued["expires_in"]) == ("reports:read inventory:read", 77)
    assert before.request_token().status_code == 401
    assert before.get("/internal/reports", old_token).status_code == 401
    assert "again" not in prepare(app)


@pytest.mark.parametrize(
    "changes",
    [{"token_format": "opaque"}, {"default_scope": "inventory:read"}, {"resource_server": "http://127.0.0.1:8001"}],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_was_edited_is_named(app: Flask, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    edit(monkeypatch, "demo-partner", **changes)

    assert f"demo-partner was changed to what config.py says: {next(iter(changes))}." in prepare(app)
    assert demo(app, "demo-partner").request_token().status_code == 200
    assert "again" not in prepare(app)


def test_the_demo_client_with_a_private_key_signs_and_its_key_is_the_one_in_the_file(
    app: Flask, operator: Operator
) -> None:
    signer = signer_of(app)

    issued = signer.send()
    listed = operator.run("clients", "keys", "demo-signer")["keys"]

    assert issued.json["scope"] == "reports:read"
    assert [(each["kid"], each["alg"]) for each in listed] == [(signer.key.thumbprint(), "RS256")]
    assert Machine(app, "demo-signer", "").request_token().status_code == 401


def test_a_key_that_was_removed_is_there_again_after_the_next_prepare(app: Flask, operator: Operator) -> None:
    signer = signer_of(app)
    operator.run("clients", "remove-key", "demo-signer", signer.key.thumbprint(), "--last")
    refused = signer.send()

    output = prepare(app)

    assert refused.json["hint"].startswith(f"the key {signer.key.thumbprint()} of the client ended")
    assert "demo-signer was changed to what config.py says: key." in output
    assert signer.send().status_code == 200
    assert "was changed" not in prepare(app)


def test_a_key_beside_that_of_the_file_is_left_alone(app: Flask, operator: Operator, tmp_path: Path) -> None:
    operator.run("clients", "add-key", "demo-signer", "--generate-key", str(tmp_path / "mine.pem"))

    assert "was changed" not in prepare(app)
    assert len(operator.run("clients", "keys", "demo-signer")["keys"]) == 2


def test_attack_in_production_the_key_that_everyone_has_opens_nothing(new_app: Callable[..., Flask]) -> None:
    issuer, https = "https://auth.example.com", {"X-Forwarded-Proto": "https"}
    production = new_app(env="production", issuer=issuer, trusted_proxies=1)  # a server does not start so
    form = GRANT | {"client_assertion_type": TYPE, "client_assertion": signer_of(production).make(aud=issuer)}

    refused = production.test_client().post("/oauth/token", data=form, headers=https)

    assert (refused.status_code, refused.json["error"]) == (401, "invalid_client")
    reasons = [line for line in explained(production, refused.headers["X-Request-Id"]) if "because" in line]
    assert reasons == ["because   demo clients are refused in production"]


def explained(app: Flask, request_id: str) -> list[str]:
    return app.test_cli_runner().invoke(args=["explain", request_id]).stdout.splitlines()


def signer_of(app: Flask) -> Keyed:
    file = ROOT / "app" / "operations" / "demo_key.json"
    return Keyed(app, "demo-signer", jwk.import_key(json.loads(file.read_text())), "RS256")


@pytest.mark.parametrize("overlap", ["0", "3600"])
def test_the_secret_that_is_printed_works_after_a_rotation(app: Flask, operator: Operator, overlap: str) -> None:
    operator.run("clients", "rotate-secret", "demo-admin", "--overlap", overlap)

    output = prepare(app)

    assert "demo-admin was changed to what config.py says: secret." in output
    assert demo(app, "demo-admin").request_token().status_code == 200


def test_an_untouched_demo_client_is_left_alone_and_one_that_was_disabled_stays_so(
    app: Flask, operator: Operator
) -> None:
    token = demo(app, "demo-admin").token()
    operator.run("clients", "disable", "demo-brief")

    output = prepare(app)

    assert "again" not in output
    assert demo(app, "demo-brief").request_token().status_code == 401
    assert demo(app, "demo-admin").get("/admin/logs", token).status_code == 200


def test_a_scope_that_is_declared_nowhere_is_named(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(monkeypatch, "demo-reporting", scope="reports:read invoices:read")

    output = prepare(app)

    assert "The demo client demo-reporting is left out: keyturn.toml does not declare invoices:read." in output
    assert "demo-reporting" not in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"token_format": "JWT"}, "a token's format is one of jwt, opaque"),
        ({"access_token_seconds": 0}, "a lifetime is 1 to 86400 seconds"),
        ({"default_scope": "read:logs"}, "the default scope has words that are not in the scope"),
        ({"scope": "reports:read shipments:read"}, "name a default scope"),
        ({"secret": "two words"}, "a secret is letters, digits and . _ ~ -"),
        ({"secret": ""}, "a secret is letters, digits and . _ ~ -"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_no_client_can_be_is_refused_with_the_clients_name(
    monkeypatch: pytest.MonkeyPatch, operator: Operator, changes: dict[str, object], sentence: str
) -> None:
    edit(monkeypatch, "demo-reporting", **changes)

    output = operator.is_refused("prepare")

    assert "config.py, demo-reporting: " in output
    assert sentence in output


def test_production_neither_registers_nor_changes_a_demo_client(
    new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(monkeypatch, "demo-reporting", secret=MINE)
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)

    output = prepare(app)

    assert "demo" not in output
