"""The steps of the playground, used as learners do: by mouse, by keyboard, with reloads and a bad network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

import config
from tests.browser.conftest import NARROW, start_server
from tests.browser.visit import STEPS, Visit
from tests.conftest import LiveServer, free_port
from tests.support.gate import gate

DEMO_SECRETS = {demo.secret for demo in config.DEMO_CLIENTS}


def request_token(visit: Visit, client: str = "demo-admin") -> str:
    """Request a token at the first step, and return it."""
    section = visit.go("token")
    section.locator("select").first.select_option(client)
    section.get_by_role("button", name="Request the token").click()
    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")
    return str(json.loads(visit.page.locator("#wire-response .body").inner_text())["access_token"])


def tab_to(visit: Visit, target: Locator) -> None:
    """Press Tab until the focus is where it should be, as people without a mouse do."""
    for _ in range(120):
        visit.page.keyboard.press("Tab")
        if target.evaluate("target => target === document.activeElement"):
            return
    raise AssertionError(f"no key leads to {target}")


def test_the_whole_flow_step_by_step(visit: Visit) -> None:
    token = request_token(visit)
    assert visit.failed_check() is None
    assert len(visit.checks()) > 10

    section = visit.go("inspect")
    expect(section.get_by_text("The signature is valid.")).to_be_visible()
    expect(section.locator(".claims").last).to_contain_text("demo-admin")
    section.get_by_role("button", name="Change a character of the claims").click()
    expect(section.get_by_text("The signature is not valid.")).to_be_visible()

    section = visit.go("call")
    section.get_by_role("button", name="Call it with the token").click()
    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")
    assert token in visit.page.locator("#wire-headers").inner_text()
    assert visit.failed_check() is None

    expect(visit.go("takehome").locator("pre")).to_contain_text(token)
    assert set(re.findall(r"kts_[\w-]+", visit.text())) <= DEMO_SECRETS


@pytest.mark.browser
def test_an_opaque_token_has_nothing_to_take_apart_and_opens_the_same_route(visit: Visit) -> None:
    token = request_token(visit, "demo-opaque")
    assert token.startswith("kta_")

    expect(visit.go("inspect").get_by_text("This token is opaque")).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["a JWT", "an opaque token"])
def test_the_two_ways_of_checking_differ_after_a_revocation(visit: Visit, kind: str) -> None:
    section = visit.go("call")
    results = section.locator(".two-ways tbody tr")

    section.get_by_role("button", name=re.compile(f"^Request {kind} as")).first.click()
    expect(section.get_by_text("Now check it.")).to_be_visible()
    section.get_by_role("button", name="Check it in both ways").click()
    expect(results.nth(0).locator("td").nth(2)).to_contain_text("✓ valid")
    section.get_by_role("button", name="Revoke it").click()
    expect(section.get_by_text("The token is revoked.")).to_be_visible()
    section.get_by_role("button", name="Check it in both ways").click()

    expect(results.nth(1).locator("td").nth(1)).to_contain_text("✓ valid" if kind == "a JWT" else "not possible")
    expect(results.nth(1).locator("td").nth(2)).to_contain_text("✗ not valid")


@pytest.mark.browser
def test_a_key_is_rotated_and_withdrawn_and_only_then_its_tokens_fail(visit: Visit) -> None:
    request_token(visit)
    section = visit.go("keys")
    old = section.locator("[data-kid]").first.get_attribute("data-kid")

    section.get_by_role("button", name="Rotate at once").click()
    expect(section.locator("[data-kid]")).not_to_have_count(2)
    section.get_by_role("button", name="Call a route with your token").click()
    expect(visit.page.locator("#wire-line")).to_contain_text("GET")
    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")
    assert visit.failed_check() is None
    section.locator(f"[data-kid='{old}'] button").click()
    expect(section.locator(f"[data-kid='{old}']")).to_have_count(0)
    section.get_by_role("button", name="Call a route with your token").click()

    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "401")
    assert visit.failed_check() in ("kid", "key_in_use")


@pytest.mark.browser
def test_the_flow_by_keyboard_alone(visit: Visit) -> None:
    keys, page = visit.page.keyboard, visit.page
    keys.press("Tab")
    expect(page.locator(".skip")).to_be_focused()

    tab_to(visit, page.get_by_role("button", name="Request the token"))
    keys.press("Enter")
    expect(page.locator("#travels")).to_have_attribute("data-status", "200")
    tab_to(visit, page.locator("#step-token .next a"))
    keys.press("Enter")
    expect(page.locator("#step-inspect h2")).to_be_focused()
    tab_to(visit, page.get_by_role("button", name="Change a character of the claims"))
    keys.press("Space")
    expect(page.get_by_text("The signature is not valid.")).to_be_visible()
    tab_to(visit, page.locator("#step-inspect .next a"))
    keys.press("Enter")
    tab_to(visit, page.get_by_role("button", name="Call it with the token"))
    keys.press("Enter")
    expect(page.locator("#wire-line")).to_contain_text("GET")
    expect(page.locator("#travels")).to_have_attribute("data-status", "200")
    for step in ("call", "break", "keys"):
        tab_to(visit, page.locator(f"#step-{step} .next a"))
        keys.press("Enter")
    expect(page.locator("#step-takehome h2")).to_be_focused()
    tab_to(visit, page.locator("[role=tab][aria-selected=true]"))
    keys.press("ArrowRight")
    expect(page.locator("[role=tab][aria-selected=true]")).to_be_focused()
    expect(page.locator("[role=tab][aria-selected=true]")).to_have_text("Python, requests")


@pytest.mark.browser
def test_a_reload_in_the_middle_keeps_the_step_the_token_and_what_was_typed(visit: Visit) -> None:
    token = request_token(visit)
    visit.go("inspect")
    visit.fill("GET", "/inventory?typed=by-hand", [("Authorization", f"Bearer {token}")], "")

    visit.page.reload()

    expect(visit.page.locator("#step-inspect")).to_be_visible()
    expect(visit.page.get_by_text("The signature is valid.")).to_be_visible()
    expect(visit.page.locator("#send-path")).to_have_value("/inventory?typed=by-hand")
    visit.press_send()
    assert visit.status == 200


@pytest.mark.browser
def test_a_slow_server_is_waited_for_and_the_page_stays_usable(
    visits: Callable[..., Visit],
    prepared: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    live_servers: Callable[..., LiveServer],
) -> None:
    behind = free_port()
    with gate(behind) as slow:
        issuer = f"http://127.0.0.1:{slow.port}"
        server = start_server(prepared, tmp_path_factory, live_servers, PORT=str(behind), KEYTURN_ISSUER=issuer)
        visit = visits(issuer)
        visit.open()
        slow.close()

        visit.page.get_by_role("button", name="Request the token").click()
        expect(visit.page.locator("#bench")).to_have_attribute("aria-busy", "true")
        expect(visit.page.locator("#status")).to_contain_text("Waiting for POST /oauth/token")
        visit.go("break")
        slow.open()

        expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")
        expect(visit.page.locator("#bench")).to_have_attribute("aria-busy", "false")
        slow.close()
        visit.page.locator("#send-button").click()
        expect(visit.page.locator("#bench")).to_have_attribute("aria-busy", "true")
        visit.page.locator("#send-button").click()
        expect(visit.page.locator("#status")).to_contain_text("Cancelled.")
        slow.open()
        visit.press_send()
        assert visit.status == 200
        visit.end()
        server.stop()


@pytest.mark.browser
def test_a_server_that_was_stopped_is_reported_and_nothing_that_was_typed_is_lost(
    visits: Callable[..., Visit],
    prepared: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    live_servers: Callable[..., LiveServer],
) -> None:
    server = start_server(prepared, tmp_path_factory, live_servers)
    visit = visits(server.url)
    visit.forgiven.append("net::ERR_CONNECTION_REFUSED")
    visit.open("break")
    visit.fill("GET", "/inventory?typed=by-hand", [], "")

    server.stop()
    visit.press_send()

    expect(visit.page.locator("#status")).to_contain_text("No response.")
    expect(visit.page.locator("#send-path")).to_have_value("/inventory?typed=by-hand")
    visit.page.locator("[data-slip=tampered]").click()
    visit.page.locator(".guess").first.click()
    expect(visit.page.locator(".slip-panel [role=status]")).to_contain_text("not sent")
    expect(visit.page.locator("[data-slip=tampered]")).to_have_attribute("data-tried", "false")


@pytest.mark.browser
def test_the_page_works_below_the_path_of_an_issuer(
    visits: Callable[..., Visit],
    prepared: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    live_servers: Callable[..., LiveServer],
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/auth/eu"
    server = start_server(prepared, tmp_path_factory, live_servers, PORT=str(port), KEYTURN_ISSUER=issuer)
    visit = visits(server.url)

    visit.open(path="/auth/eu/")
    request_token(visit)
    visit.go("break")
    visit.page.locator("[data-slip=revoked]").click()
    visit.page.locator(".guess").first.click()

    expect(visit.page.locator(".slip-outcome")).to_have_attribute("data-status", "401")
    assert visit.failed_check() == "not_revoked"
    expect(visit.go("takehome").locator("pre")).to_contain_text(f"{issuer}/internal/reports")
    visit.end()
    server.stop()


@pytest.mark.browser
@pytest.mark.parametrize("step", STEPS)
def test_a_step_can_be_opened_by_its_address_on_a_narrow_screen(
    visits: Callable[..., Visit], server: LiveServer, step: str
) -> None:
    visit = visits(server.url, width=NARROW)

    visit.open(step)

    expect(visit.page.locator(f"#step-{step} h2")).to_be_visible()
    expect(visit.page.locator("main section[id^=step-]:visible")).to_have_count(1)
    assert visit.fits()


@pytest.mark.browser
def test_each_button_sends_what_it_says_whatever_the_workbench_holds(visit: Visit) -> None:
    section = visit.go("token")
    section.get_by_role("button", name="Read the metadata").click()
    expect(visit.page.locator("#wire-line")).to_contain_text("GET /.well-known/oauth-authorization-server")
    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")

    section.get_by_role("button", name="Request the token").click()

    expect(visit.page.locator("#wire-line")).to_contain_text("POST /oauth/token")
    expect(section.get_by_text("You have a token for")).to_be_visible()
