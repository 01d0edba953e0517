"""A run of the tests that is killed leaves no process and no folder behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, wait_for

A_TEST_WITH_SERVERS = "tests/test_live.py::test_R077_every_worker_signs_with_the_same_key_and_accepts_every_token"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_killed_run_has_started_ends_and_what_it_made_is_removed(postgresql: str, how: signal.Signals) -> None:
    assert postgresql  # without the wheel, the fixture skips the test
    temporary = Path(tempfile.mkdtemp(prefix="kt", dir="/tmp"))  # a short path: PostgreSQL has a socket in it
    temporary.chmod(0o755)
    command = [sys.executable, "-m", "pytest", "-n0", "-q", f"{A_TEST_WITH_SERVERS}[postgresql]"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = psutil.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(temporary)}, start_new_session=True, **quiet)
    try:
        wait_for(lambda: has_gunicorn(run) and bool(postmasters(temporary)), seconds=120)
        postgres = psutil.Process(postmasters(temporary)[0])
        started = [*run.children(recursive=True), postgres]

        run.send_signal(how)
        run.wait(timeout=60)

        wait_for(lambda: not any(is_alive(process) for process in started))
        wait_for(lambda: list(temporary.glob("keyturn-*")) == [])
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
        shutil.rmtree(temporary)


def has_gunicorn(run: psutil.Popen) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):  # one of them has just ended
        return any("gunicorn" in process.cmdline() for process in run.children(recursive=True))
    return False


def postmasters(folder: Path) -> list[int]:
    """The PostgreSQL servers whose data is below a folder."""
    return [int(file.read_text().split()[0]) for file in folder.glob("keyturn-*/pg*/data/postmaster.pid")]


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
