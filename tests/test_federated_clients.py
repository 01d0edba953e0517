"""Jobs and pods get tokens from a real server, by what docs/federation.md shows and by examples/client.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import LiveServer, Operator, build_app, close, curl, free_port, missing
from tests.support import fake_issuer
from tests.support.fake_issuer import FakeIssuer
from tests.support.federated import toml
from tests.support.leaks import suite
from tests.support.pages import page
from tests.test_client_example import client

PAGE = page("federation")
TABLE = """
[issuers.platform]
issuer = "{url}"
audience = "{audience}"
identity_claims = ["repository_id", "project_id", "/kubernetes.io/serviceaccount/uid"]
"""
TRUSTS = {
    "deployer": "repository_id=74",
    "publisher": "project_id=20",
    "exporter": "/kubernetes.io/serviceaccount/uid=14ee3fa4-a7e2-420f-9f9a-dbc4507c3798",
}


@pytest.fixture(scope="module")
def platform() -> Iterator[FakeIssuer]:
    with fake_issuer.served("") as found:
        yield found


@pytest.fixture(scope="module")
def server(
    live_servers: Callable[..., LiveServer],
    prepared: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    platform: FakeIssuer,
) -> LiveServer:
    """A server that trusts the platform; its own address is the audience."""
    folder, port, database = tmp_path_factory.mktemp("federated"), free_port(), prepared("sqlite")
    platform.audience = f"http://127.0.0.1:{port}"
    file = toml(folder, TABLE.format(url=platform.url, audience=platform.audience))
    app = build_app(database_url=database, file=file)
    for name, claim in TRUSTS.items():
        given = ("--scope", "reports:read", "--issuer", "platform", "--claim", claim)
        Operator(app).run("clients", "create", name, *given)
    close(app)
    return live_servers(database, folder, PORT=str(port), KEYTURN_FILE=file, WEB_CONCURRENCY="1")


def script(heading: str, key: str, server: LiveServer) -> str:
    """The commands of a job on the page, for this server."""
    (block,) = [each for each in PAGE.blocks("yaml") if each in PAGE.section(heading)]
    text = re.split(rf"^ *{key}\n", block, flags=re.MULTILINE)[1]
    return textwrap.dedent(text).replace("https://auth.example.com", server.url)


def run(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the commands of a job as the runners do: GitHub's for `shell: bash`, and GitLab's."""
    curl()
    if not shutil.which("jq"):
        missing("jq", install="a runner of GitHub has it (apt install jq)")
    environment |= {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", text], env=environment, capture_output=True, text=True, check=False
    )


def reports(server: LiveServer, token: str) -> int:
    suite.remember(token)
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{server.url}/internal/reports", headers=headers, timeout=10).status_code


def test_the_job_of_github_on_the_page_gets_a_token(server: LiveServer, platform: FakeIssuer) -> None:
    address = f"{platform.address}/request?api-version=2.0"

    done = run(
        script("GitHub Actions", "run: \\|", server),
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-the-job",
        ACTIONS_ID_TOKEN_REQUEST_URL=address,
    )

    assert done.returncode == 0, done.stderr
    assert reports(server, done.stdout.strip().removeprefix("::add-mask::")) == 200


def test_the_job_of_gitlab_on_the_page_gets_a_token(server: LiveServer, platform: FakeIssuer) -> None:
    folded = script("GitLab CI", "- >", server).replace("\n", " ")

    done = run(f'{folded}; printf "$TOKEN" >&2', ASSERTION=platform.sign(fake_issuer.gitlab()))

    assert (done.returncode, done.stdout) == (0, "")
    assert reports(server, done.stderr.splitlines()[-1]) == 200


@pytest.mark.parametrize(("heading", "key"), [("GitHub Actions", "run: \\|"), ("GitLab CI", "- >")])
def test_a_job_on_the_page_that_is_refused_ends_and_prints_what_explain_takes(
    server: LiveServer, platform: FakeIssuer, heading: str, key: str
) -> None:
    """Without this the job would go on with an empty token, and nobody would find the refusal."""
    text = script(heading, key, server)
    if heading == "GitHub Actions":
        assert "- shell: bash" in PAGE.section(heading)  # otherwise the runner sets no pipefail
    else:
        text = text.replace("\n", " ")

    done = run(
        f"{text}\necho went on",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-the-job",
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{platform.address}/request?repository_id=75",
        ASSERTION=platform.sign(fake_issuer.gitlab(project_id="21")),
    )

    assert done.returncode != 0
    assert "went on" not in done.stdout
    assert re.search("^x-request-id: [0-9a-f]{16}", done.stderr, re.IGNORECASE | re.MULTILINE)


def test_the_service_client_sends_a_pods_token_with_and_without_its_id(
    server: LiveServer, platform: FakeIssuer, tmp_path: Path
) -> None:
    """The same file serves for a second token, as a platform's token is not for one request."""
    file = tmp_path / "token"
    file.write_text(platform.sign(fake_issuer.kubernetes()) + "\n")
    app = build_app(database_url=server.environment["KEYTURN_DATABASE_URL"])
    exporter = Operator(app).run("clients", "show", "exporter")["client_id"]
    close(app)

    found = []
    for client_id in (exporter, "", exporter):
        folder = tmp_path / f"tokens-{len(found)}"
        tokens = client.TokenSource(f"{server.url}/oauth/token", client_id, folder, platform_token=file, wait=4)
        found.append(tokens.token())

    assert len(set(found)) == 3
    assert [reports(server, each) for each in found] == [200, 200, 200]
