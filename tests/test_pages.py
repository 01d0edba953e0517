"""The page at every `error_uri`, in a real browser without scripts; and docs/errors.md."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, abort
from sqlalchemy import text

import config
from app.refusals.codes import CODES
from app.storage.database import db
from tests.conftest import ISSUER, ROOT, LiveServer, Machine, curl, demo, missing
from tests.support import documents

PAGES = ["/errors/", *(f"/errors/{code}" for code in CODES)]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


@pytest.fixture(scope="module")
def server(
    prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, live_servers: Callable[..., LiveServer]
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """The machine's Chromium; it runs no script."""
    executable = shutil.which("chromium")
    if executable is None:
        missing("Chromium", install="apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_reads_well_in_a_browser_without_scripts(browser: object, server: LiveServer, width: int) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 800})  # type: ignore[attr-defined]
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.on("response", lambda response: faults.append(response.url) if response.status >= 400 else None)

    for path in PAGES:
        page.goto(server.url + path)
        code = path.removeprefix("/errors/")
        assert page.locator("h1").inner_text() == (code or "Errors")
        assert page.locator("h1").count() == page.locator("main").count() == 1
        assert page.title() == f"{code or 'Errors'} · Keyturn"
        # Only code examples are wider than the screen, and those scroll by themselves.
        widths = [page.locator(each).bounding_box()["width"] for each in ("main", "footer")]
        assert max(widths) <= width
        assert page.locator("main").evaluate("all => all.scrollWidth <= all.clientWidth")
    context.close()
    assert faults == []


def test_a_reader_walks_from_an_error_to_its_page_and_to_all_others(browser: object, server: LiveServer) -> None:
    import json

    from tests.support.calling import call

    page = browser.new_page()  # type: ignore[attr-defined]
    refused = json.loads(call(server, "POST", "/oauth/token")[2])

    page.goto(refused["error_uri"])
    page.get_by_role("link", name="All errors").click()
    page.get_by_role("link", name="invalid_scope").click()

    assert page.url == f"{server.url}/errors/invalid_scope"
    assert "A token is for one API" in page.locator("dl").inner_text()


@pytest.mark.parametrize("path", [*PAGES, "/errors"])
def test_a_page_loads_nothing_runs_nothing_and_may_be_cached(app: Flask, path: str) -> None:
    response = app.test_client().get(path)

    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age" in response.headers["Cache-Control"]
    assert not re.search(r"<script|<img|<link|\son\w+=|javascript:", response.text)


def test_R061_a_page_that_does_not_exist_is_a_404_in_json(app: Flask) -> None:
    response = app.test_client().get("/errors/<script>alert(1)</script>")

    assert (response.status_code, response.json["error"]) == (404, "not_found")
    assert "alert" not in response.text


def test_R084_the_metadata_names_the_pages_and_they_are_below_the_issuer(new_app: Callable[..., Flask]) -> None:
    app = new_app(issuer="http://127.0.0.1:8000/auth/eu")

    metadata = app.test_client().get("/.well-known/oauth-authorization-server/auth/eu").json

    assert metadata["service_documentation"] == "http://127.0.0.1:8000/auth/eu/errors/"
    for page in ("", "invalid_client", "not_found"):
        shown = app.test_client().get(f"/auth/eu/errors/{page}").text
        links = re.findall(r'href="([^"]*)"', shown) + re.findall(r"^METADATA=(\S+)$", shown, re.MULTILINE)
        assert links
        for link in links:
            assert app.test_client().get(link.removeprefix("http://127.0.0.1:8000")).status_code == 200


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_all_that_is_known_and_so_does_the_document(app: Flask, code: str) -> None:
    page = text_of(app.test_client().get(f"/errors/{code}").text)
    (section,) = re.findall(rf"^## {code}\n(.*?)(?=^## |\Z)", documents.errors(), re.DOTALL | re.MULTILINE)

    known = CODES[code]
    for sentence in (known.meaning, known.source, known.command, *(part for pair in known.causes for part in pair)):
        assert sentence.replace("`", "") in page
        assert sentence in section
    for status in (known.status, *known.other_statuses):
        assert str(status) in page


def test_R060_every_error_of_every_code_names_a_page_that_is_there(app: Flask) -> None:
    admin, unlucky = demo(app, "demo-admin"), app.test_client()
    app.add_url_rule("/fails", "fails", view_func=lambda: 1 / 0)
    app.add_url_rule("/denies", "denies", view_func=lambda: abort(403))
    responses = [
        admin.request_token(scope="nonsense"),
        admin.request_token(grant_type="password"),
        admin.request_token(resource="urn:example:another"),
        Machine(app, "demo-admin", "kts_wrong").request_token(),
        admin.introspect("x"),
        admin.get("/inventory", "x"),
        demo(app, "demo-reporting").get("/inventory", demo(app, "demo-reporting").token()),
        unlucky.get("/nowhere"),
        unlucky.delete("/inventory"),
        unlucky.get("/fails"),
        unlucky.get("/denies"),
    ]
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE client_secrets RENAME TO elsewhere"))
    responses.append(admin.request_token())
    with app.app_context(), db.engine.begin() as connection:  # or the trail tries for seconds when the app ends
        connection.execute(text("ALTER TABLE elsewhere RENAME TO client_secrets"))

    assert {response.json["error"] for response in responses} == set(CODES)
    for response in responses:
        address = response.json["error_uri"]
        assert address == f"{ISSUER}/errors/{response.json['error']}"
        assert app.test_client().get(address.removeprefix(ISSUER)).status_code == 200
        if response.headers.get("WWW-Authenticate", "").startswith("Bearer"):
            assert f'error_uri="{address}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("code", CODES)
def test_in_development_the_command_of_a_page_names_a_demo_client_and_in_production_none(
    new_app: Callable[..., Flask], code: str
) -> None:
    production = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    https = {"X-Forwarded-Proto": "https"}

    learning = html.unescape(new_app().test_client().get(f"/errors/{code}").text)
    real = html.unescape(production.test_client().get(f"/errors/{code}", headers=https).text)

    for line in re.findall(r"^(?:<pre><code>)?(\w+_(?:ID|SECRET)=.*)$", learning, re.MULTILINE):
        assert re.search(r"=(kts_)?demo-", line), line
        name = line.partition("=")[0]
        assert f"{name}=kt" in real
    assert "is-for-learning-only" not in real


def test_the_page_on_a_wrong_client_holds_for_the_demo_clients_too(app: Flask) -> None:
    page = text_of(app.test_client().get("/errors/invalid_client").text)

    assert "an id with ktc_; a demo client's id is a name, such as demo-admin" in page
    assert all(not demo.client_id.startswith("ktc_") for demo in config.DEMO_CLIENTS)


def test_without_a_token_there_is_no_code_and_so_no_page(app: Flask) -> None:
    assert app.test_client().get("/inventory").json.keys() == {"error_description", "hint"}


def test_every_command_of_the_document_runs(server: LiveServer) -> None:
    curl()
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / "errors.md").read_text(), re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    script = "\n".join(["set -e", *commands]).replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    script = script.replace("curl -s", "curl --silent --show-error --fail-with-body")

    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert len([command for command in commands if command.startswith("curl")]) == len(CODES)
