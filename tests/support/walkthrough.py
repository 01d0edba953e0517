"""Follows a page to the letter: types its commands, creates its files, makes its edits.

In a command, `ktc_…` is the newest word that was printed and begins so, and `…` alone the newest request id: what a
reader copies. All commands share one shell, and so its variables.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.page_steps import Edit, NewFile

DONE = "-- the command has ended --"
SECONDS = 120  # for a command that never ends; nothing is measured by it


class Shell:
    """One bash, as a terminal has it: its variables and functions last."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """What the command prints; it must end by itself."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{command}\necho '{DONE}'\n")
        self.process.stdin.flush()
        watch = threading.Timer(SECONDS, os.killpg, (self.process.pid, signal.SIGKILL))
        watch.start()
        printed = ""
        while not printed.endswith(f"{DONE}\n"):
            line = self.process.stdout.readline()
            assert line, f"the shell ended in {command!r} after {printed!r}"
            printed += line
        watch.cancel()
        return printed.removesuffix(f"{DONE}\n")

    def close(self) -> None:
        self.process.communicate(timeout=SECONDS)


@dataclass
class Running:
    """A program that runs until Ctrl-C, in a terminal of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=SECONDS)


@dataclass
class Reader:
    """A reader with a copy of the project: what they started, and what was printed."""

    folder: Path
    environment: dict[str, str]
    replaced: dict[str, str]  # what the pages say, and what it is here: addresses
    seen: str = ""
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shell = Shell(self.folder, self.environment)

    def here(self, text: str) -> str:
        for page, real in self.replaced.items():
            text = text.replace(page, real)
        return text

    def as_on_the_page(self, text: str) -> str:
        for page, real in self.replaced.items():
            text = text.replace(real, page)
        return text

    def copied(self, command: str) -> str:
        """The command with what its reader copies from what was printed before."""

        def newest(found: re.Match[str]) -> str:
            wanted = rf"\b{found[1]}[\w.-]+" if found[1] else r"(?<=X-Request-Id: )\w+"
            return re.findall(wanted, self.seen)[-1]

        return re.sub(r"(\w*)…", newest, command)

    def type(self, command: str) -> str:
        printed = self.as_on_the_page(self.shell.type(self.here(self.copied(command))))
        self.seen += printed
        return printed

    def start(self, command: list[str], log: Path) -> Running:
        """Start a program that keeps running, in a new terminal."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(Running(process, log))
        return self.running[-1]

    def stop_last(self) -> None:
        self.running.pop().stop()

    def create(self, file: NewFile) -> None:
        (self.folder / file.name).write_text(self.here(file.text), encoding="utf-8")

    def change(self, wanted: Edit) -> None:
        file = self.folder / wanted.name
        text = file.read_text(encoding="utf-8")
        assert text.count(wanted.before) == 1, f"{wanted.name} has these lines {text.count(wanted.before)} times"
        file.write_text(text.replace(wanted.before, wanted.after), encoding="utf-8")

    def close(self) -> None:
        while self.running:
            self.stop_last()
        self.shell.close()
