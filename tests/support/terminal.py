"""Programs in a real pseudo-terminal, and a copy of the project whose files a test may edit."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from tests.conftest import ROOT, free_port, wait_for
from tests.support.leaks import suite
from tests.test_house import published

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = 100
OF_THE_CALLER = ("KEYTURN_", "NO_COLOR", "COLUMNS", "LINES")


class Terminal:
    """A program that runs in a terminal of 100 columns, and what it has printed."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.printed = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 65_536)
            except OSError:  # the last process has closed it
                return
            if not read:
                return
            self.printed += read

    def text(self) -> str:
        """What was printed so far, without colors."""
        return ESCAPES.sub("", self.raw())

    def raw(self) -> str:
        return self.printed.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, text: str, *, count: int = 1, after: int = 0) -> None:
        """Wait until a text was printed `count` times, after the first characters."""
        try:
            wait_for(lambda: self.text()[after:].count(text) >= count)
        except AssertionError:
            raise AssertionError(f"{text!r} was not printed {count} times, but:\n{self.text()}") from None

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        os.close(self._ours)
        suite.record(self.text())
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.end()


class Project:
    """A copy of the project in a folder, with a server of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        for name in published():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        outside = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_CALLER)}
        self.environment = outside | {"PORT": str(self.port), "TERM": "xterm", **environment}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a `flask` command, not in a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "flask", *command],
            cwd=self.folder,
            env=self.environment | {"FORCE_COLOR": "1"},  # it has no effect
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def flask(self, *command: str) -> Terminal:
        return Terminal([sys.executable, "-m", "flask", *command], self.folder, self.environment)

    def serve(self, **environment: str) -> Terminal:
        """What `make run` does, in a terminal: prepare, and start gunicorn."""
        command = '"$0" -m flask --app wsgi prepare && exec "$0" -m gunicorn wsgi:app'
        started = Terminal(["sh", "-c", command, sys.executable], self.folder, self.environment | environment)
        started.wait_for("Ctrl-C")
        return started

    def send(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, bytes]:
        """Send one request; return the status and the body."""
        body = urlencode(form).encode() if form is not None else None
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def request_token(self, client_id: str, **form: str) -> tuple[int, dict[str, str]]:
        """Request a token as a demo client, with its secret in the form unless another one is given."""
        secret = form.pop("secret", f"kts_{client_id}-is-for-learning-only")
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret, **form}
        status, body = self.send("POST", "/oauth/token", form)
        found: dict[str, str] = json.loads(body)
        suite.remember(found.get("access_token", ""))
        return status, found

    def entries(self) -> list[dict[str, object]]:
        lines = (self.folder / "instance/requests.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
