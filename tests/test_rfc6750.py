"""Bearer tokens at the sample API (RFC 6750): challenges, scopes, and what the routes themselves refuse."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask

from app.api import hourly_report, stock
from tests.conftest import ISSUER, Machine
from tests.support import forging
from tests.support.work import counted

WHERE = f'resource_metadata="{ISSUER}/.well-known/oauth-protected-resource"'
GUARDED = [
    ("GET", "/admin/logs", "read:logs", None),
    ("POST", "/admin/logs", "write:logs", {"message": "done"}),
    ("GET", "/internal/reports", "reports:read", None),
    ("GET", "/inventory", "inventory:read", None),
    ("PUT", "/inventory/pallet", "inventory:write", {"quantity": 1}),
]


@pytest.mark.parametrize(("method", "path", "scope", "body"), GUARDED)
def test_R101_each_route_opens_for_its_scope_and_says_which_one_it_needs(
    admin: Machine, method: str, path: str, scope: str, body: dict[str, Any] | None
) -> None:
    def response_to(scope: str) -> Any:
        token = forging.with_our_key(admin.app, forging.claims(scope=scope))
        return admin.send(method, path, token, json=body)

    assert response_to(scope).status_code in (200, 201)
    assert response_to("read:all_data").status_code == (200 if method == "GET" else 403)
    refused = response_to("shipments:read " + scope.upper())
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"].endswith(f'scope="{scope}"')


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in GUARDED])
def test_R100_each_route_without_a_token_is_401_with_a_challenge(app: Flask, method: str, path: str) -> None:
    response = app.test_client().open(path, method=method)

    assert response.status_code == 401
    assert response.headers.get_all("WWW-Authenticate") == [f'Bearer realm="keyturn", {WHERE}']


def test_R100_each_parameter_of_a_challenge_is_there_once(admin: Machine) -> None:
    forbidden = admin.get("/inventory", admin.token(scope="read:logs")).headers["WWW-Authenticate"]
    invalid = admin.get("/inventory", "x").headers["WWW-Authenticate"]

    assert re.findall(r'(\w+)="', forbidden) == ["realm", "error", "error_description", "error_uri", "scope"]
    assert re.findall(r'(\w+)="', invalid) == [
        *("realm", "error", "error_description", "error_uri", "resource_metadata"),
    ]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "bearer  ", "Bearer a,Bearer b"])
def test_R101_a_malformed_header_is_invalid_request(app: Flask, header: str) -> None:
    response = app.test_client().get("/inventory", headers={"Authorization": header})

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Digest x", "Bearerx", "token"])
def test_R101_another_scheme_is_no_token(app: Flask, header: str) -> None:
    response = app.test_client().get("/inventory", headers={"Authorization": header})

    assert response.status_code == 401
    assert "error" not in response.json


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "before=0", "before=x", f"before={2**63}", "event=%00"]
)
def test_a_bad_parameter_is_named(admin: Machine, query: str) -> None:
    response = admin.get(f"/admin/logs?{query}", admin.token())

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert query.partition("=")[0] in response.json["error_description"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/inventory/pallet", {"quantity": -1}),
        ("/inventory/pallet", {"quantity": 1.5}),
        ("/inventory/pallet", {"quantity": True}),
        ("/inventory/pallet", {"quantity": 10**10}),
        ("/inventory/pallet", {"quantity": "1"}),
        ("/inventory/pallet", {}),
        ("/inventory/pallet", [1]),
        ("/inventory/pallet", None),
        ("/inventory/%00", {"quantity": 1}),
        ("/inventory/" + "x" * 65, {"quantity": 1}),
    ],
)
def test_a_bad_change_of_the_stock_changes_nothing(partner: Machine, path: str, body: object) -> None:
    before = partner.get("/inventory", partner.token()).json

    response = partner.send("PUT", path, partner.token(), data=json.dumps(body), content_type="application/json")

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert partner.get("/inventory", partner.token()).json == before


def test_a_report_costs_a_bounded_part_of_one_thread(reporting: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of the clock is a second here: a report takes one, and is reused for ten."""
    moments = iter(range(1_000))
    monkeypatch.setattr(hourly_report, "monotonic", lambda: next(moments))
    token = reporting.token()

    with counted(reporting.app) as work:
        reports = [reporting.get(f"/internal/reports?hours={hours}", token).json["hours"] for hours in range(1, 25)]

    read = [each for each in work.take("SELECT") if "audit_events" in each and "count" in each]
    assert len(read) == 3
    assert {report[0]["issued"] for report in reports} == {1}


def test_a_report_that_takes_long_holds_no_other_thread_for_long(
    reporting: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hourly_report, "WAIT_SECONDS", 0.01)
    token = reporting.token()

    with hourly_report.current_report.of(reporting.app)._lock:
        refused = reporting.get("/internal/reports", token)

    assert (refused.status_code, refused.json["error"]) == (503, "temporarily_unavailable")
    assert reporting.get("/internal/reports", token).status_code == 200


@pytest.mark.parametrize("message", ["", "x" * 1_001, 5, None, "a\x00b", "\ud800", "line\nline"])
def test_a_bad_entry_is_not_added(admin: Machine, message: object) -> None:
    response = admin.send("POST", "/admin/logs", admin.token(), json={"message": message})

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert admin.events(event="entry_added") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 10_000, b"\xff", b"1" * 5_000, b"NaN"])
def test_broken_json_is_refused(admin: Machine, body: bytes) -> None:
    response = admin.send("POST", "/admin/logs", admin.token(), data=body, content_type="application/json")

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_a_body_that_is_not_json_is_415(admin: Machine) -> None:
    assert admin.send("POST", "/admin/logs", admin.token(), data=b"message=x").status_code == 415


def test_the_stock_stores_what_was_put_and_is_bounded(partner: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    token = partner.token()
    first = partner.get("/inventory", token).json["items"]
    monkeypatch.setattr(stock, "MAX_ITEMS", len(first) + 2)

    statuses = [
        partner.send("PUT", f"/inventory/{sku}", token, json={"quantity": quantity}).status_code
        for sku, quantity in (("b", 1), ("a", 2), ("b", 3), ("c", 4))
    ]

    assert statuses == [200, 200, 200, 400]
    expected = [{"sku": "a", "quantity": 2}, {"sku": "b", "quantity": 3}]
    assert partner.get("/inventory", token).json == {"items": expected + first}
