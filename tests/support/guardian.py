"""A process that ends what a run of the tests started and removes what it created, however the run ends.

Everything that a test starts inherits the mark of its run in its environment: gunicorn, PostgreSQL, a browser, and
the processes of pytest-xdist. The guardian waits for the end of the run at a pipe, which a killed process closes too.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

MARK = "RUN_OF_TESTS"  # the folder of the run, which is its own
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes; a run needs a fifth of it
GRACE_SECONDS = 10
LOOK_SECONDS = 2

guardian = pytest.StashKey["subprocess.Popen[str]"]()


def folder() -> Path:
    """The folder of this run of the tests, which is removed at its end; its path is short enough for sockets."""
    return Path(os.environ[MARK])


def quick_folder() -> str | None:
    """A folder in memory, where a database of PostgreSQL is created in a tenth of the time, unless TMPDIR names one."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    return str(MEMORY)


def start(inside: str | None = None) -> subprocess.Popen[str]:
    """Make the folder of this run, mark what it starts from now on, and start the guardian."""
    made = tempfile.mkdtemp(prefix="keyturn-", dir=inside)
    os.chmod(made, 0o755)  # PostgreSQL refuses to run as root, and runs as another user
    unmarked = {name: value for name, value in os.environ.items() if name != MARK}
    os.environ[MARK] = made
    command = [sys.executable, "-m", "tests.support.guardian", made]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=unmarked, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Tell the guardian that the run has ended, and print what it then had to end itself."""
    ended, _ = process.communicate()
    if ended:
        sys.stderr.write(f"The tests left behind, and their guardian ended:\n{ended}")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that the user started, not one of pytest-xdist
        config.stash[guardian] = start(quick_folder())


def pytest_unconfigure(config: pytest.Config) -> None:
    if process := config.stash.get(guardian, None):
        finish(process)


def marked(mark: str) -> set[psutil.Process]:
    """The processes that were started with the mark of a run."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if process.environ().get(MARK) == mark:
                found.add(process)
    return found


def watch(run: int) -> set[psutil.Process]:
    """Wait for the end of a run; return what it started, even what overwrites its environment, as nginx does."""
    seen: set[psutil.Process] = set()
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        with contextlib.suppress(psutil.Error):
            seen |= set(psutil.Process(run).children(recursive=True))
        seen = {process for process in seen if process.is_running()}
    return seen - {psutil.Process()}


def end(processes: set[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=GRACE_SECONDS)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def main(made: str) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    seen = watch(os.getppid())
    left = set(psutil.wait_procs(seen | marked(made), timeout=1)[1])  # pytest-xdist's own processes end by themselves
    with contextlib.suppress(psutil.Error, OSError):  # if the run was killed, nobody reads the pipe
        sys.stdout.write("".join(f"{process.pid} {process.name()}\n" for process in left))
        sys.stdout.flush()
    while left:  # and what these started in the meantime
        end(left)
        left = marked(made)
    shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
