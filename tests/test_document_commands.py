"""Every command that a page shows is run, and prints what the page shows; one server serves all pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import ROOT, LiveServer, curl, missing
from tests.support.pages import PAGES, Page, pattern

PYTHON = {"PYTHON": sys.executable}
# Commands that are not run here: their page, their beginning, and the test that runs them or why none does.
ELSEWHERE = (
    ("README.md", "make ", "test_start.py"),  # `make run`; `make test` runs this
    ("CONTRIBUTING.md", "make ", "test_readme.py"),  # each is a target; CI runs them
    ("mocks/README.md", "", "test_mocks.py"),
    ("docs/errors.md", "", "test_pages.py"),
    ("docs/protect-your-api.md", "TOKEN=", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "curl ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "python3 ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", ".venv/bin/pip ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", ".venv/bin/uvicorn ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "npm ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "node ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "apt ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "nginx ", "test_protect_your_api.py"),
    ("docs/protect-your-api.md", "haproxy ", "test_protect_your_api.py"),
    ("docs/behind-a-proxy.md", "export ", "test_proxies.py"),
    ("docs/upgrading.md", "", "test_upgrade_at_noon.py"),  # the same steps, in temporary folders
    ("docs/deploy.md", "make ", "test_fleet.py"),
    ("docs/deploy.md", "", "test_deploy.py"),
    ("docs/apply.md", "", "test_moving_in.py"),
    ("docs/backup.md", "", "test_backup.py"),  # the same commands, in temporary folders
    ("docs/no-secrets.md", "", "test_no_secrets.py"),  # one client, whose ways are tried after each command
    ("docs/federation.md", "", "test_federation.py"),  # with each platform's issuer in keyturn.toml
    ("docs/keys.md", ".venv/bin/flask clients create publisher", "test_published_keys.py"),  # it is fetched
    ("docs/keys.md", ".venv/bin/flask clients keys publisher", "test_published_keys.py"),
    ("docs/moving-in.md", "", "test_moving_in.py"),
    ("docs/upstream.md", "", "faults of other programs, to reproduce by hand"),
)


def elsewhere(page: Page, command: str) -> tuple[str, str, str] | None:
    return next((each for each in ELSEWHERE if each[0] == page.name and command.startswith(each[1])), None)


def run_here(page: Page) -> list[tuple[str, str]]:
    return [(command, shown) for command, shown in page.commands() if not elsewhere(page, command)]


# The tutorial is a lesson in an order of its own: test_tutorial.py follows it.
RUN = [page for page in PAGES if run_here(page) and not page.name.startswith("docs/tutorial")]
# It runs the whole collection several times.
LONG = ("docs/postman.md",)


@pytest.fixture(scope="module")
def server(
    prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, live_servers: Callable[..., LiveServer]
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("pages"), KEYTURN_ENV="development")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=[pytest.mark.tools] if page.name in LONG else []) for page in RUN],
)
def test_every_command_runs_and_prints_what_is_shown(page: Page, server: LiveServer) -> None:
    curl()
    commands = run_here(page)
    if any(command.startswith("npx ") for command, _ in commands) and not shutil.which("npx"):
        missing("Node.js", install="it brings npx, which runs newman (apt install nodejs npm)")
    text = "\n".join(f"{command}\necho ----" for command, _ in commands)
    text = text.replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    text = re.sub(r"\.venv/bin/(flask\b|python\b)", lambda found: PROGRAMS[found[1]], text)
    text = re.sub(r"(npx --yes newman@\S+ run)", rf"\1 --env-var base_url={server.url}", text)

    before = set(ROOT.glob("*.pem"))
    run = subprocess.run(
        ["bash", "-c", text], cwd=ROOT, env=server.environment | PYTHON, capture_output=True, text=True, check=False
    )

    for file in set(ROOT.glob("*.pem")) - before:
        file.unlink()
    outputs = run.stdout.split("----\n")[:-1]
    for (command, shown), found in zip(commands, outputs, strict=True):
        found = found.replace(server.url, "http://127.0.0.1:8000").strip()
        assert pattern(shown).fullmatch(found), f"{command} printed {found}\n{run.stderr}"


# Instead of the scripts, which cannot start if their path has a space.
PROGRAMS = {"flask": '"$PYTHON" -m flask', "python": '"$PYTHON"'}


def test_every_command_that_is_not_run_here_has_its_test() -> None:
    used = {elsewhere(page, command) for page in PAGES for command, _ in page.commands()}

    assert [each for each in ELSEWHERE if each not in used] == []
    tests = [each[2] for each in ELSEWHERE if each[2].endswith(".py")]
    assert [name for name in tests if not (ROOT / "tests" / name).exists()] == []


def test_every_target_that_a_page_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:^\$ |`|PORT=\d+ )make ([a-z]+)", page.text, re.MULTILINE)
        if not page.name.startswith("docs/decisions")
    }

    assert len(named) > 5
    assert named - targets == set()
