"""The folder of faults in the Postman collection: each request shows its fault, and fails where there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.serving import make_server

import app
from app.faults import bad_issuers, bad_responses, bad_tokens
from app.faults.bad_tokens import Jwt
from tests.conftest import LiveServer, build_app, close, free_port
from tests.support import collection, fault_folder, newman
from tests.support.newman import Report
from tests.support.npm import Npm

CONNECTIONS = ("--env-var", "connection_faults=1")


def run(npm: Npm, url: str, folder: Path, *options: str) -> Report:
    at = ("--env-var", f"base_url={url}", "--folder", fault_folder.FOLDER)
    return newman.run(npm, collection.COLLECTION, folder, *at, *options)


@contextmanager
def served(database_url: str) -> Iterator[str]:
    """A development server of this process, with what the test has removed from the app."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    served_app = build_app(database_url=database_url, issuer=url)
    server = make_server("127.0.0.1", port, served_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()
    close(served_app)


def without_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "DEVELOPMENT_ROOMS", {})


def with_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_responses, "sleep", lambda _: None)
    for name in bad_responses.CHANGES:
        monkeypatch.setitem(bad_responses.CHANGES, name, bad_responses.as_it_is)
    for name in bad_tokens.MAKERS:
        monkeypatch.setitem(bad_tokens.MAKERS, name, Jwt.signed)
    for name in bad_issuers.CHANGES:
        monkeypatch.setitem(bad_issuers.CHANGES, name, dict)


@pytest.mark.parametrize("remove", [without_faults, with_the_header_alone])
def test_every_request_fails_where_its_fault_is_not_shown(
    prepared: Callable[[str], str],
    npm: Npm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remove: Callable[..., None],
) -> None:
    remove(monkeypatch)

    with served(prepared("sqlite")) as url:
        report = run(npm, url, tmp_path, *CONNECTIONS)

    failed = {
        execution["item"]["name"]
        for execution in report.run["executions"]
        if any(each.get("error") for each in execution.get("assertions", []))
    }
    assert list(dict.fromkeys(report.names)) == fault_folder.NAMES
    assert [name for name in fault_folder.NAMES if name not in failed] == []


def test_a_broken_connection_is_sent_on_request_and_newman_counts_it(
    live: Callable[..., LiveServer], npm: Npm, tmp_path: Path
) -> None:
    report = run(npm, live().url, tmp_path, *CONNECTIONS)

    assert list(dict.fromkeys(report.names)) == fault_folder.NAMES
    assert [failure.rpartition(": ")[2] for failure in report.failed] == ["socket hang up", "aborted"]
    assert report.code == 1
