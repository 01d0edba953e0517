"""How long `flask throwaway` takes from the command to its line, and where the time goes.

    python -m benchmarks.throwaway

The seconds are the fewest of a few runs, on a machine that does nothing else. The steps are timed in one process more,
in the order in which the command takes them, as CPU time, which a busy machine changes less.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.server import ROOT, clean_environment

RUNS = 5
STEPS = [sys.executable, "-m", "benchmarks.throwaway", "--steps"]
COMMAND = [sys.executable, "-m", "flask", "--app", "wsgi", "throwaway"]


def seconds() -> float:
    """From the start of the command to its line."""
    begin = time.perf_counter()
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None or not process.stdout.readline():
            raise AssertionError("it did not start")
        taken = time.perf_counter() - begin
        process.terminate()
    return taken


def steps() -> None:
    """Take the command's steps, and print the milliseconds of CPU time of each; this process has imported little."""
    show("Python itself", 1_000 * time.process_time())
    timed("import Flask's commands, and Alembic as their plugin", load_commands)
    timed("import Keyturn, with SQLAlchemy and Authlib", lambda: import_module("app"))
    timed("the app of the caller's settings, as for every command", lambda: import_module("wsgi"))
    command = import_module("app.operations.throwaway_command")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = command.settings_for(folder, "http://127.0.0.1:8000")
        app = timed("its own app", lambda: command.build(folder, settings))
        clients = command.all_clients((), settings)
        with app.app_context():
            timed("the database", import_module("app.operations.prepare").migrate)
            timed("an RSA key", import_module("app.keys.rotation").make_first)
        timed("the clients and the stock", lambda: command.fill(app, clients))
        command.close(app)


def load_commands() -> None:
    import_module("flask.cli")
    import_module("flask_migrate")


def timed(what: str, step: Callable[[], Any]) -> Any:
    begin = time.process_time()
    result = step()
    show(what, 1_000 * (time.process_time() - begin))
    return result


def show(what: str, milliseconds: float) -> None:
    sys.stdout.write(f"| {what} | {milliseconds:.0f} |\n")


def main() -> None:
    taken = [seconds() for _ in range(RUNS)]
    sys.stdout.write(f"From the command to its line: {min(taken):.2f} s, the fewest of {RUNS}.\n\n")
    sys.stdout.write("| step | ms of CPU time |\n| --- | --- |\n")
    sys.stdout.flush()
    subprocess.run(STEPS, cwd=ROOT, env=clean_environment(), stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    steps() if "--steps" in sys.argv else main()
