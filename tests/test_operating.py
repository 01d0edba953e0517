"""docs/operating.md: the commands and the service of production, as they are typed."""

from __future__ import annotations

import configparser
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, free_port, responds, wait_for
from tests.support.pages import page, pattern
from tests.test_start import outside

PAGE = page("operating")
# Instead of a script, which cannot start if its path has a space.
FLASK = '"$PYTHON" -m flask'
PYTHON = {"PYTHON": sys.executable}


class Machine:
    """A machine for production: the page's commands and unit, with all folders inside one of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "etc").mkdir()
        (folder / "var/lib/keyturn").mkdir(parents=True)
        (unit,) = PAGE.blocks("ini")
        self.unit = configparser.ConfigParser()
        self.unit.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
        self.unit.read_string(self.moved(unit))

    def moved(self, text: str) -> str:
        # The test plays the user, and root too.
        text = (
            re.sub(r"sudo (-u keyturn )?", "", text)
            .replace("chown keyturn", "test -f")
            .replace(".venv/bin/flask", FLASK)
        )
        text = text.replace("/srv/keyturn/.venv/bin/python", shlex.quote(sys.executable)).replace("/srv/keyturn", ".")
        return re.sub(r"/(etc/keyturn|var/lib/keyturn/)", rf"{self.folder}/\1", text)

    def type(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Type a command into a new terminal."""
        return subprocess.run(
            ["sh", "-c", self.moved(command)],
            cwd=ROOT,
            env=outside() | PYTHON,
            capture_output=True,
            text=True,
            check=check,
        )

    def environment(self) -> dict[str, str]:
        lines = Path(self.unit["Service"]["EnvironmentFile"]).read_text(encoding="utf-8").splitlines()
        return outside() | {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}

    def start(self, port: int, log: Path) -> subprocess.Popen[bytes]:
        """Start the service, as systemd does."""
        environment = self.environment() | {"PORT": str(port)}
        before, command = (shlex.split(self.unit["Service"][name]) for name in ("ExecStartPre", "ExecStart"))
        subprocess.run(before, cwd=ROOT, env=environment, check=True, capture_output=True)
        with log.open("wb") as output:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)


def test_the_production_commands_keep_the_key_for_every_later_start_and_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    typed = [(command, shown) for command, shown in PAGE.commands() if command.startswith("sudo ")]
    (_, *setup, (in_another_terminal, shown)) = typed
    for command, rest in setup:
        machine.type(f"{command}\n{rest}")
    file = tmp_path / "etc/keyturn.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    for command, rest in setup:  # pasted again
        machine.type(f"{command}\n{rest}", check=False)
    assert file.read_text() == written

    for start in ("first", "second"):
        port, log = free_port(), tmp_path / f"{start}.log"
        server = machine.start(port, log)
        try:
            wait_for(lambda: server.poll() is not None or responds(f"http://127.0.0.1:{port}"))  # noqa: B023
            assert server.poll() is None, log.read_text()
        finally:
            server.terminate()
            server.wait(timeout=60)

    assert pattern(shown).fullmatch(machine.type(in_another_terminal).stdout.strip())
