"""`flask backup`: a checked copy of the SQLite database, while servers serve."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from sqlalchemy import make_url

from app.copying import sqlite_file
from app.copying.sqlite_file import BackupError
from app.operations.command_group import Outcome, changes, operator_command
from app.operations.other_database import sqlite_path
from app.settings import current_settings
from app.storage.database import db

WITH_POSTGRESQL = """The database is PostgreSQL's, which has its own tools: they copy it while servers serve.
  pg_dump --format=custom --file={file} --dbname={url}
docs/backup.md says how to restore it."""
DONE = (
    "{file} has the whole database: {size:,} bytes, schema {revision}, checked.\n"
    "KEYTURN_SECRET_KEYS is not in it, and without it the signing keys cannot be decrypted: store it elsewhere."
)


@operator_command("backup", refusals=(BackupError,))
@click.argument("file", type=click.Path(path_type=Path))
@changes
def backup(file: Path) -> Outcome:
    """Copy the SQLite database to FILE, which must not exist, while servers serve.

    For PostgreSQL it prints the command of pg_dump, and ends with exit code 1.
    """
    if db.engine.dialect.name == "postgresql":
        # Without the password, which pg_dump reads from ~/.pgpass or prompts for: others can see what is typed.
        url = make_url(current_settings().database_url)._replace(password=None).render_as_string()
        raise BackupError(WITH_POSTGRESQL.format(file=shlex.quote(str(file)), url=shlex.quote(url)))
    if not file.parent.is_dir():
        raise click.UsageError(f"There is no folder {file.parent}.")
    revision = sqlite_file.back_up(sqlite_path(db.engine.url), file)
    size = file.stat().st_size
    text = DONE.format(file=file, size=size, revision=revision)
    return Outcome({"file": str(file), "bytes": size, "revision": revision}, text)
