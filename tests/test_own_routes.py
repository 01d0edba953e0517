"""Your own routes: added to a copy as docs/protect-your-api.md says, with everything that can go wrong in them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Blueprint, Flask, abort, request, url_for

from app.api.guard import require_oauth
from tests.conftest import ROOT, SECRET_KEY, Machine
from tests.test_start import copied, outside

CHECKS = (
    ("ruff", "format", "--check"),
    ("ruff", "check"),
    ("mypy",),
    ("codespell_lib",),
    ("pytest", "-n0", "-q", "-p", "no:cacheprovider", "tests/test_house.py"),
)
# What a learner tries next, in the same module.
MORE = """

@blueprint.get("/slow/")
@require_oauth("invoices:read")
async def read_slowly() -> dict[str, str]:
    await asyncio.sleep(0)
    return {"requested_by": current_token.client_id}
"""
TRY = """
import sys, json, wsgi
client, auth = wsgi.app.test_client(), tuple(sys.argv[1:3])
token = client.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=auth).json["access_token"]
headers = {"Authorization": "Bearer " + token}
responses = [client.get(path, headers=headers, follow_redirects=True) for path in ("/invoices", "/slow/", "/slow")]
print(json.dumps([[each.status_code, each.json] for each in responses] + [client.get("/invoices").status_code]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, changed as docs/protect-your-api.md says under "Guard a route"."""
    section = (ROOT / "docs" / "protect-your-api.md").read_text().partition("## Guard a route")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    below, registration, table, scope = (
        re.search(pattern, section)[1]  # type: ignore[index]
        for pattern in (r"below `([^`]+)`", r"with `(app\.[^`]+)`", r"under `(\[[^`]+)`", r': `("[^`]+")`')
    )
    folder = copied(tmp_path_factory.mktemp("own routes"))
    (folder / "invoices.py").write_text("import asyncio\n\n" + code + MORE)

    wsgi, toml = folder / "wsgi.py", folder / "keyturn.toml"
    imported = re.search(r"`(from invoices [^`]+)`", section)
    assert imported
    text = wsgi.read_text()
    last_import = re.findall(r"^from app[. ].*$", text, re.MULTILINE)[-1]
    text = text.replace(last_import, f"{last_import}\n{imported[1]}", 1)
    wsgi.write_text(text.replace(below, f"{below}\n{registration}", 1))
    toml.write_text(toml.read_text().replace(table, f"{table}\n{scope}", 1))
    return folder


def run(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = outside() | {"KEYTURN_SECRET_KEYS": SECRET_KEY} | environment
    return subprocess.run(
        [sys.executable, *command], cwd=project, env=known, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: "-".join(check[:2]))
def test_the_routes_of_the_page_pass_every_check(project: Path, check: tuple[str, ...]) -> None:
    done = run(project, "-m", *check)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_routes_of_the_page_are_served_and_guarded(project: Path, tmp_path: Path) -> None:
    url = {"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}
    assert run(project, "-m", "flask", "prepare", **url).returncode == 0
    create = ("clients", "create", "shop", "--scope", "invoices:read", "--json")
    client = json.loads(run(project, "-m", "flask", *create, **url).stdout)

    done = run(project, "-c", TRY, client["client_id"], client["client_secret"], **url)

    assert done.returncode == 0, done.stderr
    expected = [200, {"requested_by": client["client_id"]}]
    assert json.loads(done.stdout) == [expected, expected, expected, 401]


blueprint = Blueprint("slips", __name__, url_prefix="/slips")


@blueprint.get("/forgot")
@require_oauth("read:logs")
def forgot() -> None:
    """No return, the most common slip."""


@blueprint.get("/raised")
def raised() -> dict[str, str]:
    return {"a": {}["b"]}


@blueprint.get("/async")
async def later() -> dict[str, str]:
    return {"url": url_for("slips.raised", _external=True)}


@blueprint.get("/folder/")
def folder() -> dict[str, str]:
    return {}


@blueprint.post("/form")
def reading_a_form() -> dict[str, str]:
    return {"name": request.form["name"]}


@blueprint.get("/abort/<int:status>")
def aborting(status: int) -> dict[str, str]:
    abort(status)


@blueprint.get("/abort/<int:status>/text")
def aborting_with_a_text(status: int) -> dict[str, str]:
    abort(status, 'The invoice "1" is another customer\u2019s.')


@pytest.fixture
def served(app: Flask) -> Flask:
    app.register_blueprint(blueprint)
    return app


@pytest.mark.usefixtures("served")
def test_a_route_that_forgets_to_return_is_a_failure_of_the_server(admin: Machine) -> None:
    response = admin.get("/slips/forgot", admin.token())

    assert (response.status_code, response.json["error"]) == (500, "server_error")
    assert "The function either returned None or ended without a return statement" in response.json["hint"]
    assert "malformed" not in response.text


def test_a_route_that_raises_is_a_failure_of_the_server(served: Flask) -> None:
    response = served.test_client().get("/slips/raised")

    assert (response.status_code, response.json["error"], response.json["hint"]) == (500, "server_error", "KeyError")


def test_a_field_that_a_route_reads_and_nobody_sent_is_named_in_development(served: Flask) -> None:
    response = served.test_client().post("/slips/form", data={"title": "x"})

    assert (response.status_code, response.json["error"]) == (400, "invalid_request")
    assert response.json["error_description"].startswith("The request is malformed")
    assert response.json["hint"] == "the request has no name"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "invalid_request"),
        (401, "invalid_token"),
        (403, "access_denied"),
        (404, "not_found"),
        (409, "invalid_request"),
        (422, "invalid_request"),
        (500, "server_error"),
        (501, "server_error"),
        (502, "server_error"),
        (503, "temporarily_unavailable"),
        (504, "server_error"),
    ],
)
def test_abort_has_its_code_and_its_text(served: Flask, status: int, error: str) -> None:
    bare = served.test_client().get(f"/slips/abort/{status}")
    with_a_text = served.test_client().get(f"/slips/abort/{status}/text")

    assert (bare.status_code, with_a_text.status_code) == (status, status)
    assert (bare.json["error"], with_a_text.json["error"]) == (error, error)
    assert with_a_text.json["error_description"] == "The invoice '1' is another customer's."
    if status != 400:
        assert "The request is malformed" not in bare.text
    if status == 401:
        assert with_a_text.headers["WWW-Authenticate"].startswith("Bearer ")


def test_async_routes_external_addresses_and_slashes_are_as_flask_documents_them(served: Flask) -> None:
    client = served.test_client()

    assert client.get("/slips/async", base_url="https://a.example").json == {"url": "https://a.example/slips/raised"}
    redirect = client.get("/slips/folder", base_url="https://a.example")
    assert (redirect.status_code, redirect.headers["Location"]) == (308, "https://a.example/slips/folder/")
