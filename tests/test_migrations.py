"""The rule for migrations: the previous release serves on the schema of this one, and returns to its own.

A migration only adds, and what it adds needs no value; what it replaces is removed one release later.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import inspect

from app.operations.schema_upgrade import MIGRATIONS
from app.storage import schema_revision
from app.storage.database import db
from tests.conftest import build_app, close, run_on

SCRIPTS = sorted(ScriptDirectory(str(MIGRATIONS)).walk_revisions(), key=lambda script: script.revision)
# The first revision that writes down which code it serves.
FIRST_WITH_SERVES = "0003"

Schema = dict[str, dict[str, str]]


@contextmanager
def empty_app(url: str) -> Iterator[Flask]:
    app = build_app(database_url=url)
    with app.app_context():
        yield app
    close(app)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    url = f"sqlite:///{tmp_path}/empty.db"
    if request.param == "postgresql":
        address, name = request.getfixturevalue("postgresql"), f"empty_{secrets.token_hex(4)}"
        run_on(address, f"CREATE DATABASE {name}")
        url = address.format(name=name)
    with empty_app(url) as app:
        yield app


def schema() -> tuple[Schema, Schema]:
    """The columns of each table with their types, and those that every INSERT must name; then the unique columns."""
    found = inspect(db.engine)
    columns, demands = {}, {}
    for table in found.get_table_names():
        if table != "alembic_version":
            columns[table] = {each["name"]: str(each["type"]) for each in found.get_columns(table)}
            demands[table] = {each["name"]: "needs a value" for each in found.get_columns(table) if is_needed(each)}
            for unique in found.get_unique_constraints(table):
                demands[table][str(unique["name"])] = f"unique: {unique['column_names']}"
            for index in found.get_indexes(table):
                if index["unique"]:
                    demands[table][str(index["name"])] = f"unique: {index['column_names']}"
            for key in found.get_foreign_keys(table):
                demands[table][str(key["name"])] = f"refers to {key['referred_table']}"
            for check in found.get_check_constraints(table):
                demands[table][str(check["name"])] = check["sqltext"]
    return columns, demands


def is_needed(column: Any) -> bool:
    return not column["nullable"] and column["default"] is None and column.get("autoincrement") is not True


def removed(before: Schema, after: Schema) -> set[str]:
    """What a migration takes away, or changes the type of: tables, and columns as `table.column`."""
    gone = set(before) - set(after)
    for table in before.keys() & after.keys():
        gone |= {f"{table}.{name}" for name, kind in before[table].items() if after[table].get(name) != kind}
    return gone


@pytest.mark.usefixtures("empty_database")
def test_a_migration_only_adds_what_the_previous_release_need_not_know() -> None:
    schemas = []
    for script in SCRIPTS:
        flask_migrate.upgrade(revision=script.revision)
        schemas.append(schema())

    for script, (before, demanded), (after, demands) in zip(SCRIPTS[1:], schemas, schemas[1:], strict=False):
        # `removes` of a migration: what no release since that revision uses. See docs/upgrading.md.
        allowed: dict[str, str] = getattr(script.module, "removes", {})
        assert removed(before, after) == set(allowed), f"{script.revision} removes"
        assert all(script.module.serves >= since for since in allowed.values()), f"{script.revision} serves too much"
        for table in before.keys() & after.keys():
            assert demands[table].items() <= demanded[table].items(), f"{script.revision} demands of {table}"


@pytest.mark.usefixtures("empty_database")
def test_every_migration_states_which_code_it_serves() -> None:
    stated = [(script.revision, script.module.serves) for script in SCRIPTS if script.revision >= FIRST_WITH_SERVES]

    flask_migrate.upgrade()

    assert [(revision, schema_revision.find_oldest_served(revision)) for revision, _ in stated] == stated
    revisions = [script.revision for script in SCRIPTS]
    for revision, serves in stated:
        assert serves in revisions[: revisions.index(revision)]  # at least the previous release's
    # Once a migration has removed something, no later one can serve what needs it.
    assert [serves for _, serves in stated] == sorted(serves for _, serves in stated)


@pytest.mark.usefixtures("empty_database")
def test_every_migration_can_be_undone() -> None:
    schemas: list[tuple[Schema, Schema]] = []
    for script in SCRIPTS:
        schemas.append(schema())
        flask_migrate.upgrade(revision=script.revision)
    for script, expected in reversed(list(zip(SCRIPTS, schemas, strict=True))):
        newer = schema_revision.find_oldest_served(script.revision)
        assert (newer is None) == (script.revision < FIRST_WITH_SERVES)

        flask_migrate.downgrade(revision=str(script.down_revision or "base"))

        assert schema() == expected, f"after the downgrade of {script.revision}"
        assert schema_revision.find_oldest_served(script.revision) is None
