"""From where and with what a client authenticated, and who ran a command: in the trail and in the log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import text

from app.audit import batch as batches
from app.audit import operator as operators
from app.audit import reports, trail
from app.audit.batch import Noted
from app.audit.event import Budget, Event
from app.clock import now
from app.settings import current_settings
from app.storage.database import db
from tests.conftest import Machine, Operator
from tests.test_audit import lines, rows  # noqa: F401, the first is a fixture


def send(machine: Machine, address: str, **form: str) -> dict[str, str]:
    """Request a token from an address."""
    environ = {"REMOTE_ADDR": address}
    data = {"grant_type": "client_credentials", **form}
    basic = (machine.client_id, machine.secret)
    return dict(machine.app.test_client().post("/oauth/token", data=data, auth=basic, environ_base=environ).json)


def jti_of(machine: Machine, token: str) -> str:
    """The `jti` of a JWT from its payload, and that of an opaque token from introspection."""
    if token.count(".") == 2:
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])
    return str(machine.introspect(token).json["jti"])


@pytest.fixture
def api(operator: Operator) -> Machine:
    return operator.register("api", "--resource-server", current_settings.of(operator.app).audience, "--no-grant")


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_the_jti_of_a_token_finds_its_client_secret_and_address(operator: Operator, api: Machine, kind: str) -> None:
    one = operator.register("one", "--scope", "read:logs write:logs", "--format", kind)
    two = operator.register("two", "--scope", "read:logs write:logs", "--format", kind)
    sent = [(one, "192.0.2.1", "read:logs"), (one, "192.0.2.2", "read:logs"), (two, "192.0.2.2", "read:logs")]
    sent += [(one, "192.0.2.1", "write:logs"), (one, "192.0.2.1", "read:logs")]
    ids = [jti_of(api, send(machine, address, scope=scope)["access_token"]) for machine, address, scope in sent]

    with operator.app.app_context():
        found = [reports.of_jti(jti) for jti in ids]
    assert len(set(ids)) == 5
    for (machine, address, scope), tokens in zip(sent, found, strict=True):
        facts = {(row.client_id, row.address, row.scope, row.credential) for row in tokens}
        assert facts == {(machine.client_id, address, scope, "secret-1")}
        assert all(abs(row.at - now()) < 60 for row in tokens)
