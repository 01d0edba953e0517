"""The step "Break it": every button causes what it declares, and shows why."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from app.playground.elsewhere import ELSEWHERE
from app.playground.slip import Slip
from app.playground.slips import EVERY_SLIP, SERVER_SLIPS, SLIPS, remedy
from app.refusals.codes import CODES
from tests.browser.visit import Visit

SHORT = ("json", "newline", "commas", "tampered", "expired", "trailing-slash")


def panel_of(visit: Visit, slip: Slip) -> Locator:
    """Open a slip."""
    visit.page.locator(f"[data-slip={slip.name}]").click()
    panel = visit.page.locator(".slip-panel")
    expect(panel).to_be_visible()
    return panel


def guess(panel: Locator, place: int) -> Locator:
    """Guess, and return what is shown when the response has come and `flask explain` is read."""
    panel.locator(".guess").nth(place).click()
    outcome = panel.locator(".slip-outcome[data-status]")
    expect(outcome).to_be_visible(timeout=15_000)  # a slow response is one of the faults
    expect(outcome.locator(".explained .none")).to_have_count(0)
    return outcome


@pytest.mark.parametrize(
    "slip",
    [pytest.param(each, id=each.name, marks=[] if each.name in SHORT else [pytest.mark.browser]) for each in SLIPS],
)
def test_a_button_causes_what_it_declares_and_says_why(same_visit: Visit, slip: Slip) -> None:
    same_visit.go("break")
    panel = panel_of(same_visit, slip)
    expect(panel.locator(".guess")).to_have_count(3)

    outcome = guess(panel, slip.right)

    assert (same_visit.status, same_visit.error, same_visit.failed_check()) == (
        slip.status,
        slip.error,
        slip.check or None,
    )
    assert outcome.get_attribute("data-status") == str(slip.status)
    assert (outcome.get_attribute("data-error") or None) == slip.error
    expect(outcome.locator(".slip-verdict")).to_have_attribute("data-right", "true")
    shown = outcome.inner_text()
    assert remedy(slip).replace("`", "") in shown
    if slip.status != 404:
        assert re.search(r"^(token|access|introspection|revocation|request)_(refused|issued)$", shown, re.MULTILINE)
    if slip.error:
        hint = outcome.locator("dt:text-is('hint') + dd").inner_text()
        page = outcome.get_by_role("link", name=f"All causes of {slip.error}").get_attribute("href")
        assert page == f"{same_visit.url}/errors/{slip.error}"
        because = outcome.locator("dt:text-is('because') + dd")
        assert because.inner_text() == hint


# What Chromium writes to the console when the server is at fault.
NO_WHOLE_RESPONSE = ["status of 500", "net::ERR_EMPTY_RESPONSE", "net::ERR_CONTENT_LENGTH_MISMATCH"]
SHORT_OF_SERVER = ("fault-429", "fault-drop", "fault-hmac")


@pytest.mark.parametrize(
    "slip",
    [
        pytest.param(each, id=each.name, marks=[] if each.name in SHORT_OF_SERVER else [pytest.mark.browser])
        for each in SERVER_SLIPS
    ],
)
def test_a_server_at_fault_does_what_its_button_declares_and_a_good_client_is_described(
    same_visit: Visit, slip: Slip
) -> None:
    same_visit.forgiven = NO_WHOLE_RESPONSE
    same_visit.go("break")
    panel = panel_of(same_visit, slip)

    outcome = guess(panel, slip.right)

    assert (same_visit.status, same_visit.error, same_visit.failed_check()) == (
        slip.status,
        slip.error,
        slip.check or None,
    )
    assert outcome.get_attribute("data-status") == str(slip.status)
    assert (outcome.get_attribute("data-error") or None) == slip.error
    expect(outcome.locator(".slip-verdict")).to_have_attribute("data-right", "true")
    assert remedy(slip).replace("`", "") in outcome.inner_text()
    expect(panel.get_by_role("button", name="Cancel")).to_be_hidden()
    if slip.status == 0:
        assert "the server still running" not in same_visit.page.locator("#status").inner_text()
    elif not slip.check:  # the app did issue a token, and the layer before it did the rest
        assert slip.acts_as in outcome.locator("dt:text-is('fault') + dd").inner_text()
        assert f"X-Keyturn-Fault: {slip.acts_as.removeprefix('fault-')}" in same_visit.page.inner_text("#wire-response")
        expect(outcome.locator("dt:text-is('what') + dd")).to_have_text("token_issued")
        expect(same_visit.page.locator("#checked-note")).to_contain_text("All checks passed")
    visit_every_step(same_visit)


def visit_every_step(visit: Visit) -> None:
    """What a bad token response leaves behind breaks no other step."""
    for step in ("token", "inspect", "call", "break"):
        visit.go(step)
    assert "undefined" not in visit.page.locator("#step-token").inner_text()


@pytest.mark.browser
def test_nobody_has_to_wait_for_a_slow_response(visit: Visit) -> None:
    visit.go("break")
    slip = next(each for each in SERVER_SLIPS if each.name == "fault-slow-5s")
    panel = panel_of(visit, slip)
    panel.locator(".guess").nth(slip.right).click()
    expect(panel.get_by_text("Waiting for the response")).to_be_visible()

    panel.get_by_role("button", name="Cancel").click()

    expect(panel.locator(".slip-outcome")).to_contain_text("You cancelled it.")
    expect(panel.locator(".slip-outcome")).to_contain_text(remedy(slip).replace("`", ""))
    expect(panel.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(visit.page.locator("#bench")).to_have_attribute("aria-busy", "false")
    expect(visit.page.locator(f"[data-slip={slip.name}]")).to_have_attribute("data-tried", "true")


def test_a_wrong_guess_shows_what_happens_and_the_slip_counts_as_tried(visit: Visit) -> None:
    slip = SLIPS[0]
    visit.go("break")
    panel = panel_of(visit, slip)

    outcome = guess(panel, (slip.right + 1) % 3)

    expect(outcome.locator(".slip-verdict")).to_have_text(
        f"You guessed: {slip.guesses[(slip.right + 1) % 3]}. What happens: {slip.guesses[slip.right]}."
    )
    expect(visit.page.locator("#slips-tried")).to_have_text(f"1 of {len(EVERY_SLIP)} tried.")


def test_which_slips_were_tried_survives_a_reload_and_ends_with_the_tab(visit: Visit) -> None:
    slip = SLIPS[0]
    visit.go("break")
    guess(panel_of(visit, slip), 0)

    visit.page.reload()

    button = visit.page.locator(f"[data-slip={slip.name}]")
    expect(button).to_have_attribute("data-tried", "true")
    expect(visit.page.locator("[data-tried=true]")).to_have_count(1)
    assert "slips" not in visit.page.evaluate("JSON.stringify({...localStorage})")


@pytest.mark.browser
def test_the_page_behind_an_error_opens(visit: Visit) -> None:
    visit.go("break")
    outcome = guess(panel_of(visit, SLIPS[0]), 0)

    outcome.get_by_role("link", name="All causes of").click()

    expect(visit.page.locator("h1")).to_have_text("invalid_request")
    assert visit.page.locator("main").inner_text().count(CODES["invalid_request"].causes[0][0]) == 1
    visit.open("break")


@pytest.mark.browser
def test_what_cannot_be_sent_is_listed_with_its_reason(visit: Visit) -> None:
    section = visit.go("break")
    section.locator("details.elsewhere summary").click()

    shown = section.locator("details.elsewhere").inner_text()

    for each in ELSEWHERE:
        assert each.title in shown
        assert each.why.replace("`", "") in shown
        assert each.prints in shown
    assert "{issuer}" not in shown


@pytest.mark.browser
def test_a_slip_is_opened_guessed_and_left_by_keyboard_alone(visit: Visit) -> None:
    visit.go("break")
    keys = visit.page.keyboard
    button = visit.page.locator(f"[data-slip={SLIPS[1].name}]")
    visit.page.locator(f"[data-slip={SLIPS[0].name}]").focus()

    keys.press("Tab")
    expect(button).to_be_focused()
    keys.press("Enter")
    expect(visit.page.locator(".slip-panel h4")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(visit.page.locator(".guess").nth(1)).to_be_focused()
    keys.press("Space")
    expect(visit.page.locator(".slip-verdict")).to_be_focused()
    keys.press("Escape")

    expect(button).to_be_focused()
    expect(button).to_have_attribute("data-tried", "true")
    expect(visit.page.locator(".slip-panel")).to_have_count(0)
