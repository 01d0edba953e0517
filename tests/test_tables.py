"""The tables of the documents: every setting, command, route, error code and event is in one row."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, fields

import click
import pytest
from flask import Flask

import config
from app.audit.event import Event
from app.refusals.codes import CODES
from app.settings.database_url import PARAMETERS
from app.settings.issuer_tables import KEYS
from tests.conftest import ROOT
from tests.support.pages import PAGES, Page, page

SETTINGS, COMMANDS, ENDPOINTS, ERRORS = (page(name) for name in ("settings", "commands", "endpoints", "errors"))
CONTRIBUTING = Page(ROOT / "CONTRIBUTING.md")
SOURCES = "\n".join(file.read_text() for file in (ROOT / "app").rglob("*.py"))


@pytest.mark.parametrize(
    ("first", "home"),
    [
        ("variable", SETTINGS),
        ("command", COMMANDS),
        ("address", ENDPOINTS),
        ("error", ERRORS),
        ("folder", CONTRIBUTING),
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_a_thing_is_in_one_row_of_one_page(first: str, home: Page) -> None:
    names = [row[0] for row in home.table(first)]

    pages = [each for each in PAGES if not each.name.startswith("docs/tutorial")]  # a lesson repeats what it teaches
    assert [each.name for each in pages if re.search(rf"^\| {first} \|", each.text, re.MULTILINE)] == [home.name]
    assert len(names) == len(set(names)) > 10


def test_every_setting_is_documented_with_its_default_and_its_bounds() -> None:
    spoken = {"audience": "the issuer", "secret_keys": "instance/secret-key", "resources": "keyturn.toml"}
    spoken |= {"operator": "the system user", "target_url": "none"}
    spoken |= dict.fromkeys(("limit_requests", "limit_introspection", "limit_api", "redis_url", "metrics_bind"), "none")
    spoken |= dict.fromkeys(("database_url_file", "secret_keys_file", "redis_url_file"), "none")
    settings = [each for each in fields(config.Settings) if "variable" in each.metadata]

    rows = SETTINGS.table("variable")

    assert [[cell.strip("`") for cell in row[:2]] for row in rows] == [
        [each.metadata["variable"], spoken.get(each.name, str(each.default))] for each in settings
    ]
    for each, (_, _, about) in zip(settings, rows, strict=True):
        assert says(about, each.metadata["check"]), (each.name, about)


def test_every_key_of_an_issuer_is_documented_with_its_default() -> None:
    defaults = {each.name: each.default for each in fields(config.Issuer)}

    rows = SETTINGS.table(r"key of `\[issuers.NAME\]`")

    assert [row[0].strip("`") for row in rows] == list(KEYS)
    for name, default, _ in rows:
        value = defaults[name.strip("`")]
        spoken = json.dumps(value) if value not in ("", MISSING) else "required" if value is MISSING else "none"
        assert default.strip("`") == spoken


def says(about: str, check: object) -> bool:
    """Whether a sentence has the bounds of a number, or one of the words that are possible."""
    if isinstance(check, config.Whole):
        return f" {check.low:,} to {check.high:,} {check.unit}".rstrip() + "." in about
    return not isinstance(check, config.OneOf) or any(f"`{word}`" in about for word in check.words)


def test_every_parameter_of_a_database_url_is_documented() -> None:
    section = SETTINGS.section("The database URL")

    assert [name for name in PARAMETERS if f"`{name}`" not in section] == []


def our_commands(app: Flask) -> dict[str, click.Command]:
    """The commands of the app, by what an operator types; Flask's own and those of Flask-Migrate are left out."""
    found: dict[str, click.Command] = {}
    for name, command in app.cli.commands.items():
        subcommands = command.commands if isinstance(command, click.Group) else {"": command}
        for each, leaf in subcommands.items():
            if leaf.callback and inspect.unwrap(leaf.callback).__module__.startswith("app."):
                found[f"flask {name} {each}".strip()] = leaf
    return found


def test_every_command_and_option_is_documented(app: Flask) -> None:
    commands = our_commands(app)
    options = {o for leaf in commands.values() for p in leaf.params for o in p.opts if o.startswith("--")}
    rows = [re.findall(r"^[a-z -]+", row[0].strip("`"))[0] for row in COMMANDS.table("command")]

    assert {row.split(" --")[0].strip() for row in rows} == {*commands, "flask db upgrade", "flask db downgrade"}
    assert [each for each in options if not re.search(rf"[` ]{each}[` ]", COMMANDS.text)] == []


def test_every_command_except_one_accepts_json(app: Flask) -> None:
    without = [
        name for name, command in our_commands(app).items() if not any("--json" in each.opts for each in command.params)
    ]

    assert without == ["flask throwaway"]  # it always prints one JSON document


def test_every_error_code_is_documented_and_none_is_used_that_is_not_in_the_table() -> None:
    assert {re.sub(r"[\[\]`]|\(.*\)", "", row[0]) for row in ERRORS.table("error")} == set(CODES)
    raised = set(re.findall(r'(?:RefusedError|bad_request)\(\s*"(\w+)"', SOURCES))
    assert raised <= set(CODES)


def test_every_route_is_documented(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {each.strip("`") for row in ENDPOINTS.table("address") for each in row[0].split(" and ")} == routes


def test_every_event_is_documented() -> None:
    section = page("logs").section("What is recorded")

    assert set(re.findall(r"`([a-z]+_[a-z_]+)`", section)) == {event.value for event in Event}


def test_every_folder_of_the_app_is_in_the_map() -> None:
    folders = {
        f"`app/{path.name}/`" for path in (ROOT / "app").iterdir() if path.is_dir() and path.name != "__pycache__"
    }

    assert folders <= {row[0] for row in CONTRIBUTING.table("folder")}
