"""The Postman collection: it passes in newman, alone and with each environment, whole and folder by folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.cases import CASES, FOLDERS, START
from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port
from tests.support import collection, fault_folder, newman, scripts
from tests.support.https_front import https
from tests.support.leaks import suite
from tests.support.npm import Npm

KINDS = ("sqlite", "postgresql")
DOCUMENT: dict[str, Any] = json.loads(collection.COLLECTION.read_text(encoding="utf-8"))
OWN = [sys.executable, "-m", "postman.own_clients"]


def at(server: LiveServer, path: str = "") -> tuple[str, str]:
    return "--env-var", f"base_url={server.url}{path}"


def test_the_collection_alone_passes_twice_in_a_row_against_two_workers(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    server = live()

    for _ in range(2):
        report = newman.run(npm, collection.COLLECTION, tmp_path, *at(server))

        report.assert_green()
        assert list(dict.fromkeys(report.names)) == [case.name for case in CASES] + fault_folder.SENT


@pytest.mark.tools
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder", [*FOLDERS, fault_folder.FOLDER])
def test_every_folder_runs_alone_on_both_databases(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path, kind: str, folder: str
) -> None:
    report = newman.run(npm, collection.COLLECTION, tmp_path, *at(live(kind)), "--folder", folder)

    report.assert_green()
    names = [case.name for case in CASES if case.folder == folder] or fault_folder.SENT
    assert list(dict.fromkeys(report.names)) == names


@pytest.mark.tools
@pytest.mark.parametrize("kind", KINDS)
def test_the_collection_passes_with_the_environment_of_make_run(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path, kind: str
) -> None:
    environment = ["--environment", str(collection.ENVIRONMENT)]

    newman.run(npm, collection.COLLECTION, tmp_path, *environment, *at(live(kind))).assert_green()


@pytest.mark.tools
def test_the_collection_passes_with_a_path_in_the_issuer(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/auth/eu"
    server = live(PORT=str(port), KEYTURN_ISSUER=issuer)

    newman.run(npm, collection.COLLECTION, tmp_path, *at(server, "/auth/eu")).assert_green()


def own_environment(server: LiveServer, file: Path, *options: str) -> None:
    done = subprocess.run([*OWN, str(file), *options], cwd=ROOT, env=server.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for value in json.loads(file.read_text(encoding="utf-8"))["values"] if file.exists() else ():
        if value["type"] == "secret":
            is_key = value["key"].endswith("_key")
            suite.remember(json.loads(value["value"])["d"] if is_key else value["value"])


@pytest.mark.tools
def test_the_collection_passes_in_production_with_clients_of_its_own(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    port, front = free_port(), free_port()
    issuer = f"https://localhost:{front}"
    production = {"KEYTURN_ENV": "production", "KEYTURN_TRUSTED_PROXIES": "1", "KEYTURN_ISSUER": issuer}
    # A database of its own: with demo clients production does not start.
    production |= {"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/production.db", "KEYTURN_SECRET_KEYS": SECRET_KEY}
    prepare = [sys.executable, "-m", "flask", "--app", "wsgi", "prepare"]
    subprocess.run(prepare, cwd=ROOT, env=os.environ | production, check=True, capture_output=True)
    server = live(PORT=str(port), **production)
    file = tmp_path / "own.json"
    own_environment(server, file)

    with https(front, port, tmp_path):
        report = newman.run(npm, collection.COLLECTION, tmp_path, "--environment", str(file), "--insecure")

    report.assert_green()
    assert list(dict.fromkeys(report.names)) == [case.name for case in CASES]


@pytest.mark.tools
def test_one_command_registers_what_the_collection_needs_and_removes_it(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    server, file = live(), tmp_path / "own.json"
    server.environment["KEYTURN_ISSUER"] = server.url
    file.touch(mode=0o644)
    own_environment(server, file)
    first = json.loads(file.read_text(encoding="utf-8"))["values"]
    own_environment(server, file)  # again: new secrets for the same clients
    second = json.loads(file.read_text(encoding="utf-8"))["values"]

    report = newman.run(npm, collection.COLLECTION, tmp_path, "--environment", str(file), "--folder", START)

    report.assert_green()
    assert file.stat().st_mode & 0o777 == 0o600
    hidden = [each for each in second if each["key"].endswith(collection.HIDDEN)]
    assert {each["type"] for each in hidden} == {"secret"}
    assert [b["key"] for a, b in zip(first, second, strict=True) if a != b] == [each["key"] for each in hidden]
    own_environment(server, file, "--remove")
    assert "postman-" not in server.flask("clients", "list")
    assert not file.exists()


def requests_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for folder in document["item"] for item in folder["item"]]


def test_the_collection_explains_itself() -> None:
    for folder in DOCUMENT["item"]:
        assert folder["description"].endswith(".")
    for item in requests_of(DOCUMENT):
        assert item["response"][0]["code"]
    *folders, faults = DOCUMENT["item"]
    for item in requests_of({"item": folders}):
        assert re.search(r"\.\n\nClauses: R\d{3}( R\d{3})*$", item["request"]["description"]), item["name"]
    for item in faults["item"]:
        assert re.match(r"What happens: .+\.\n\nA good .+: .+\.$", item["request"]["description"]), item["name"]
    assert [item["name"] for item in requests_of(DOCUMENT)] == [case.name for case in CASES] + fault_folder.NAMES
    kinds = [item["request"]["auth"]["type"] for item in requests_of(DOCUMENT)]
    assert set(kinds) == {"basic", "bearer", "noauth", "oauth2"}
    assert kinds.count("oauth2") == 1


def test_the_demo_secrets_and_the_key_are_plain_in_the_collection_and_secret_in_the_environment() -> None:
    environment = json.loads(collection.ENVIRONMENT.read_text(encoding="utf-8"))["values"]
    inside = {each["key"]: each["value"] for each in DOCUMENT["variable"]}

    assert {each["type"] for each in environment if each["key"].endswith(collection.HIDDEN)} == {"secret"}
    assert all(inside[each["key"]] == each["value"] for each in environment)
    assert not [each for each in DOCUMENT["variable"] if each.get("type") == "secret"]


def test_the_file_is_small_and_stores_no_long_text() -> None:
    text = collection.COLLECTION.read_text(encoding="utf-8")

    assert len(text) < 400_000
    assert not re.search(r"(.)\1{200}", text)


def test_every_script_of_the_folder_is_used() -> None:
    text = collection.COLLECTION.read_text(encoding="utf-8")

    for file in scripts.FOLDER.glob("*.js"):
        first = next(line for line in file.read_text(encoding="utf-8").splitlines() if line)
        assert json.dumps(first, ensure_ascii=False) in text, file
