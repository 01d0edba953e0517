"""The page as it is seen and read aloud: axe finds no violation, and nothing is wider than the screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import NARROW, WIDE
from tests.browser.visit import STEPS, Visit
from tests.conftest import LiveServer

SHORT = ("light", WIDE)
SCREENS = [
    pytest.param(scheme, width, id=f"{scheme}-{width}", marks=[] if (scheme, width) == SHORT else [pytest.mark.browser])
    for scheme in ("light", "dark")
    for width in (WIDE, NARROW)
]


def is_sound(visit: Visit, state: str) -> None:
    """Check the page as it is now."""
    found = Axe().run(visit.page)
    assert found.violations_count == 0, f"{state}: {found.generate_report()}"
    assert visit.fits(), f"{state}: the page is wider than the screen"


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_every_step_is_sound(visits: Callable[..., Visit], server: LiveServer, scheme: str, width: int) -> None:
    visit = visits(server.url, width=width, color_scheme=scheme, reduced_motion="reduce")
    visit.open()
    visit.page.get_by_role("button", name="Request the token").click()
    expect(visit.page.locator("#travels")).to_have_attribute("data-status", "200")

    for step in STEPS:
        visit.go(step)
        is_sound(visit, step)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_every_state_of_a_slip_is_sound(
    visits: Callable[..., Visit], server: LiveServer, scheme: str, width: int
) -> None:
    visit = visits(server.url, width=width, color_scheme=scheme, reduced_motion="reduce")
    visit.open("break")
    visit.page.locator("[data-slip=tampered]").click()
    is_sound(visit, "before a guess")

    visit.page.locator(".guess").first.click()
    expect(visit.page.locator(".slip-outcome")).to_have_attribute("data-status", "401")
    expect(visit.page.locator(".explained .none, #refusal-operator .none")).to_have_count(0)
    is_sound(visit, "after a guess")
    visit.forgiven.append("net::ERR_EMPTY_RESPONSE")
    visit.page.locator("[data-slip=fault-drop]").click()
    visit.page.locator(".guess").first.click()
    expect(visit.page.locator(".slip-outcome")).to_have_attribute("data-status", "0")
    is_sound(visit, "without a response")
    visit.page.locator("details.elsewhere summary").click()
    is_sound(visit, "what cannot be sent")


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_every_snippet_is_sound(visits: Callable[..., Visit], server: LiveServer, scheme: str, width: int) -> None:
    visit = visits(server.url, width=width, color_scheme=scheme)
    visit.open("takehome")

    expect(visit.page.get_by_role("tab")).to_have_count(6)
    for tab in visit.page.get_by_role("tab").all():
        tab.click()
        is_sound(visit, tab.inner_text())


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_error_pages_are_sound(visits: Callable[..., Visit], server: LiveServer, scheme: str, width: int) -> None:
    visit = visits(server.url, width=width, color_scheme=scheme, bypass_csp=True)  # axe is a script, which they forbid

    for path in ("/errors/", "/errors/invalid_client"):
        visit.page.goto(server.url + path)
        is_sound(visit, path)
