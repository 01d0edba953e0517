"""The Postman collection in Bruno and in Insomnia: every request arrives, with its auth, and Bruno runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.faults.table import FAULTS
from conformance.cases import CASES
from tests.conftest import LiveServer
from tests.support import collection, imported, newman
from tests.support.npm import Npm

WRITTEN = imported.of_postman(json.loads(collection.COLLECTION.read_text(encoding="utf-8")))

SENT_TOO = ("--env-var", "connection_faults=1")  # newman counts two failures, but every assertion passes


def test_every_request_arrives_in_insomnia_with_its_auth(npm: Npm) -> None:
    done = npm.node("insomnia.mjs", str(collection.COLLECTION))

    assert done.returncode == 0, done.stderr
    assert imported.of_insomnia(json.loads(done.stdout)) == WRITTEN
    assert len(WRITTEN) == len(CASES) + len(FAULTS)


def test_every_request_arrives_in_bruno_with_its_auth(npm: Npm, tmp_path: Path) -> None:
    done = npm.node("bruno.mjs", str(collection.COLLECTION), str(tmp_path / "bruno"))

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["issues"] == []
    assert imported.of_bruno(found["imported"]) == WRITTEN


def run_bruno(npm: Npm, tmp_path: Path, server: LiveServer, *folders: str) -> dict[str, int]:
    """Import the collection, run folders of it, and return the summary of Bruno's report."""
    place, report = tmp_path / "bruno", tmp_path / "bruno.json"
    assert npm.node("bruno.mjs", str(collection.COLLECTION), str(place)).returncode == 0
    command = ["run", *folders, "-r", "--env-var", f"base_url={server.url}", *SENT_TOO, "--reporter-json", str(report)]
    done = npm.run("bru", *command, cwd=place)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    return dict(json.loads(report.read_text(encoding="utf-8"))[0]["summary"])


@pytest.mark.tools
def test_bruno_runs_the_flow(live: Callable[..., LiveServer], npm: Npm, tmp_path: Path) -> None:
    summary = run_bruno(npm, tmp_path, live(), "Start here")

    assert summary["totalRequests"] == summary["passedRequests"] == 5
    assert summary["passedPostResponseTests"] > 30


@pytest.mark.tools
def test_bruno_runs_every_request_and_every_assertion(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    server = live()
    ours = newman.run(npm, collection.COLLECTION, tmp_path, "--env-var", f"base_url={server.url}", *SENT_TOO)

    summary = run_bruno(npm, tmp_path, server)

    assert summary["totalRequests"] == summary["passedRequests"] == len(WRITTEN)
    assert summary["passedPostResponseTests"] == ours.stats["assertions"]["total"]
