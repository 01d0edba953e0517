"""The environment of a server, and what it refuses to guess: wide addresses, odd folders, databases that fail."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, SECRET_KEY, LiveServer, free_port, missing, responds, wait_for

MUST_BE_SAID = "KEYTURN_ENV must be set to production, or to development if that is meant"


def environment(url: str, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_") and name != "PORT"}
    clean |= {"KEYTURN_JOURNAL": "off"}  # a journal would tick the lesson of the developer
    return clean | {"KEYTURN_DATABASE_URL": url, "KEYTURN_SECRET_KEYS": SECRET_KEY, **more}


def flask(*command: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "flask", *command]
    return subprocess.run(run, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("host", "env"), [("0.0.0.0", None), ("[::]", "")])
def test_gunicorn_beyond_loopback_refuses_to_guess_that_this_is_development(
    prepared: Callable[[str], str], host: str, env: str | None
) -> None:
    if host == "[::]" and not Path("/proc/net/if_inet6").exists():
        missing("IPv6", install="this kernel has it switched off")
    known = environment(prepared("sqlite")) | ({} if env is None else {"KEYTURN_ENV": env})
    command = [sys.executable, "-m", "gunicorn", "--bind", f"{host}:{free_port()}", "wsgi:app"]

    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert f"{MUST_BE_SAID}, because this server listens at {host.strip('[]')}, beyond loopback." in done.stderr
    assert "Traceback" not in done.stderr
    assert "demo-" not in done.stdout


def test_a_server_needs_no_folder_for_temporary_files(prepared: Callable[[str], str]) -> None:
    if not os.access("/dev/shm", os.W_OK):
        missing("/dev/shm", install="only Linux has it")
    port = free_port()
    start = "import runpy, tempfile; tempfile.tempdir = '/nowhere'; runpy.run_module('gunicorn', run_name='__main__')"
    command = [sys.executable, "-c", start, "--bind", f"127.0.0.1:{port}", "wsgi:app"]

    with subprocess.Popen(command, cwd=ROOT, env=environment(prepared("sqlite"))) as process:
        wait_for(lambda: process.poll() is not None or responds(f"http://127.0.0.1:{port}"))
        is_running = process.poll() is None
        process.terminate()

    assert is_running


def test_a_socket_that_another_process_opened_is_seen_too(prepared: Callable[[str], str]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as opened:
        bind = f"fd://{opened.fileno()}"
        done = subprocess.run(
            [sys.executable, "-m", "gunicorn", "--bind", bind, "wsgi:app"],
            cwd=ROOT,
            env=environment(prepared("sqlite")),
            pass_fds=[opened.fileno()],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 3
    assert MUST_BE_SAID in done.stderr


def test_flask_run_beyond_loopback_refuses_to_guess_it_too(prepared: Callable[[str], str]) -> None:
    done = flask("run", "--host", "0.0.0.0", "--port", str(free_port()), **environment(prepared("sqlite")))

    assert done.returncode == 3
    assert MUST_BE_SAID in done.stderr


@pytest.mark.parametrize(
    "sign", [{"KEYTURN_ISSUER": "https://auth.example.com"}, {"KEYTURN_TRUSTED_PROXIES": "1"}], ids=["https", "proxy"]
)
def test_with_another_sign_of_production_neither_the_server_nor_prepare_guesses_it(
    live: Callable[..., LiveServer], tmp_path: Path, sign: dict[str, str]
) -> None:
    server = live(KEYTURN_ENV="", **sign)
    prepare = flask("prepare", **environment(f"sqlite:///{tmp_path}/k.db", **sign))

    assert server.process.wait(timeout=30) == 3
    assert MUST_BE_SAID in server.log.read_text(encoding="utf-8")
    assert prepare.returncode == 1
    assert MUST_BE_SAID in prepare.stderr
    assert not (tmp_path / "k.db").exists()


def test_development_that_is_set_is_accepted_and_the_log_says_what_that_means(
    live: Callable[..., LiveServer],
) -> None:
    server = live(KEYTURN_ENV="development", KEYTURN_TRUSTED_PROXIES="1")

    assert server.process.poll() is None
    assert "KEYTURN_ENV is development, and KEYTURN_TRUSTED_PROXIES is not 0" in server.log.read_text(encoding="utf-8")


def test_on_loopback_the_environment_need_not_be_set(prepared: Callable[[str], str], tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"unix:{tmp_path}/k.sock"]
        process = subprocess.Popen(
            [*command, "--bind", f"localhost:{port}", "wsgi:app"],
            cwd=ROOT,
            env=environment(prepared("sqlite")),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: process.poll() is not None or responds(f"http://localhost:{port}"))
        assert process.poll() is None, log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        process.wait(timeout=60)

    assert "KEYTURN_ENV" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_gunicorn_with_a_bad_port_names_it(prepared: Callable[[str], str], port: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    known = environment(prepared("sqlite"), PORT=port)

    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode != 0
    assert "PORT must be a whole number from 1 to 65535." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["p%q", "%(here)s a%2Fb"])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    shutil.copytree(ROOT / "app", home / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("config.py", "wsgi.py", "keyturn.toml"):
        shutil.copy(ROOT / file, home)
    known = environment("") | {"FLASK_APP": "wsgi"}

    prepared, current = (flask(*command, cwd=home, **known) for command in (["prepare"], ["db", "current"]))

    assert prepared.returncode == 0, prepared.stderr
    assert "(head)" in current.stdout, current.stderr
    assert (home / "instance" / "keyturn.db").is_file()
    assert (home / "instance" / "keyturn.db.lock").is_file()


def test_a_file_with_odd_characters_is_named_by_percent_encoding(tmp_path: Path) -> None:
    done = flask("prepare", **environment(f"sqlite:///{tmp_path}/a%3Fb%20c%25d%23e.db"))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a?b c%d#e.db").is_file()


def test_prepare_does_not_check_whether_prepare_was_run_and_other_commands_do(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    broken = environment(f"sqlite:///{tmp_path}/broken.db")
    empty = environment(f"sqlite:///{tmp_path}/empty.db")

    prepare, listing = flask("prepare", **broken), flask("clients", "list", **empty)

    assert (prepare.returncode, listing.returncode) == (3, 3)
    assert "file is not a database" in prepare.stderr
    assert "Was `flask prepare` run?" not in prepare.stderr
    assert "Was `flask prepare` run?" in listing.stderr
