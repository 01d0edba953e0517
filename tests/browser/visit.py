"""A visit to the playground: what a learner does there, and what must not happen meanwhile."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

# Chromium reports every refused request of a page as an error, and the playground exists for refusals.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d|503)")
STEPS = ("token", "inspect", "call", "break", "keys", "takehome")
TO_NOTE = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""


class Visit:
    """One context of the browser, with one page.

    Args:
        browser: The browser.
        url: The address of the server, and the one origin that the page may send requests to.
        width: The width of the screen.
        options: Of the browser's context, such as `color_scheme`.
    """

    def __init__(self, browser: Browser, url: str, *, width: int = 1440, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.context.add_init_script(TO_NOTE)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.faults: list[str] = []
        self.forgiven: list[str] = []  # what a test brings about on purpose
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._see)
        # As with the network cable out: only the server itself can be reached.
        self.context.route(lambda address: not address.startswith(url), lambda route: route.abort())

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not REFUSED.match(message.text):
            self.faults.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.faults.append(f"a request to {request.url}")

    def open(self, step: str = "", path: str = "/") -> None:
        """Load the page, at a step if one is named, and wait until it has started."""
        self.page.goto(self.url + path + (f"#step-{step}" if step else ""))
        expect(self.page.locator("html[data-ready=true]")).to_have_count(1)

    def go(self, step: str) -> Locator:
        """Choose a step in the navigation, and return its section."""
        self.page.locator(f"nav a[href='#step-{step}']").click()
        section = self.page.locator(f"#step-{step}")
        expect(section).to_be_visible()
        return section

    def fill(self, method: str, path: str, headers: list[tuple[str, str]], body: str) -> None:
        """Fill the form "What I send" as a learner does, control by control."""
        send = self.page.locator("#send")
        send.locator("[name=method]").select_option(method)
        send.locator("[name=path]").fill(path)
        while send.locator("#send-headers .remove").count():
            send.locator("#send-headers .remove").first.click()
        for place, (name, value) in enumerate(headers):
            send.get_by_role("button", name="Add a header").click()
            send.locator("[name=header-name]").nth(place).fill(name)
            send.locator("[name=header-value]").nth(place).fill(value)
        text = send.locator("[name=body]")
        if text.is_hidden():
            send.get_by_role("button", name="Edit as text").click()
        text.fill(body)

    def press_send(self) -> None:
        """Press Send, and wait for the response to this request."""
        self.page.locator("#wire-response > *").first.evaluate("old => old.dataset.old = 'true'")
        self.page.locator("#send-button").click()
        expect(self.page.locator("#wire-response > [data-old]")).to_have_count(0)
        expect(self.page.locator("#bench")).to_have_attribute("aria-busy", "false")

    @property
    def status(self) -> int:
        return int(self.page.locator("#travels").get_attribute("data-status") or -1)

    @property
    def error(self) -> str | None:
        return self.page.locator("#travels").get_attribute("data-error") or None

    def checks(self) -> list[tuple[str, bool]]:
        """The checks that the third column shows, in order."""
        shown = self.page.locator("#checked li").evaluate_all(
            "all => all.map((each) => [each.dataset.check, each.dataset.passed === 'true'])"
        )
        return [(name, passed) for name, passed in shown]

    def failed_check(self) -> str | None:
        """The check that failed, which must be the last; None if all passed."""
        shown = self.checks()
        failed = [name for name, passed in shown if not passed]
        assert failed in ([], [name for name, _ in shown[-1:]]), shown
        return failed[0] if failed else None

    def text(self) -> str:
        """All text of the page, with the values of its controls and its memory."""
        return self.page.content() + json.dumps(
            self.page.evaluate(
                "[[...document.querySelectorAll('input, textarea')].map((each) => each.value),"
                " {...sessionStorage}, {...localStorage}]"
            )
        )

    def fits(self) -> bool:
        """Whether the page needs no horizontal scrolling."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))

    def check(self) -> None:
        """Check what must not have happened so far."""
        unexpected = [each for each in self.faults if not any(text in each for text in self.forgiven)]
        assert not unexpected, unexpected
        violations = self.page.evaluate("window.violations")
        assert not violations, violations

    def end(self) -> None:
        """Check, and close the context; a second time does nothing."""
        if not self.page.is_closed():
            try:
                self.check()
            finally:
                self.context.close()
