"""The job of docs/testing.md for GitHub Actions: its steps, run in order as the runner does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import yaml

import config
from tests.conftest import ROOT, SECRET_KEY, curl, free_port, missing, wait_for
from tests.support.leaks import suite
from tests.support.pages import page

(JOB,) = yaml.safe_load(page("testing").blocks("yaml")[0])["jobs"].values()
# In this environment `make run` would install the packages; test_start.py runs it in one of its own.
MAKE_RUN = '{ "$PYTHON" -m flask prepare && exec "$PYTHON" -m gunicorn wsgi:app; }'
# What an assertion in somebody's collection may show when it fails.
SHOWS_EVERYTHING = (
    'pm.test("x", () => pm.expect.fail([pm.response.text(), pm.request.headers, pm.request.body].join()))'
)


def step(name: str) -> dict[str, Any]:
    (found,) = [each for each in JOB["steps"] if each.get("name") == name]
    return dict(found)


class Runner:
    """A copy of the project in the runner's folder, and the port that replaces the page's."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.port = folder / JOB["defaults"]["run"]["working-directory"], free_port()
        shutil.copytree(ROOT / "postman", self.folder / "postman")
        for name in ("app", "wsgi.py", "config.py", "keyturn.toml", "gunicorn.conf.py"):
            (self.folder / name).symlink_to(ROOT / name)
        self.environment = {name: each for name, each in os.environ.items() if not name.startswith("KEYTURN_")}
        self.environment |= {"PYTHON": sys.executable, "PORT": str(self.port)}
        self.environment |= {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY}

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        script = step(name)["run"].replace("make run", MAKE_RUN).replace("8000", str(self.port))
        script = script.replace("newman@6.2.2 run", f"newman@6.2.2 run --env-var base_url=http://127.0.0.1:{self.port}")
        return subprocess.run(
            ["bash", "-e", "-c", f"{script}\necho $! >pid"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    @property
    def report(self) -> str:
        return (self.folder / "report.xml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runner(prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    curl()
    if shutil.which("npx") is None:
        missing("Node.js", install="it brings npx, which runs newman (apt install nodejs npm)")
    made = Runner(tmp_path_factory.mktemp("runner"), prepared("sqlite"))
    started = made.run("Start Keyturn")
    pid = int((made.folder / "pid").read_text())
    try:
        assert started.returncode == 0, started.stderr
        yield made
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        suite.record((made.folder / "keyturn.log").read_text(encoding="utf-8"))


@pytest.mark.tools
def test_the_job_waits_runs_the_collection_and_its_report_has_every_assertion(runner: Runner) -> None:
    waited = runner.run("Wait until it responds")
    assert waited.returncode == 0, (runner.folder / "keyturn.log").read_text(encoding="utf-8")

    ran = runner.run("Run the collection")
    cleaned = runner.run("Remove tokens and secrets from the report")

    assert ran.returncode == 0, ran.stdout[-4_000:]
    assert cleaned.returncode == 0, cleaned.stderr
    suites = ElementTree.fromstring(runner.report)
    assert len(suites.findall(".//testcase")) > 50
    assert suites.findall(".//failure") == []


def test_attack_a_report_of_failures_that_show_tokens_and_secrets_has_none_when_it_is_stored(runner: Runner) -> None:
    assert runner.run("Wait until it responds").returncode == 0
    client, form = config.DEMO_CLIENTS[0], "application/x-www-form-urlencoded"
    file = runner.folder / "postman" / "OAuth2_Client_Credentials_Flow.postman_collection.json"
    whole = file.read_text(encoding="utf-8")
    basic = [{"key": "username", "value": client.client_id}, {"key": "password", "value": client.secret}]
    body = f"grant_type=client_credentials&client_id={client.client_id}&client_secret={client.secret}"
    requests: list[dict[str, Any]] = [
        {"auth": {"type": "basic", "basic": basic}, "body": {"mode": "raw", "raw": "grant_type=client_credentials"}},
        {"body": {"mode": "raw", "raw": body}},
    ]
    event = {"listen": "test", "script": {"exec": [SHOWS_EVERYTHING]}}
    url, header = "{{base_url}}/oauth/token", [{"key": "Content-Type", "value": form}]
    post: dict[str, Any] = {"method": "POST", "url": url, "header": header}
    items = [
        {"name": f"request {number}", "event": [event], "request": post | each} for number, each in enumerate(requests)
    ]
    file.write_text(json.dumps({"info": json.loads(whole)["info"], "item": items}), encoding="utf-8")

    try:
        assert runner.run("Run the collection").returncode == 1
        shown = runner.report
        runner.run("Remove tokens and secrets from the report")
    finally:
        file.write_text(whole, encoding="utf-8")

    secrets = [client.secret, *re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", shown), *re.findall(r"Basic \w+", shown)]
    assert len(secrets) >= 3
    assert [each for each in secrets if each in runner.report] == []
    assert len(ElementTree.fromstring(runner.report).findall(".//failure")) == 2


def test_the_report_is_cleaned_and_stored_after_a_failure_too_and_in_this_order() -> None:
    names = [each.get("name", each.get("uses")) for each in JOB["steps"]]
    clean, store = names.index("Remove tokens and secrets from the report"), names.index("actions/upload-artifact@v4")

    assert clean < store
    assert all(JOB["steps"][each]["if"] == "always()" for each in (clean, store))
