"""`postman/flow.sh`: the flow with curl alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import ROOT, LiveServer, curl, free_port
from tests.support.leaks import WORD


@pytest.fixture(autouse=True)
def needs_curl() -> None:
    curl()


def run(base_url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "BASE_URL": base_url} | variables
    command = ["sh", "postman/flow.sh"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_shows_the_flow_and_the_three_refusals(live: Callable[..., LiveServer]) -> None:
    server = live()

    done = run(server.url)

    assert (done.returncode, done.stderr) == (0, "")
    statuses = [line.strip() for line in done.stdout.splitlines() if line.strip().isdigit()]
    assert statuses == ["200", "200", "401", "403", "200", "401"]
    assert f'"iss":"{server.url}"' in done.stdout.replace(" ", "")
    assert 'error="insufficient_scope"' in done.stdout
    assert 'error="invalid_token"' in done.stdout
    assert not [word for word in WORD.findall(done.stdout) if word.startswith("eyJ") and len(word) > 20]


def test_it_ends_at_the_first_response_that_is_not_expected(live: Callable[..., LiveServer]) -> None:
    done = run(live().url, CLIENT_SECRET="kts_wrong")

    assert done.returncode == 1
    assert "invalid_client" in done.stdout
    assert "2." not in done.stdout
    assert done.stderr == "The status should have been 200.\n"


def test_without_a_server_it_says_how_to_start_one() -> None:
    done = run(f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Is the server running? `make run` starts it.")
