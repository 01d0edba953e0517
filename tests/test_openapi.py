"""The OpenAPI description: it matches the routes, by the URL map, by the cases, and by schemathesis.

A part of the generated calls runs here; `make fuzz` makes 5,000.
"""

from __future__ import annotations

import os
import re
import tomllib
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from werkzeug.test import TestResponse

from conformance.cases import CASES, Case
from tests.conftest import ISSUER, ROOT, Operator, build_app, close, demo
from tests.support import forging
from tests.support.runner import Runner

CALLS = int(os.environ.get("SCHEMA_CALLS") or 600)
SCOPE = "read:logs write:logs reports:read inventory:read inventory:write read:all_data"


def described(app: Flask) -> dict[str, Any]:
    return dict(app.test_client().get("/openapi.json").json)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """What is described, by method and path."""
    methods = ("get", "post", "put", "patch", "delete", "options", "head", "trace")
    return {(m.upper(), path): item[m] for path, item in document["paths"].items() for m in methods if m in item}


def test_it_is_openapi_3_1_and_of_this_version(app: Flask) -> None:
    document = described(app)

    assert schemathesis.openapi.from_dict(document).validate() is None
    assert document["info"]["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert document["servers"] == [{"url": ISSUER}]


def test_every_route_is_described_and_nothing_else(app: Flask) -> None:
    routes = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule).removesuffix("/"))  # /errors/ is /errors as well
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("playground.")  # a page and its files, in development only
        for method in (rule.methods or set()) - {"HEAD"}
    }

    assert set(operations(described(app))) == routes


def test_a_guarded_route_is_described_with_its_scopes_and_an_open_one_without(app: Flask) -> None:
    for (method, path), operation in operations(described(app)).items():
        response = app.test_client().open(path.replace("{sku}", "pallet"), method=method)
        needs_token = response.headers.get("WWW-Authenticate", "").startswith("Bearer")
        scopes = [scope for each in operation.get("security", []) for scope in each.get("token", [])]
        assert bool(scopes) == needs_token
        for scope in SCOPE.split():  # a scope opens the route only if it is described
            token = forging.with_our_key(app, forging.claims(scope=scope))
            response = demo(app, "demo-admin").send(method, path.replace("{sku}", "pallet"), token, json={})
            assert not needs_token or (response.status_code != 403) == (scope in scopes)


def test_the_scopes_and_addresses_are_this_servers(new_app: Callable[..., Flask]) -> None:
    app = new_app(issuer="http://127.0.0.1:8000/auth/eu", audience="https://api.example.com/v1")

    document = app.test_client().get("/auth/eu/openapi.json").json

    flow = document["components"]["securitySchemes"]["token"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "http://127.0.0.1:8000/auth/eu/oauth/token"
    assert flow["scopes"]["read:logs"] == "Read the audit trail"
    assert document["paths"]["/.well-known/oauth-authorization-server/auth/eu"]["servers"] == [
        {"url": "http://127.0.0.1:8000"}
    ]
    assert document["paths"]["/.well-known/oauth-protected-resource/v1"]["servers"] == [
        {"url": "https://api.example.com"}
    ]
    assert (
        "/.well-known/oauth-protected-resource"
        not in new_app(audience="urn:a:b").test_client().get("/openapi.json").json["paths"]
    )


def assert_described(document: dict[str, Any], case: Case, response: TestResponse, path: str) -> None:
    """The response has a status that is described, the headers that it must have, and a body that fits."""
    described = document["paths"][path][case.method.lower()]["responses"][str(response.status_code)]
    pointer = f"#/paths/{path.replace('/', '~1')}/{case.method.lower()}/responses/{response.status_code}"
    if "$ref" in described:
        pointer = described["$ref"]
        described = document["components"]["responses"][pointer.rpartition("/")[2]]
    for name, header in described.get("headers", {}).items():
        header = document["components"]["headers"].get(header.get("$ref", "").rpartition("/")[2], header)
        value: object = response.headers[name]
        value = int(str(value)) if header["schema"].get("type") == "integer" else value
        jsonschema_rs.validator_for(header["schema"] | {"$schema": DRAFT}).validate(value)
    (media_type,) = described["content"]
    assert response.mimetype == media_type
    place = f"{pointer}/content/{media_type.replace('/', '~1')}/schema"
    schema = {"$schema": DRAFT, "$ref": quote(place, safe="#/~")}
    jsonschema_rs.validator_for(document | schema).validate(response.json)


DRAFT = "https://json-schema.org/draft/2020-12/schema"


def test_the_response_to_every_case_is_described(app: Flask) -> None:
    document, runner, checked = described(app), Runner(app), 0
    for case in CASES:
        path = re.sub(r"^/inventory/[^/]+$", "/inventory/{sku}", case.path.partition("?")[0])
        if case.method.lower() in document["paths"].get(path, {}):
            assert_described(document, case, runner.send(case), path)
            checked += 1

    assert checked >= len(CASES) - 8  # the others test routes that do not exist


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> Iterator[tuple[Flask, str, str]]:
    """An app without limits, and the two Authorization headers of a client that may do everything."""
    app = build_app(database_url=prepared(request.param), limit_failures="", limit_address="")
    machine = Operator(app).register("tester", "--scope", SCOPE, "--resource-server", ISSUER)
    pair = b64encode(f"{machine.client_id}:{machine.secret}".encode()).decode()
    yield app, f"Basic {pair}", f"Bearer {machine.token()}"
    close(app)


def may_be_refused(case: schemathesis.Case, *, is_known: bool) -> list[Any]:
    """The checks to skip: a request that fits the schema may be refused all the same.

    The caller may be unknown, the scope or the client_id not the client's, the message not printable, the cursor
    past the newest event.
    """
    load_all_checks()
    is_more_than_form = case.path.startswith("/oauth/") or (case.method, case.path) == ("POST", "/admin/logs")
    is_more_than_form |= "since" in (case.query or {})
    return [CHECKS.get_one("positive_data_acceptance")] if is_more_than_form or not is_known else []


def try_calls(operation: Any, mode: GenerationMode, number: int, good: str) -> int:
    """Make calls that fit the schema, or that do not, and check each response.

    Returns:
        The number of calls.
    """
    calls = 0

    @settings(
        max_examples=number,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        deadline=None,
        database=None,
    )
    @given(case=operation.as_strategy(generation_mode=mode), header=st.sampled_from([good, good, good, "Bearer x"]))
    def try_one(case: schemathesis.Case, header: str) -> None:
        nonlocal calls
        calls += 1
        response = case.call(headers={"Authorization": header})
        case.validate_response(response, excluded_checks=may_be_refused(case, is_known=header == good))

    try_one()
    return calls


def test_schemathesis_finds_no_response_that_is_not_described(served: tuple[Flask, str, str]) -> None:
    app, basic, bearer = served
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    tried = [result.ok() for result in schema.get_all_operations()]
    varied = [op for op in tried if op.body or op.path_parameters or op.query]
    number = -(-CALLS // (2 * 2 * len(varied)))  # for each of two databases, good ones and bad ones

    calls = 0
    for operation in tried:
        good = basic if operation.path.startswith("/oauth/") else bearer
        calls += try_calls(operation, GenerationMode.POSITIVE, number, good)
        if operation in varied:
            calls += try_calls(operation, GenerationMode.NEGATIVE, number, good)

    assert calls >= CALLS // 2
