"""Takes the pictures of the playground that the documents show: `python -m tests.support.screenshots`.

It starts a server in a copy of the project, and writes docs/pictures/. If pngquant is installed, a picture is
stored with a palette, at a third of its size.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.conftest import ROOT, responds, wait_for
from tests.support.terminal import Project

PICTURES = ROOT / "docs" / "pictures"
URL = "http://127.0.0.1:8000"  # what the pictures show, whatever runs there: Chromium finds our server behind it
WIDTH, HEIGHT = 1440, 1120
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@contextmanager
def server() -> Iterator[int]:
    """A copy of the project, with a database and a journal of its own, as `make run` starts it; yields its port."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), KEYTURN_ISSUER=URL)
        project.run("prepare")
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "wsgi:app"],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: process.poll() is not None or responds(f"{project.url}/"))
            yield project.port
        finally:
            process.terminate()
            process.wait()


def request(page: Page) -> None:
    for button in ("Read the metadata", "Read the public keys"):
        page.get_by_role("button", name=button).click()
        page.locator("#status").get_by_text("200 OK.").wait_for()
    page.get_by_role("button", name="Request the token").click()
    page.get_by_text("All checks passed.").wait_for()


def change(page: Page) -> None:
    request(page)
    page.locator("nav").get_by_text("Take apart").click()
    page.get_by_role("button", name="Change a character of the claims").click()
    page.get_by_text("The signature is not valid.").wait_for()


def refuse(page: Page) -> None:
    change(page)
    page.get_by_role("button", name="Send this token").click()
    page.locator("#refusal-operator dl").wait_for()
    page.locator("#bench").evaluate("each => scrollTo(0, each.offsetTop)")


def check_in_both_ways(page: Page) -> None:
    page.locator("nav").get_by_text("Call").click()
    page.get_by_role("button", name="Request a JWT as").click()
    page.get_by_text("Now check it.").wait_for()
    page.get_by_role("button", name="both ways").click()
    page.get_by_text("Both ways accept the token.").wait_for()
    page.get_by_role("button", name="Revoke it").click()
    page.get_by_text("The token is revoked.").wait_for()
    page.get_by_role("button", name="both ways").click()
    page.get_by_text("The signature is still valid.").wait_for()


def rotate(page: Page) -> None:
    request(page)
    page.locator("nav").get_by_text("Keys").click()
    page.get_by_role("button", name="Rotate at once").click()
    page.get_by_text("The standby key signs.").wait_for()


SCENES: tuple[tuple[str, Callable[[Page], None], str], ...] = (
    ("playground-light", request, "light"),
    ("playground-dark", request, "dark"),
    ("take-apart", change, "light"),
    ("refused", refuse, "light"),
    ("two-ways", check_in_both_ways, "light"),
    ("keys", rotate, "dark"),
)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with server() as port, sync_playwright() as playwright:
        here = f"--host-resolver-rules=MAP 127.0.0.1:8000 127.0.0.1:{port}"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, here])
        for name, act, scheme in SCENES:
            context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(URL)
            page.locator("html[data-ready]").wait_for()
            act(page)
            file = PICTURES / f"{name}.png"
            page.screenshot(path=file, animations="disabled")
            context.close()
            shrink(file)
        browser.close()


def shrink(file: Path) -> None:
    if pngquant := shutil.which("pngquant"):
        subprocess.run([pngquant, "--force", "--strip", "--speed", "1", "64", "--output", file, file], check=True)


if __name__ == "__main__":
    main()
