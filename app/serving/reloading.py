"""Reloading: a development server serves changed code within a second or two, and never code that does not start.

A thread of the master watches the files. It tries changed ones in a separate process (`trial.py`), and only if they
work sends SIGHUP to the master, which imports them and forks new workers. The listening socket stays open meanwhile.
If the import then fails, or a worker has to be replaced later, the workers get the last code that worked: the master
has it in memory.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from app.serving.trial import WORKS, is_ours

SECONDS = 0.5  # between two looks; each reads the times of about 150 files, in about a millisecond
TRIAL_SECONDS = 30
SUFFIXES = {".py", ".toml", ".html", ".md", ".json", ".css"}
ENDED = "It ended the process that loaded it."
NEVER_RELOADED = "app/serving/"

Snapshot = dict[str, tuple[int, int]]


def start(server: Any, resources_file: str, loaded: int) -> None:
    """Watch the files of a server that runs.

    Args:
        server: gunicorn's master.
        resources_file: The file of KEYTURN_FILE.
        loaded: Since when the code may have been loaded, in nanoseconds since the epoch.
    """
    logging.getLogger("gunicorn.error").addFilter(
        # gunicorn's master closes its listeners when it begins to stop.
        lambda record: is_news(record, is_stopping=not server.LISTENERS)
    )
    watcher = Watcher(server, resources_file, loaded)
    server.watcher = watcher
    threading.Thread(target=watcher.run, name="reloading", daemon=True).start()


class Watcher:
    def __init__(self, server: Any, resources_file: str, loaded: int) -> None:
        self.server = server
        self.resources_file = resources_file
        self.changed = ""
        self.modules = loaded_files()
        # A file that was changed while the server started may have been loaded before the change.
        self.seen = {file: stamp for file, stamp in self.snapshot().items() if stamp[0] < loaded}

    def run(self) -> None:
        while True:
            time.sleep(SECONDS)
            if changed := self.look():
                self.changed = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
                self.reload(changed)

    def look(self) -> list[str]:
        """The changed files, once no more changes come: an editor, or git, writes in steps."""
        before, found = self.seen, self.snapshot()
        while found != self.seen:
            self.seen = found
            time.sleep(SECONDS / 2)
            found = self.snapshot()
        return sorted(file for file in before.keys() | found.keys() if before.get(file) != found.get(file))

    def reload(self, changed: list[str]) -> None:
        if all(file.startswith(NEVER_RELOADED) for file in changed):
            say(f"not reloaded: {self.changed} is gunicorn's worker, which is loaded at the next start")
            return
        if fault := self.try_out():
            say(f"not reloaded, the server continues with the last code that works: {self.changed}", fault)
        elif self.snapshot() == self.seen:  # otherwise the next look finds what has changed during the trial
            os.kill(os.getpid(), signal.SIGHUP)

    def try_out(self) -> str:
        """What is wrong with the files as they are now; empty if they work.

        Its exit code cannot be used: gunicorn's master collects every child that has ended.
        """
        command = [sys.executable, str(Path(__file__).with_name("trial.py")), self.server.app.app_uri, *sys.argv[1:]]
        pipe = subprocess.PIPE
        with subprocess.Popen(  # noqa: S603, its own arguments
            command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as trial:
            end = threading.Timer(TRIAL_SECONDS, trial.kill)
            end.start()
            # Its standard input stays open: it ends with this process.
            printed = trial.stdout.read().strip() if trial.stdout else ""
            is_too_late = not end.is_alive()
            end.cancel()
        if printed.endswith(WORKS):
            return ""
        return f"The code did not start within {TRIAL_SECONDS} seconds." if is_too_late else printed or ENDED

    def snapshot(self) -> Snapshot:
        """The time of change and the size of each file, by its path below the project."""
        found: Snapshot = {}
        for file in {*self.files(), self.resources_file}:
            try:
                status = os.stat(file)
            except OSError:
                continue
            found[os.path.relpath(file)] = (status.st_mtime_ns, status.st_size)
        return found

    def files(self) -> Iterator[str]:
        """The code: what is in `app/`, what is beside it, and any other module of the project that is loaded."""
        root = os.getcwd()
        yield from (each.path for each in os.scandir(root) if each.name.endswith(".py"))
        for folder, _, names in os.walk(os.path.join(root, "app")):
            yield from (os.path.join(folder, name) for name in names if os.path.splitext(name)[1] in SUFFIXES)
        yield from self.modules


def loaded_files() -> set[str]:
    return {str(module.__file__) for module in our_modules().values()}


def our_modules() -> dict[str, ModuleType]:
    """The modules of the project that are loaded, without those of gunicorn's worker and its configuration."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if getattr(module, "__file__", None) and is_ours(str(module.__file__)) and is_reloaded(name)
    }


def is_reloaded(name: str) -> bool:
    return name not in ("__main__", "__config__") and not name.startswith("app.serving")


def load_again(server: Any) -> None:
    """Import the code as it is now, in the master, for the workers that it forks next.

    gunicorn calls this for SIGHUP. Without it the workers would get the code with which the master has started.
    """
    modules, application = our_modules(), server.app.callable
    logger = logging.getLogger("keyturn")
    handlers, logger.handlers = logger.handlers, []  # the new code makes its own
    for name in modules:
        del sys.modules[name]
    importlib.invalidate_caches()
    server.app.callable = None
    try:
        server.app.wsgi()
    except (Exception, SystemExit) as error:
        for name in our_modules():
            del sys.modules[name]
        sys.modules.update(modules)
        server.app.callable, logger.handlers = application, handlers
        say("not reloaded, the server continues with the last code that works", f"{type(error).__name__}: {error}")
    else:
        server.watcher.modules = loaded_files()
        say(f"reloaded: {server.watcher.changed or 'by SIGHUP'}")
    server.watcher.changed = ""


def is_news(record: logging.LogRecord, *, is_stopping: bool) -> bool:
    """Whether a line of gunicorn's is news: that a worker ended by a signal of its master is not.

    A worker that has not ended within `graceful_timeout` is killed, and gunicorn suspects that memory ran out.
    """
    expected = {"SIGINT", "SIGQUIT", "SIGTERM"} | ({"SIGKILL"} if is_stopping else set())
    return "was sent" not in str(record.msg) or not expected & set(record.args or ())


def say(sentence: str, more: str = "") -> None:
    text = f"{time.strftime('%H:%M:%S')} {sentence}\n" + "".join(f"  {line}\n" for line in more.splitlines())
    sys.stderr.write(text)
    sys.stderr.flush()
