"""openapi.json as a contract and as a mock: an example of each response, for redocly and for Prism; who may read it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from flask import Flask

from conformance.cases import CASES
from conformance.exchange import send
from tests.conftest import SECRET_KEY, build_app, close, free_port, responds, wait_for
from tests.support.npm import FOLDER, Npm

DRAFT = "https://json-schema.org/draft/2020-12/schema"
PUBLIC = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/jwks.json",
    "/openapi.json",
)
OFFLINE = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
VALUES = {"{sku}": "pallet-7", "{code}": "invalid_scope"}


@pytest.fixture(scope="module")
def app(prepared: Callable[[str], str]) -> Iterator[Flask]:
    made = build_app(database_url=prepared("sqlite"))
    yield made
    close(made)


def described(app: Flask) -> dict[str, Any]:
    return dict(app.test_client().get("/openapi.json").json)


METHODS = ("get", "post", "put", "delete")


def responses(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The method, the path, the status and the description of each response that has a body."""
    for path, item in document["paths"].items():
        for method, operation in ((name, item[name]) for name in METHODS if name in item):
            for status, response in operation["responses"].items():
                if status != "304":
                    yield method, path, status, response


def test_every_response_has_an_example_and_each_fits_its_description(app: Flask) -> None:
    document = described(app)

    for method, path, status, response in responses(document):
        ((media_type, content),) = response["content"].items()
        assert content["examples"], (method, path, status)
        place = f"#/paths/{path.replace('/', '~1')}/{method}/responses/{status}/content/{media_type.replace('/', '~1')}"
        schema = {"$schema": DRAFT, "$ref": quote(place, safe="#/~") + "/schema"}
        validator = jsonschema_rs.validator_for(document | schema)
        for example in content["examples"].values():
            validator.validate(example["value"])
        for header in response.get("headers", {}).values():
            header = document["components"]["headers"].get(header.get("$ref", "").rpartition("/")[2], header)
            value = header.get("example", header["schema"].get("const"))
            jsonschema_rs.validator_for(header["schema"] | {"$schema": DRAFT}).validate(value)


def test_every_case_of_a_described_response_is_an_example_by_its_name(app: Flask) -> None:
    shown = {
        (method.upper(), path, int(status)): response for method, path, status, response in responses(described(app))
    }
    checked = 0

    for case in CASES:
        path = re.sub(r"^/inventory/[^/]+$", "/inventory/{sku}", case.path.partition("?")[0])
        if (case.method, path, case.status) in shown:
            ((_, content),) = shown[case.method, path, case.status]["content"].items()
            assert case.name in [example["summary"] for example in content["examples"].values()]
            checked += 1

    assert checked >= len(CASES) - 10  # the others test methods and routes that do not exist


def test_every_operation_says_what_it_needs(app: Flask) -> None:
    items = described(app)["paths"].values()
    operations = [item[name] for item in items for name in METHODS if name in item]

    assert all("security" in operation for operation in operations)
    assert sum(operation["security"] == [] for operation in operations) == 8


def test_the_examples_name_this_server_and_in_production_have_no_hint(new_app: Callable[..., Flask]) -> None:
    issuer = "https://auth.example.com/eu"
    app = new_app(issuer=issuer, env="production", secret_keys=SECRET_KEY, demo_clients="")

    text = app.test_client().get("/eu/openapi.json", base_url="https://auth.example.com").text

    assert '"summary":"a wrong secret, with Basic"' in text.replace('": "', '":"')
    assert f"{issuer}/errors/invalid_client" in text
    assert "{issuer}" not in text
    assert "127.0.0.1:8000/errors" not in text
    assert "did you mean" not in text
    assert '"hint":"' not in text.replace('": "', '":"')


@pytest.fixture
def file(app: Flask, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(app.test_client().get("/openapi.json").text, encoding="utf-8")
    return path


def test_redocly_finds_nothing_with_its_default_rules(npm: Npm, file: Path) -> None:
    done = npm.run("redocly", "lint", str(file), "--format=json", cwd=file.parent, env=os.environ | OFFLINE)

    report = json.loads(done.stdout)
    assert [problem["message"] for problem in report["problems"]] == []
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


@pytest.fixture
def prism(npm: Npm, file: Path) -> Iterator[str]:
    """`prism mock openapi.json`, by its address."""
    port = free_port()
    command = [npm.node_path, str(FOLDER / "node_modules" / ".bin" / "prism"), "mock", str(file)]
    with (file.parent / "prism.log").open("wb") as log:
        process = subprocess.Popen([*command, "-h", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or responds(f"{url}/openapi.json"), seconds=90)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


FORM = "grant_type=client_credentials&token=x"
BODIES = {"/oauth": FORM, "/admin/logs": '{"message": "x"}', "/inventory": '{"quantity": 1}'}


def preferred(prism: str, method: str, path: str, prefer: str) -> tuple[int, Any, str]:
    """Send a request that fits its description, and prefer a response."""
    for name, value in VALUES.items():
        path = path.replace(name, value)
    headers = {"Prefer": prefer, "Authorization": "Basic YTpi" if path.startswith("/oauth/") else "Bearer x"}
    body = next((text for start, text in BODIES.items() if path.startswith(start)), "") if method != "get" else ""
    headers["Content-Type"] = "application/x-www-form-urlencoded" if body == FORM else "application/json"
    if not body:
        del headers["Content-Type"]
    response = send(prism + path, method.upper(), headers=headers, body=body.encode() or None)
    text = response.body.decode()
    return response.status, response.headers, text


def test_prism_returns_a_token_and_by_its_name_every_response_that_was_saved(prism: str, app: Flask) -> None:
    status, headers, text = preferred(prism, "post", "/oauth/token", "")

    token = json.loads(text)["access_token"].split(".")
    header, claims = (json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token[:2])
    assert (status, header["typ"], headers["Cache-Control"]) == (200, "at+jwt", "no-store")
    assert claims["exp"] - claims["iat"] == json.loads(text)["expires_in"]
    for method, path, code, response in responses(described(app)):
        ((media_type, content),) = response["content"].items()
        for name, example in content["examples"].items():
            status, headers, text = preferred(prism, method, path, f"code={code}, example={name}")
            value = json.loads(text) if media_type == "application/json" else text
            assert (status, value) == (int(code), example["value"]), (method, path, code, name)
            challenge = response.get("headers", {}).get("WWW-Authenticate", {}).get("example")
            assert headers.get("WWW-Authenticate") == challenge


def test_any_origin_may_read_what_is_public_and_nothing_else(app: Flask) -> None:
    client, origin = app.test_client(), {"Origin": "https://page.example.com"}

    allowed = {}
    for method, path, _, _ in responses(described(app)):
        for name, value in VALUES.items():
            path = path.replace(name, value)
        response = client.open(path, method=method.upper(), headers=origin)
        allowed[method, path] = response.headers.get("Access-Control-Allow-Origin")
        assert "Access-Control-Allow-Credentials" not in response.headers
        preflight = client.options(path, headers=origin | {"Access-Control-Request-Method": "GET"})
        assert preflight.status_code in {404, 405}
        assert "Access-Control-Allow-Origin" not in preflight.headers

    assert {place for place, value in allowed.items() if value} == {("get", path) for path in PUBLIC}
    assert {value for value in allowed.values() if value} == {"*"}


def test_any_origin_may_read_that_the_keys_have_not_changed(app: Flask) -> None:
    client = app.test_client()
    etag = client.get("/.well-known/jwks.json").headers["ETag"]

    response = client.get("/.well-known/jwks.json", headers={"If-None-Match": etag})

    assert response.status_code == 304
    assert response.headers["Access-Control-Allow-Origin"] == "*"
