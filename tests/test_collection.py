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
from tests.support import collection, newman, scripts
from tests.support.leaks import suite
from tests.support.npm import Npm

KINDS = ("sqlite", "postgresql")
DOCUMENT: dict[str, Any] = json.loads(collection.COLLECTION.read_text(encoding="utf-8"))
PRODUCTION = {"KEYTURN_ENV": "production", "KEYTURN_TRUSTED_PROXIES": "0"}


def at(server: LiveServer, path: str = "") -> tuple[str, str]:
    return "--env-var", f"base_url={server.url}{path}"


def test_the_collection_alone_passes_twice_in_a_row_against_two_workers(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    server = live()

    for _ in range(2):
        report = newman.run(npm, collection.COLLECTION, tmp_path, *at(server))

        report.assert_green()
        assert list(dict.fromkeys(report.names)) == [case.name for case in CASES]


@pytest.mark.tools
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_runs_alone_on_both_databases(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path, kind: str, folder: str
) -> None:
    report = newman.run(npm, collection.COLLECTION, tmp_path, *at(live(kind)), "--folder", folder)

    report.assert_green()
    assert list(dict.fromkeys(report.names)) == [case.name for case in CASES if case.folder == folder]


@pytest.mark.tools
@pytest.mark.parametrize("kind", KINDS)
def test_the_collection_passes_with_the_environment_of_make_run(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path, kind: str
) -> None:
    environment = ["--environment", str(collection.ENVIRONMENT)]

    newman.run(npm, collection.COLLECTION, tmp_path, *environment, *at(live(kind))).assert_green()


@pytest.mark.tools
def test_the_collection_passes_with_a_path_in_the_issuer_and_another_signature(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/auth/eu"
    server = live(PORT=str(port), KEYTURN_ISSUER=issuer, KEYTURN_ACCESS_TOKEN_SECONDS="3600")

    newman.run(npm, collection.COLLECTION, tmp_path, *at(server, "/auth/eu")).assert_green()
