"""The step "take it home": what the page shows is copied and run, each snippet with its own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit
from tests.conftest import LiveServer, missing
from tests.support import snippets

TOOLS = ("curl", "requests", "authlib", "fetch", "openid-client", "postman")
OPENID_CLIENT = "openid-client@6.8.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("take-home")


@pytest.fixture(scope="module")
def with_openid_client(folder: Path) -> Path:
    """The folder, with openid-client as a learner installs it."""
    if shutil.which("npm") is None:
        missing("npm", install="it brings openid-client, a snippet of the playground (apt install nodejs npm)")
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), OPENID_CLIENT]
    subprocess.run(npm, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture
def taking(visits: Callable[..., Visit], server: LiveServer) -> Visit:
    found = visits(server.url, permissions=["clipboard-read", "clipboard-write"])
    found.open()
    return found


def copied(visit: Visit, tool: str) -> str:
    """What the button Copy puts on the clipboard: the text that the page shows."""
    section = visit.go("takehome")
    section.locator(f"[data-snippet='{tool}'][role=tab]").click()
    section.get_by_role("button", name="Copy").click()
    expect(section.get_by_text("Copied.")).to_be_visible()
    text = str(visit.page.evaluate("navigator.clipboard.readText()"))
    assert text == section.locator("pre").text_content()
    return text


def choose(visit: Visit, client: str, *, in_form: bool, scope: str) -> None:
    """Choose a request for a token at the first step."""
    section = visit.go("token")
    section.locator("select").first.select_option(client)
    section.get_by_label("In the form" if in_form else "In the Authorization header").check()
    section.locator(f"input[value='{scope}']").check()


def said(tool: str, done: subprocess.CompletedProcess[str], folder: Path) -> str:
    """What a tool printed; newman writes the response into its report."""
    if tool != "postman":
        return done.stdout + done.stderr
    (execution,) = json.loads((folder / "report.json").read_text())["run"]["executions"]
    response = execution["response"]
    return f"{response['code']} {bytes(response['stream']['data']).decode()}"


def is_short(tool: str, *, in_form: bool) -> bool:
    return tool in ("curl", "requests", "fetch") and not in_form


@pytest.mark.parametrize(
    ("tool", "in_form"),
    [
        pytest.param(tool, in_form, id=f"{tool}-{'form' if in_form else 'basic'}",
                     marks=[] if is_short(tool, in_form=in_form) else [pytest.mark.browser])
        for tool in TOOLS
        for in_form in (False, True)
    ],
)  # fmt: skip
def test_a_token_request_is_copied_and_gets_a_token(
    request: pytest.FixtureRequest, taking: Visit, folder: Path, tool: str, in_form: bool
) -> None:
    choose(taking, "demo-partner", in_form=in_form, scope="inventory:read")
    if tool == "openid-client":
        request.getfixturevalue("with_openid_client")

    done = snippets.run(tool, copied(taking, tool), folder)

    assert done.returncode == 0, done.stderr
    assert "inventory:read" in said(tool, done, folder)
    assert "inventory:write" not in said(tool, done, folder)


@pytest.mark.browser
@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "openid-client"])
def test_a_call_of_the_api_is_copied_and_gets_the_same_response(taking: Visit, folder: Path, tool: str) -> None:
    choose(taking, "demo-partner", in_form=False, scope="inventory:write")
    taking.press_send()
    token = json.loads(taking.page.locator("#wire-response .body").inner_text())["access_token"]
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    taking.fill("PUT", "/inventory/pallet-7", headers, '{"quantity": 12}')

    done = snippets.run(tool, copied(taking, tool), folder)

    assert done.returncode == 0, done.stderr
    found = re.search(r"\{.*\}", said(tool, done, folder), re.DOTALL)
    assert found, done
    assert json.loads(found[0]) == {"sku": "pallet-7", "quantity": 12}


@pytest.mark.browser
@pytest.mark.parametrize(
    ("slip", "tool"),
    [
        *product(("newline", "quotes", "encoded-twice", "parameter-twice", "not-utf8"), ("curl", "requests", "fetch")),
        ("newline", "postman"),
    ],
)
def test_a_slip_is_copied_and_is_refused_in_the_same_way(taking: Visit, folder: Path, slip: str, tool: str) -> None:
    taking.go("break")
    taking.page.locator(f"[data-slip={slip}]").click()
    taking.page.locator(".guess").first.click()
    hint = taking.page.locator(".slip-outcome dt:text-is('hint') + dd").inner_text()

    done = snippets.run(tool, copied(taking, tool), folder)

    assert hint in said(tool, done, folder)


@pytest.mark.browser
@pytest.mark.parametrize("tool", ["authlib", "openid-client"])
def test_a_library_that_cannot_make_a_request_says_so(taking: Visit, tool: str) -> None:
    taking.fill("DELETE", "/inventory", [], "")
    section = taking.go("takehome")

    section.locator(f"[data-snippet='{tool}'][role=tab]").click()

    expect(section.get_by_text("builds the request itself")).to_be_visible()
    expect(section.get_by_role("button", name="Copy")).to_be_hidden()


@pytest.mark.browser
def test_a_snippet_follows_what_is_typed(taking: Visit) -> None:
    section = taking.go("takehome")
    section.locator("[data-snippet=curl][role=tab]").click()

    taking.page.locator("#send-path").fill("/oauth/token?it's=$HOME")

    expect(section.locator("pre")).to_contain_text("/oauth/token?it%27s=$HOME'")


@pytest.mark.browser
def test_a_change_of_keys_is_not_copied_as_the_server_takes_it_from_the_page_alone(taking: Visit) -> None:
    taking.go("keys").get_by_role("button", name="Rotate at once").click()
    expect(taking.page.locator("#travels")).to_have_attribute("data-status", "200")

    section = taking.go("takehome")

    expect(section.get_by_text("flask keys rotate --now")).to_be_visible()
    expect(section.get_by_role("button", name="Copy")).to_be_hidden()
