"""`make run` on a newcomer's machine: what is missing, what was moved, what another project left behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import config
from tests.conftest import ROOT, SECRET_KEY, curl, free_port, missing, responds, wait_for
from tests.test_house import published

# As exported for another project.
ANOTHER_PROJECT = {"FLASK_APP": "microblog.py", "FLASK_DEBUG": "1", "FLASK_RUN_PORT": "x", "WEB_CONCURRENCY": ""}


def copied(folder: Path) -> Path:
    """A copy of what a clone or an archive has, without .git and without an environment."""
    for name in published():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in a folder with spaces, with the environment of this run of the tests."""
    folder = copied(tmp_path / "mein schönes Haus, 2")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = outside() | environment
    return subprocess.run(
        ["make", *arguments], cwd=project, env=known, capture_output=True, text=True, timeout=60, check=False
    )


def outside() -> dict[str, str]:
    """The environment of a terminal, without what `make` sets for the commands that it runs."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("KEYTURN_", "MAKE", "MFLAGS"))}


@contextmanager
def made_run(project: Path, log: Path, **environment: str) -> Iterator[str]:
    """`make run` until it responds, and then Ctrl-C.

    Yields:
        What it printed.
    """
    known = outside() | {"PORT": str(free_port()), "KEYTURN_SECRET_KEYS": SECRET_KEY, **environment}
    with log.open("wb") as output:
        # The environment is up to date: nothing is installed.
        command = ["make", "--old-file=.venv/ready", "run"]
        process = subprocess.Popen(
            command, cwd=project, env=known, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for(lambda: process.poll() is not None or responds(f"http://127.0.0.1:{known['PORT']}"), seconds=120)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield log.read_text(encoding="utf-8")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        assert "Traceback" not in log.read_text(encoding="utf-8")
        assert not responds(f"http://127.0.0.1:{known['PORT']}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def typed(*lines: str) -> str:
    return subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout


def test_make_run_starts_prints_commands_that_work_and_ends_on_ctrl_c(project: Path, tmp_path: Path) -> None:
    curl()
    newest = []
    for start in ("first", "second"):
        with made_run(project, tmp_path / f"{start}.log") as printed:
            commands = [line.strip() for line in printed.splitlines() if re.match(r"  (curl|TOKEN=)", line)]
            events = json.loads(typed(commands[1], commands[2]))["events"]

            assert json.loads(typed(commands[0]))["token_type"] == "Bearer"
            assert len(events) == 3  # few enough to read in one line
            refused = typed(commands[3])
            assert " 401 " in refused.splitlines()[0]
            assert "WWW-Authenticate: Bearer" in refused
            assert all(demo.client_id in printed for demo in config.DEMO_CLIENTS)
            newest.append(events[0]["id"])

    assert newest[1] > newest[0]
    assert "first signing key" not in printed


def test_what_another_project_exported_does_no_harm(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.py", "app.py", "microblog.py", "logging.py"):
        (other / name).write_text("raise RuntimeError('a module of another project')")

    with made_run(project, tmp_path / "log", PYTHONPATH=str(other), **ANOTHER_PROJECT) as printed:
        assert "demo-admin" in printed


def test_a_port_in_use_is_one_sentence(project: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        url = f"sqlite:///{tmp_path}/keyturn.db"

        refused = make(project, "--old-file=.venv/ready", "run", PORT=str(port), KEYTURN_DATABASE_URL=url)

    output = refused.stderr.splitlines()
    assert refused.returncode == 2
    assert f"Port {port} is in use. Stop the program that uses it, or choose another port: PORT=8123 make run" in output
    assert "gunicorn" not in refused.stdout + refused.stderr


def unfit(folder: Path, **modules: str) -> str:
    """A Python that lacks something: `PYTHON` of make, with modules before those of the standard library."""
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return f"PYTHON=env PYTHONPATH={folder} {sys.executable}"


@pytest.mark.parametrize("target", ["run", "test", "lint"])
def test_an_old_python_is_named_with_the_command_to_type(tmp_path: Path, target: str) -> None:
    project = copied(tmp_path / "project")
    old = unfit(tmp_path / "old", sitecustomize="import sys; sys.version_info = (3, 10, 13)")

    refused = make(project, target, old)

    sentence = (
        rf"^Keyturn needs Python 3.11 or newer, and this one is 3.10: (make {target} PYTHON=python3\.1\d|install one)$"
    )
    assert re.search(sentence, refused.stderr, re.MULTILINE), refused.stderr
    assert not (project / ".venv").exists()


def test_a_python_that_cannot_make_environments_is_named_before_it_fails(tmp_path: Path) -> None:
    project = copied(tmp_path / "project")

    refused = make(project, "run", unfit(tmp_path / "debian", ensurepip="raise ModuleNotFoundError"))

    assert "sudo apt install python3-venv" in refused.stderr
    assert "Setting up" not in refused.stdout
    assert not (project / ".venv").exists()


def test_no_python_at_all_is_one_sentence(tmp_path: Path) -> None:
    refused = make(copied(tmp_path / "project"), "run", "PYTHON=python9")

    assert "python9 was not found: install Python 3.11 or newer." in refused.stderr


@pytest.mark.parametrize(
    ("made_for", "is_made_again"),
    [
        ("{folder}/.venv, Python {version}", False),
        ("/elsewhere/keyturn/.venv, Python {version}", True),
        ("{folder}/.venv, Python 3.9", True),
        ("", False),  # of a release before this one: it is completed
    ],
    ids=["as-it-was", "moved", "another-python", "unknown"],
)
def test_an_environment_of_another_folder_or_python_is_made_again(
    tmp_path: Path, made_for: str, is_made_again: bool
) -> None:
    project = copied(tmp_path / "project, moved")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    version = ".".join(map(str, sys.version_info[:2]))
    (project / ".venv" / "ready").write_text(made_for.format(folder=project, version=version))

    planned = make(project, "-n", "run").stdout

    assert ("-m venv --clear .venv" in planned) == is_made_again


def test_a_lock_is_installed_as_it_is_when_a_newer_release_of_a_package_is_out(tmp_path: Path) -> None:
    """Without --no-deps, pip looks for a package with an extra once more, and finds the newest one."""
    index = tmp_path / "index"
    index.mkdir()
    locked = [wheel(index, "uses", "1", "Requires-Dist: used[extra]>=1"), wheel(index, "used", "1")]
    wheel(index, "used", "2")
    project = copied(tmp_path / "new")
    (project / "requirements.lock").write_text("".join(locked))
    only_these = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}

    done = make(project, ".venv/ready", f"PYTHON={sys.executable}", **only_these)

    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in project.glob(".venv/lib/*/site-packages/use*.dist-info")) == [
        "used-1.dist-info",
        "uses-1.dist-info",
    ]


def wheel(index: Path, name: str, version: str, *metadata: str) -> str:
    """Write a package without code into an index; its line in a lock."""
    info = f"{name}-{version}.dist-info"
    head = (f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", "Provides-Extra: extra", *metadata)
    files = {
        "METADATA": "\n".join(head),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any",
        "RECORD": "".join(f"{info}/{each},,\n" for each in ("METADATA", "WHEEL", "RECORD")),
    }
    file = index / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as packed:
        for member, content in files.items():
            packed.writestr(f"{info}/{member}", content)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.mark.drill
def test_a_new_clone_installs_only_what_a_server_needs_and_survives_a_move(tmp_path: Path) -> None:
    project = copied(tmp_path / "new")
    for folder in (project, tmp_path / "renamed, ä"):
        if folder != project:
            project.rename(folder)
        installed = make_ready(folder)

        assert 20 < len(installed) <= 32
        assert not {"pytest", "mypy", "ruff", "uv"} & set(installed)
        flask = subprocess.run([folder / ".venv/bin/flask", "--version"], cwd=folder, capture_output=True, check=False)
        assert flask.returncode == 0


def make_ready(folder: Path) -> list[str]:
    """Install as `make run` does; return the names of the packages."""
    command = ["make", ".venv/ready", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=folder, env=outside(), capture_output=True, text=True, check=False)
    if "Is there a network?" in done.stderr:
        missing("the network", install="pip reaches no index")
    assert done.returncode == 0, done.stderr
    listed = [folder / ".venv/bin/python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    return [each["name"] for each in json.loads(names)]
