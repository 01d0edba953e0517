"""Fixtures of the tests in a real browser: a server, the machine's Chromium, and a visit to the playground.

A visit notes whatever must not happen: an error in the console, a request to another origin, a violation of the
Content-Security-Policy. It is checked when the visit ends, so every test of the page checks it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visit import Visit
from tests.conftest import LiveServer, free_port, missing

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WIDE, NARROW = 1440, 360
# Each worker reads its keys every five seconds, and the page reads the JWKS once more after that.
expect.set_options(timeout=15_000)


# For the whole package and not the session: Playwright's event loop would be in the way of other tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The machine's Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        missing("Chromium", install="apt install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def server(
    prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, live_servers: Callable[..., LiveServer]
) -> Iterator[LiveServer]:
    """A server of two workers, without the limits that a hundred refusals in a row would meet."""
    started = start_server(prepared, tmp_path_factory, live_servers)
    yield started
    started.stop()


def start_server(
    prepared: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    live_servers: Callable[..., LiveServer],
    **settings: str,
) -> LiveServer:
    limits = {"KEYTURN_LIMIT_FAILURES": "", "KEYTURN_LIMIT_ADDRESS": ""}
    port = settings.setdefault("PORT", str(free_port()))
    issuer = settings.pop("KEYTURN_ISSUER", f"http://127.0.0.1:{port}")
    folder = tmp_path_factory.mktemp("browser")
    return live_servers(prepared("sqlite"), folder, KEYTURN_ISSUER=issuer, **limits, **settings)


@pytest.fixture
def visits(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens visits to a server's page, and checks each when the test ends."""
    opened: list[Visit] = []

    def open_visit(url: str, **options: Any) -> Visit:
        opened.append(Visit(browser, url, **options))
        return opened[-1]

    yield open_visit
    for visit in opened:
        visit.end()


@pytest.fixture
def visit(visits: Callable[..., Visit], server: LiveServer) -> Visit:
    """A visit to the playground, on a wide screen."""
    found = visits(server.url)
    found.open()
    return found


@pytest.fixture(scope="module")
def long_visit(browser: Browser, server: LiveServer) -> Iterator[Visit]:
    found = Visit(browser, server.url)
    found.open()
    yield found
    found.end()


@pytest.fixture
def same_visit(long_visit: Visit) -> Iterator[Visit]:
    """One visit for many tests of a module, as a learner tries one thing after the other; checked after each."""
    yield long_visit
    long_visit.check()
