"""The README: its commands run, its tables are complete, and its code works."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask

import config
from app.audit.event import Event
from app.operations.startup import welcome
from app.refusals.codes import CODES
from app.settings import read_settings
from app.settings.database_url import PARAMETERS
from tests.conftest import ROOT, LiveServer, curl, free_port, responds, wait_for
from tests.test_start import outside

# Instead of a script, which cannot start if its path has a space.
FLASK = '"$PYTHON" -m flask'
PYTHON = {"PYTHON": sys.executable}
README = (ROOT / "README.md").read_text()
SOURCES = "\n".join(file.read_text() for file in (ROOT / "app").rglob("*.py"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Every command of the README, with the output that is shown for it."""
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def pattern(shown: str) -> re.Pattern[str]:
    """A pattern for the output that is shown; … matches anything."""
    return re.compile(".*".join(re.escape(part) for part in shown.strip().split("…")), re.DOTALL)


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    found = re.search(rf"^\| {first} \|.*\n\| ---.*\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found
    return [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in found[1].splitlines()]


def test_every_command_runs_and_prints_what_is_shown(live: Callable[..., LiveServer]) -> None:
    curl()
    server = live(KEYTURN_ENV="development")
    run_here = [(command, output) for command, output in commands() if not command.startswith(("make ", "sudo "))]
    text = "\n".join(f"{command}\necho ----" for command, _ in run_here).replace(
        "127.0.0.1:8000", server.url.removeprefix("http://")
    )
    text = text.replace(".venv/bin/flask", FLASK)

    run = subprocess.run(
        ["bash", "-c", text], cwd=ROOT, env=server.environment | PYTHON, capture_output=True, text=True, check=False
    )

    outputs = run.stdout.split("----\n")[:-1]
    assert len(outputs) > 8
    for (command, shown), found in zip(run_here, outputs, strict=True):
        found = found.replace(server.url, "http://127.0.0.1:8000")
        assert pattern(shown).fullmatch(found.strip()), f"{command} printed {found}"


class Machine:
    """A machine for production: the README's commands and unit, with all folders inside one of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "etc").mkdir()
        (folder / "var/lib/keyturn").mkdir(parents=True)
        (unit,) = blocks("ini")
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
    typed = [(command, shown) for command, shown in commands() if command.startswith("sudo ")]
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


def test_what_make_run_prints_is_what_is_shown() -> None:
    shown = next(output for command, output in commands() if command == "make run")

    assert pattern(shown).fullmatch("…\n" + welcome(read_settings({})).strip())


def test_make_lists_every_target_and_test_runs_every_check() -> None:
    def make(*arguments: str) -> str:
        command = ["make", "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert [line.split()[1] for line in make().splitlines()] == phony[1].split()
    planned = make("-n", "test", f"PYTHON={sys.executable}")
    assert all(each in planned for each in ("ruff format --check", "ruff check", "mypy", "pytest"))


def test_every_setting_is_documented_as_config_py_describes_it() -> None:
    spoken = {"audience": "the issuer", "secret_keys": "instance/secret-key", "resources": "keyturn.toml"}
    spoken |= dict.fromkeys(("limit_requests", "limit_introspection", "limit_api", "redis_url"), "none")
    settings = [each for each in fields(config.Settings) if "variable" in each.metadata]

    assert [[cell.strip("`") for cell in row[:2]] + row[2:] for row in table("variable")] == [
        [each.metadata["variable"], spoken.get(each.name, str(each.default)), about(each)] for each in settings
    ]


def about(setting: Field[Any]) -> str:
    """What config.py says about a setting, with the bounds of a number."""
    check, text = setting.metadata["check"], str(setting.metadata["about"])
    bounds = f" {check.low:,} to {check.high:,} {check.unit}".rstrip() + "." if isinstance(check, config.Whole) else ""
    return text + bounds


def test_every_parameter_of_a_database_url_is_documented() -> None:
    assert [name for name in PARAMETERS if f"`{name}`" not in README] == []


def test_every_command_and_option_is_documented(app: Flask) -> None:
    documented = {" ".join(re.findall(r"^[a-z -]+", row[0].strip("`"))[0].split()) for row in table("command")}
    ours = {"flask prepare", "flask explain", "flask cleanup", "flask db upgrade"}
    options = set()
    for name in ("clients", "keys", "tokens"):
        group = app.cli.commands[name]
        assert isinstance(group, click.Group)
        ours |= {f"flask {name} {command}" for command in group.commands}
        options |= {o for c in group.commands.values() for p in c.params for o in p.opts if o.startswith("--")}

    assert {each.split(" --")[0] for each in documented} == ours
    assert [option for option in options if f"`{option}`" not in README and f" {option} " not in README] == []


def test_every_error_code_is_documented_and_none_is_used_that_is_not_in_the_table() -> None:
    assert {row[0].strip("`") for row in table("error")} == set(CODES)
    for name, statuses, _ in table("error"):
        code = CODES[name.strip("`")]
        assert set(statuses.split(", ")) == {str(status) for status in (code.status, *code.other_statuses)}
    raised = set(re.findall(r'(?:RefusedError|bad_request)\(\s*"(\w+)"', SOURCES))
    assert raised <= set(CODES)


def test_every_route_is_documented(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {each.strip("`") for row in table("address") for each in row[0].split(" and ")} == routes


def test_every_event_is_documented() -> None:
    section = README.partition("## What is recorded\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`([a-z]+_[a-z_]+)`", section)) == {event.value for event in Event}


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "app").iterdir() if path.is_dir()))
def test_every_folder_is_on_the_map(folder: str) -> None:
    if folder != "__pycache__":
        assert f"`app/{folder}/`" in README


def test_nothing_is_named_that_is_not_there() -> None:
    for path in re.findall(r"`((?:app|tests|postman)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
