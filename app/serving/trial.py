"""A trial in a process of its own: would gunicorn start with the code and the settings as they are now?

    python app/serving/trial.py wsgi:app [options of gunicorn]

It prints WORKS as its last line if so, and otherwise what is wrong. It is run by its path, because as a part of `app`
it would import the code that it tries.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from pathlib import Path

WORKS = "The code works."


def try_out(application: str, options: list[str]) -> None:
    """Import the app, and read gunicorn's configuration.

    Raises:
        BaseException: Whatever the code raises; `SystemExit` with what it has printed.
    """
    importlib.import_module("app.serving.gunicorn_worker")
    importlib.import_module(application.partition(":")[0])
    from gunicorn.app.wsgiapp import WSGIApplication

    sys.argv = ["gunicorn", "--check-config", *options]
    try:
        WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").run()
    except SystemExit as end:
        if end.code:
            raise


def concise(error: BaseException) -> str:
    """The traceback without the frames of libraries and of this trial: the author of the code can change the rest."""
    found = traceback.TracebackException.from_exception(error)
    found.stack = traceback.StackSummary.from_list([frame for frame in found.stack if is_ours(frame.filename)])
    lines = "".join(found.format(chain=False)).splitlines()
    return "\n".join(line for line in lines if found.stack or not line.startswith("Traceback"))


def is_ours(file: str) -> bool:
    """Whether a file belongs to the project, and not to a library or to `.venv`."""
    root = os.getcwd() + os.sep
    return file != __file__ and file.startswith(root) and f"{os.sep}." not in file[len(root) - 1 :]


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main(application: str, options: list[str]) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.path[0] = str(Path.cwd())
    result = ""
    try:
        try_out(application, options)
        result = WORKS
    except SystemExit as end:
        result = str(end.code) if isinstance(end.code, str) else ""
    except BaseException as error:
        result = concise(error)
    sys.stdout.write(f"\n{result}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without waiting for threads that the code has started


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
