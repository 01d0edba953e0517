"""How every command ends: 0 done, 1 refused, 2 usage, 3 failed; with --json one document, for an error too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result
from flask import Flask
from joserfc import jwk

from app import create_app
from app.operations.command_group import CommandGroup, Outcome, as_json, changes
from app.settings import current_settings, read_settings
from tests.conftest import ROOT, SECRET_KEY, Machine, Operator, build_app, close
from tests.test_tables import our_commands

# What each command needs on its line, besides options. A new command without required arguments needs no row.
NEEDED = {
    "flask clients create": ["billing", "--scope", "read:logs"],
    "flask clients show": ["billing"],
    "flask clients update": ["billing", "--name", "invoices"],
    "flask clients disable": ["billing"],
    "flask clients enable": ["billing"],
    "flask clients delete": ["billing"],
    "flask clients secrets": ["billing"],
    "flask clients rotate-secret": ["billing", "--overlap", "60"],
    "flask clients revoke-secret": ["billing", "secret-1"],
    "flask clients update-secret": ["billing", "secret-1", "--not-after", "1d"],
    "flask clients keys": ["billing"],
    "flask clients add-key": ["billing", "--jwks", "keys.json"],
    "flask clients remove-key": ["billing", "no-such-kid"],
    "flask clients trusts": ["billing"],
    "flask clients trust": ["billing", "--issuer", "github", "--claim", "repository_id=74"],
    "flask clients untrust": ["billing", "github-1"],
    "flask keys withdraw": ["no-such-kid"],
    "flask tokens revoke": ["--client", "billing"],
    "flask explain": ["0123456789abcdef"],
    "flask audit uses": ["billing"],
    "flask tokens revoke-all": ["--yes"],
    "flask clients import": ["clients.jsonl"],
    "flask apply": ["clients.toml"],
    "flask backup": ["copy.db"],
    "flask restore": ["broken.db"],
    "flask db orders": ["postgresql://keyturn@127.0.0.1:1/other"],
    "flask db copy": ["postgresql://keyturn@127.0.0.1:1/target"],
}
FILES = {
    "clients.jsonl": '{"client_id": "imported", "name": "imported", "scope": "read:logs"}\n',
    "clients.toml": '[clients.declared]\nscope = "read:logs"\n',
    "keys.json": json.dumps(jwk.ECKey.generate_key("P-256").as_dict(private=False)),
    "broken.toml": '[clients.declared]\nscopes = "read:logs"\n',
    "broken.db": "this is no database",
}
# They neither read the settings nor the database; `throwaway` ignores the settings, and prints no JSON about errors.
# What is wrong with either is what `doctor` finds: test_doctor.py.
WITHOUT_SETTINGS = {"flask keys new-secret", "flask throwaway", "flask doctor"}
# `backup` and `restore` are about the file of SQLite itself: without it there is nothing to copy or to replace.
WITHOUT_DATABASE = WITHOUT_SETTINGS | {"flask tail", "flask lesson", "flask backup", "flask restore"}
# Whose function may change something: they have --detailed-exit-code, and `changed` in their document.
CHANGING = {
    *("flask apply", "flask clients import", "flask backup", "flask restore", "flask tokens revoke-all"),
    *("flask db copy", "flask db orders"),
    *("flask prepare", "flask cleanup", "flask tokens revoke", "flask keys rotate", "flask keys withdraw"),
    *(f"flask clients {each}" for each in ("create", "update", "disable", "enable", "delete")),
    *(f"flask clients {each}" for each in ("rotate-secret", "revoke-secret", "update-secret", "add-key", "remove-key")),
    *("flask clients trust", "flask clients untrust"),
}
AWAY = {"sqlite": "sqlite:///{folder}/keyturn.db", "postgresql": "postgresql://keyturn@127.0.0.1:1/keyturn"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in a folder that has the files which they name."""
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")


def typed(command: str, *more: str) -> list[str]:
    return [*command.split()[1:], *NEEDED.get(command, []), *more]


def accepts(command: click.Command, option: str) -> bool:
    return any(option in each.opts for each in command.params)


def run(app: Flask, command: str, *more: str) -> Result:
    return app.test_cli_runner().invoke(args=typed(command, *more))


def check_error(app: Flask, command: str, kind: str, code: int, *more: str) -> None:
    """The command ends with this code: with a sentence on standard error, or with one document on standard output."""
    plain = run(app, command, *more)
    assert (plain.exit_code, "Error: " in plain.stderr) == (code, True), f"{command}: {plain.output}"
    if accepts(our_commands(app)[command], "--json"):
        documented = run(app, command, *more, "--json")
        assert documented.exit_code == code, f"{command}: {documented.output}"
        error = json.loads(documented.stdout)["error"]
        assert (error["kind"], set(error)) == (kind, {"kind", "message"}), command
        assert error["message"].splitlines()[0] in plain.stderr
        assert "Error:" not in documented.stderr


@pytest.fixture
def app(prepared: Callable[[str], str]) -> Iterator[Flask]:
    """An app on SQLite: which database there is makes no difference to what is typed."""
    made = build_app(database_url=prepared("sqlite"))
    yield made
    close(made)


def test_a_command_that_is_mistyped_ends_with_2(app: Flask) -> None:
    for command in our_commands(app):
        check_error(app, command, "usage", 2, "--no-such-option")
    for group in ("clients", "keys", "tokens", "audit"):
        assert run(app, f"flask {group} no-such-command").exit_code == 2
        unknown = run(app, f"flask {group} no-such-command", "--json")
        assert unknown.exit_code == 2
        assert json.loads(unknown.stdout)["error"]["kind"] == "usage"


@pytest.mark.parametrize("command", ["flask apply", "flask clients import"])
def test_a_file_that_does_not_exist_ends_with_2(app: Flask, command: str) -> None:
    for name in NEEDED[command]:
        Path(name).unlink()

    check_error(app, command, "usage", 2)


def test_a_value_that_cannot_be_parsed_ends_with_2(app: Flask) -> None:
    check_error(app, "flask clients rotate-secret", "usage", 2, "--overlap", "soon")
    check_error(app, "flask clients rotate-secret", "usage", 2, "--not-after", "2026-02-30T00:00:00Z")
    check_error(app, "flask clients stale", "usage", 2, "--within", "a-quarter")
    check_error(app, "flask tokens revoke", "usage", 2, "--jti", "k" * 24)
    check_error(app, "flask keys rotate", "usage", 2, "--lost-secret-key")


def test_a_file_that_is_not_there_ends_with_2(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("clients import", "apply", "restore", "backup")
    monkeypatch.setattr(f"{__name__}.NEEDED", {f"flask {each}": ["no-folder/file"] for each in missing})

    for each in missing:
        check_error(app, f"flask {each}", "usage", 2)
    check_error(app, "flask db copy", "usage", 2, "--target-file", "no-folder/file")
    check_error(app, "flask db orders", "usage", 2, "--other-file", "no-folder/file")


def test_a_file_that_cannot_be_reached_is_not_said_to_be_missing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.NEEDED", {"flask apply": ["clients.toml/file"]})

    assert "clients.toml/file: Not a directory." in run(app, "flask apply").stderr


def test_another_database_that_is_not_named_ends_with_2(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.NEEDED", {})

    check_error(app, "flask db copy", "usage", 2)
    check_error(app, "flask db orders", "usage", 2)


def test_with_settings_at_fault_every_command_is_refused_with_1(tmp_path: Path) -> None:
    given = {"KEYTURN_ENV": "development", "KEYTURN_ISSUER": "nonsense"}
    app = create_app(read_settings(given | {"KEYTURN_DATABASE_URL": f"sqlite:///{tmp_path}/keyturn.db"}))

    for command in our_commands(app):
        if command not in WITHOUT_SETTINGS:
            check_error(app, command, "refused", 1)
    assert not (tmp_path / "keyturn.db").exists()
    close(app)


@pytest.mark.parametrize("kind", AWAY)
def test_without_its_database_every_command_fails_with_3(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # no folder can be created there, not even by root
    app = build_app(database_url=AWAY[kind].format(folder=tmp_path / "file"))

    for command in our_commands(app):
        if command not in WITHOUT_DATABASE:
            check_error(app, command, "failed", 3)
    close(app)


# No client is registered as `billing`; what else of NEEDED is refused needs other options.
REFUSED = {
    "flask clients create": ["--lifetime", "0"],
    "flask apply": ["broken.toml"],
    "flask clients import": None,  # test_moving_in.py
    "flask backup": None,  # test_backup.py
    "flask db copy": None,  # test_database_copy.py
    "flask db orders": None,
    "flask tokens revoke-all": None,
    "flask audit export": None,
    "flask audit status": None,
    "flask clients ending": None,  # these only list what there is
    "flask clients stale": None,
    "flask clients list": None,
    "flask keys list": None,
    "flask keys plan": None,
    "flask keys new-secret": None,
    "flask keys rotate": None,  # a key that is already published: test_keys.py
    "flask doctor": None,  # test_doctor.py
    "flask cleanup": None,  # clocks that differ: test_upkeep.py
    "flask prepare": None,  # a foreign database: test_prepare.py
    "flask throwaway": None,  # one client twice: test_throwaway.py
}


def test_what_is_refused_ends_with_1_and_changes_nothing(operator: Operator) -> None:
    before = operator.run("clients", "list"), operator.run("keys", "list")

    for command in our_commands(operator.app):
        if (more := REFUSED.get(command, [])) is not None:
            check_error(operator.app, command, "refused", 1, *more)

    assert (operator.run("clients", "list"), operator.run("keys", "list")) == before


def test_the_commands_that_change_something_say_so(app: Flask) -> None:
    commands = our_commands(app)

    assert {name for name, command in commands.items() if accepts(command, "--detailed-exit-code")} == CHANGING


def test_with_a_detailed_exit_code_4_is_changed_and_0_is_nothing_to_do(operator: Operator) -> None:
    operator.register("billing", "--scope", "read:logs")
    steps = [
        (0, "flask prepare"),
        (0, "flask cleanup"),
        (4, "flask clients disable"),
        (0, "flask clients disable"),
        (4, "flask clients enable"),
        (0, "flask clients enable"),
        (4, "flask clients rotate-secret"),
        (4, "flask clients update-secret"),
        (4, "flask clients revoke-secret"),
        (0, "flask clients revoke-secret"),
        (4, "flask tokens revoke"),
        (4, "flask clients update"),
    ]

    for code, command in steps:
        done = run(operator.app, command, "--detailed-exit-code", "--json")
        assert done.exit_code == code, f"{command}: {done.output}"
        assert json.loads(done.stdout)["changed"] is (code == 4), command


def test_without_a_detailed_exit_code_a_change_ends_with_0(operator: Operator) -> None:
    operator.register("billing", "--scope", "read:logs")

    assert [run(operator.app, "flask clients disable").exit_code for _ in range(2)] == [0, 0]


def test_prepare_says_whether_it_changed_anything(tmp_path: Path) -> None:
    app = build_app(database_url=f"sqlite:///{tmp_path}/new.db")

    made = [run(app, "flask prepare", "--detailed-exit-code", "--json") for _ in range(2)]

    assert [done.exit_code for done in made] == [4, 0]
    assert [json.loads(done.stdout)["changed"] for done in made] == [True, False]
    assert "The database is up to date." in json.loads(made[0].stdout)["sentences"]
    close(app)


@pytest.fixture
def faulty(app: Flask) -> Iterator[Callable[..., Result]]:
    """Runs a command of the tests whose function has a fault, or is interrupted."""
    group = CommandGroup("faulty", help="Of the tests.", refusals=())

    @group.command()
    @as_json
    def broken(as_json: bool) -> None:
        raise KeyError(as_json)

    @group.command()
    @changes
    def unsure() -> Outcome:
        click.confirm("Sure?", abort=True, err=True)
        return Outcome({})

    app.cli.add_command(group)
    yield lambda *arguments, **more: app.test_cli_runner().invoke(args=["faulty", *arguments], **more)
    app.cli.commands.pop("faulty")


def test_a_fault_of_our_own_ends_with_3_and_its_traceback_is_on_standard_error(faulty: Callable[..., Result]) -> None:
    done, documented = faulty("broken"), faulty("broken", "--json")

    assert (done.exit_code, documented.exit_code) == (3, 3)
    assert "Traceback" in done.stderr
    assert json.loads(documented.stdout) == {
        "error": {"kind": "failed", "message": "a fault of Keyturn: KeyError"}
    }  # fmt: skip


def test_a_question_that_is_refused_ends_with_1(faulty: Callable[..., Result]) -> None:
    plain = faulty("unsure", input="n\n")
    assert (plain.exit_code, "It was not confirmed: nothing was changed." in plain.stderr) == (1, True)
    documented = faulty("unsure", "--json", input="n\n")
    assert (documented.exit_code, json.loads(documented.stdout)["error"]["kind"]) == (1, "refused")
    assert faulty("unsure", input="y\n").exit_code == 0


def test_what_follows_two_dashes_is_no_option(operator: Operator) -> None:
    done = operator.app.test_cli_runner().invoke(args=["clients", "show", "--", "--json"])

    assert (done.exit_code, done.stdout) == (1, "")


def test_a_real_process_ends_with_the_same_codes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    url = current_settings.of(app).database_url
    for name, value in {"ENV": "development", "DATABASE_URL": url, "JOURNAL": "off", "SECRET_KEYS": SECRET_KEY}.items():
        monkeypatch.setenv(f"KEYTURN_{name}", value)

    done = subprocess.run(
        [sys.executable, "-m", "flask", "clients", "disable", "demo-admin", "--json", "--detailed-exit-code"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, json.loads(done.stdout)["changed"]) == (4, True)
    assert Machine(app, "demo-admin", "kts_demo-admin-is-for-learning-only").request_token().status_code == 401
