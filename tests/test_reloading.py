"""Reloading in development: new code is served at once, and code that does not start is never served."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.serving.reloading import is_news
from tests.conftest import wait_for
from tests.support.terminal import Project, Terminal

ROUTE = """

@app.get("/hello")
def hello() -> dict[str, int]:
    return {"version": %s}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "keyturn")


@pytest.fixture
def server(project: Project) -> Iterator[Terminal]:
    started = project.serve()
    yield started
    started.kill()


class Source:
    """A file of the project, and versions of it."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.file = project.folder / name
        self.text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""

    def add(self, more: str) -> None:
        self.file.write_text(self.text + more, encoding="utf-8")

    def is_served(self, version: int) -> bool:
        status, body = self.project.send("GET", "/hello")
        return status == 200 and b"%d" % version in body


def test_a_change_of_the_code_is_served_and_reported_in_one_line(server: Terminal, project: Project) -> None:
    wsgi = Source(project, "wsgi.py")
    wsgi.add(ROUTE % 1)
    server.wait_for("reloaded: wsgi.py")
    wait_for(lambda: wsgi.is_served(1))
    wsgi.add(ROUTE % 2)
    server.wait_for("reloaded: wsgi.py", count=2)
    wait_for(lambda: wsgi.is_served(2))

    routes = Source(project, "app/api/stock.py")
    routes.add("\nMAX_ITEMS = 0\n")
    server.wait_for("reloaded: app/api/stock.py")
    assert server.text().count(" reloaded: ") == 3
    assert "not reloaded" not in server.text()


def test_a_module_beside_the_app_and_keyturn_toml_are_watched_too(server: Terminal, project: Project) -> None:
    beside = Source(project, "greeting.py")
    beside.add("WORD = 1\n")
    server.wait_for("reloaded: greeting.py")
    wsgi = Source(project, "wsgi.py")
    wsgi.add("\nimport greeting" + ROUTE % "greeting.WORD")
    wait_for(lambda: wsgi.is_served(1))
    beside.add("WORD = 2\n")
    wait_for(lambda: wsgi.is_served(2))

    toml = Source(project, "keyturn.toml")
    toml.file.write_text(toml.text.replace('"reports:read"', '"reports:fetch"'))
    server.wait_for("reloaded: keyturn.toml")
    wait_for(lambda: b"reports:fetch" in project.send("GET", "/.well-known/oauth-authorization-server")[1])


BROKEN = {
    "syntax": ("wsgi.py", "\ndef hello(:\n", "SyntaxError: "),
    "import": ("wsgi.py", "\nimport nothing_of_this_name\n", "ModuleNotFoundError: "),
    "exception": ("app/api/stock.py", "\nraise KeyError('the cause')\n", "KeyError: 'the cause'"),
    "exit": ("wsgi.py", "\nraise SystemExit(3)\n", "It ended the process that loaded it."),
    "killed": ("wsgi.py", "\nimport os\nos.kill(os.getpid(), 9)\n", "It ended the process that loaded it."),
    "base-exception": ("config.py", "\nraise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "setting": ("keyturn.toml", "\nx = [\n", "KEYTURN_FILE must be a TOML file"),
    "gunicorn": ("gunicorn.conf.py", "\nworkers = 'many'\n", "not reloaded"),
}


def test_after_a_fault_the_last_code_that_works_is_served_until_it_is_fixed(server: Terminal, project: Project) -> None:
    wsgi = Source(project, "wsgi.py")
    wsgi.add(ROUTE % 0)
    wait_for(lambda: wsgi.is_served(0))

    for version, (name, more, message) in enumerate(BROKEN.values()):
        broken, printed = Source(project, name), len(server.text())
        broken.add(more)
        server.wait_for("not reloaded, the server continues with the last code that works: " + name, after=printed)
        server.wait_for(message, after=printed)
        assert all(wsgi.is_served(version) for _ in range(8)), name

        # A worker that must be replaced meanwhile gets the code that works.
        for worker in workers(server):
            worker.kill()
        wait_for(lambda: len(workers(server)) == 2)
        assert all(wsgi.is_served(version) for _ in range(8)), name

        broken.file.write_text(broken.text)
        wsgi.add(ROUTE % (version + 1))
        wait_for(lambda: wsgi.is_served(version + 1))  # noqa: B023
    assert server.interrupt() == 0


def workers(server: Terminal) -> list[psutil.Process]:
    return [each for each in psutil.Process(server.process.pid).children() if each.status() != psutil.STATUS_ZOMBIE]


def test_no_connection_is_refused_during_reloads_and_no_process_is_left(server: Terminal, project: Project) -> None:
    wsgi, failures, sent, is_over = Source(project, "wsgi.py"), [], [0], threading.Event()

    def request_all_the_time() -> None:
        while not is_over.is_set():
            try:
                status, _ = project.send("GET", "/.well-known/jwks.json")
            except OSError as error:
                failures.append(repr(error))
            else:
                failures.extend([status] if status != 200 else [])
            sent[0] += 1
            time.sleep(0.01)

    client = threading.Thread(target=request_all_the_time)
    client.start()
    try:
        for version in range(1, 5):
            wsgi.add(ROUTE % version)
            wait_for(lambda: wsgi.is_served(version))  # noqa: B023
    finally:
        is_over.set()
        client.join()

    assert failures == []
    assert sent[0] > 50
    # The old workers end, and gunicorn collects them, and every trial.
    wait_for(lambda: len(psutil.Process(server.process.pid).children(recursive=True)) == 2)
    left = psutil.Process(server.process.pid).children(recursive=True)
    assert server.interrupt() == 0
    assert not [each for each in left if each.is_running()]


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_during_a_trial_that_does_not_end_the_server_stops_at_once_and_the_trial_with_it(
    server: Terminal, project: Project, signal_name: str
) -> None:
    mark = project.folder / "in-trial"
    wsgi = Source(project, "wsgi.py")
    wsgi.add(f"\nimport os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    wait_for(lambda: mark.exists() and mark.read_text() != "")
    trial = psutil.Process(int(mark.read_text()))

    assert project.send("GET", "/openapi.json")[0] == 200
    if signal_name == "SIGINT":
        assert server.interrupt() == 0
    else:
        server.process.terminate()
        assert server.end() == 0
    wait_for(lambda: not trial.is_running())


def test_a_hangup_by_hand_with_code_that_does_not_work_keeps_the_code_that_does(
    server: Terminal, project: Project
) -> None:
    wsgi = Source(project, "wsgi.py")
    wsgi.add(ROUTE % 1)
    wait_for(lambda: wsgi.is_served(1))
    wsgi.add("\nraise RuntimeError\n")
    os.kill(server.process.pid, 1)
    server.wait_for("not reloaded")

    assert all(wsgi.is_served(1) for _ in range(8))


def test_a_change_of_gunicorns_worker_is_reported_to_need_a_restart(server: Terminal, project: Project) -> None:
    Source(project, "app/serving/cores.py").add("\n")

    server.wait_for("not reloaded: app/serving/cores.py is gunicorn's worker, which is loaded at the next start")


@pytest.mark.parametrize(
    ("signal_name", "is_stopping", "is_shown"),
    [("SIGTERM", False, False), ("SIGKILL", False, True), ("SIGKILL", True, False), ("SIGSEGV", True, True)],
)
def test_only_a_worker_that_ended_unasked_is_news(signal_name: str, is_stopping: bool, is_shown: bool) -> None:
    text, where = "Worker (pid:%s) was sent %s!", ("gunicorn.error", logging.ERROR, "arbiter.py", 1)
    record = logging.LogRecord(*where, text, (7, signal_name), None)

    assert is_news(record, is_stopping=is_stopping) is is_shown
