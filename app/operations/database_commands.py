"""`flask db copy`: everything from this database to another one, beside Flask-Migrate's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import Engine, select

import config
from app.clients.client_row import ClientRow
from app.clock import duration, monotonic, now
from app.copying import database_copy
from app.copying.database_copy import CopyError, Marks
from app.copying.in_use import find_users
from app.copying.moved_tables import count_rows, find_tables, moved_tables
from app.keys import cipher
from app.keys.signing_key import SigningKey
from app.operations.command_group import Outcome, changes, operator_command, wants_json
from app.operations.database_url_argument import read_url, refuse_same, refuse_source
from app.operations.file_argument import FILE
from app.operations.orders_command import orders_command
from app.operations.other_database import other_database, shown_url
from app.operations.schema_upgrade import newest_revision, register_migrations, upgrade
from app.settings import current_settings
from app.storage import schema_revision
from app.storage.database import db

ROWS_PER_SECOND = 20_000  # what a small machine copies
BEFORE = """From {source} to {target}: {rows:,} rows, about {duration} on a small machine.
No server may run on either database from now until the servers are started on the target.
Meanwhile no token is issued, introspected or revoked; an API that checks JWTs itself accepts them."""
AFTER = """Copied and counted in {seconds:.1f} seconds; {source} is unchanged.
Now, on every server: set KEYTURN_DATABASE_URL to the target, leave KEYTURN_SECRET_KEYS as it is, and start it.
Start no server on the old database again: what it issues or revokes, the target does not have."""
MEANWHILE = (
    "While it was copied, the source got {0.events} audit events, {0.opaque_tokens} opaque tokens and "
    "{0.revocations} revocations that the target may lack, and more with each request to a server on the source."
)
OTHER_SECRET = (
    "KEYTURN_SECRET_KEYS of this command does not decrypt the signing key {kid}. It was copied as it is: "
    "the servers need the KEYTURN_SECRET_KEYS that they have now."
)
DEMO_CLIENTS = "The target has demo clients ({}): a production server refuses to start while it has one."
IN_USE = (
    "{}: stop all servers first. To measure how long it takes, copy to a database that you drop afterwards, "
    "with --while-serving."
)


@operator_command("copy", refusals=(CopyError,))
@click.argument("target_url", required=False)
@click.option("--target-file", type=FILE, help="A file with the target's URL.")
@click.option("--while-serving", is_flag=True, help="Copy although servers run; what they write meanwhile is left out.")
@click.option("--dry-run", is_flag=True, help="Check both databases and count the rows; change nothing.")
@changes
def copy(target_url: str | None, target_file: Path | None, while_serving: bool, dry_run: bool) -> Outcome:
    """Copy everything to an empty database: clients, secrets, keys, tokens, revocations, the audit trail, the stock.

    TARGET_URL has the form of KEYTURN_DATABASE_URL. One with a password is better in --target-file or in
    KEYTURN_TARGET_URL, as other users of this machine can read what you type.
    """
    places = {"TARGET_URL": target_url, "--target-file": target_file}
    default = None if target_url or target_file else current_settings().target_url
    url = read_url(places | {"KEYTURN_TARGET_URL": default})
    refuse_source()
    with other_database(url) as target:
        refuse_same(target)
        users = None if while_serving else find_users(db.engine)
        rows, before = describe(url)
        if dry_run:
            refuse_target(target, creates=False)
            text = f"{before}\nNow {users}." if users else before
            return Outcome({"dry_run": True, "rows": rows, "in_use": users, "copied": None}, text, changed=False)
        if users:
            raise CopyError(IN_USE.format(users[:1].upper() + users[1:]))
        refuse_target(target, creates=True)
        if not wants_json():
            click.echo(before)
        return copy_to(target, while_serving)


def describe(url: str) -> tuple[int, str]:
    """How many rows there are to copy, and what that means for the servers."""
    with db.engine.connect() as connection:
        rows = sum(count_rows(connection, moved_tables()).values())
    source, seconds = shown_url(current_settings().database_url), max(1, rows // ROWS_PER_SECOND)
    return rows, BEFORE.format(source=source, target=shown_url(url), rows=rows, duration=duration(seconds))


def copy_to(target: Flask, while_serving: bool) -> Outcome:
    source, start = db.engine, monotonic()
    with target.app_context():
        counts, meanwhile = database_copy.copy(source, db.engine, is_serving=while_serving)
    seconds = monotonic() - start
    warnings = list_warnings(meanwhile)
    rows = [f"{name:16} {count:9,}" for name, count in counts.items()]
    after = AFTER.format(seconds=seconds, source=shown_url(current_settings().database_url))
    document = {"dry_run": False, "copied": counts, "seconds": round(seconds, 3), "warnings": warnings}
    document["meanwhile"] = meanwhile._asdict()
    return Outcome(document, "\n".join([*rows, after, *warnings]))


def refuse_target(target: Flask, *, creates: bool) -> None:
    """Refuse a target that is not empty or has another schema; create its schema if it has none.

    Args:
        target: Its app.
        creates: Whether to create the schema, and an SQLite file with its folder.
    """
    with target.app_context():
        if is_missing(db.engine, creates=creates):
            return
        with db.engine.connect() as connection:
            tables = find_tables(connection)
        found, newest = schema_revision.find_revision(), newest_revision()
        if found is None and tables:
            raise CopyError("The target is not empty: it has tables, and not Keyturn's. Nothing was changed.")
        if found is None and creates:
            upgrade()
        elif found not in (None, newest):
            raise CopyError(f"The schema of the target is {found}, not {newest}: name a new database.")
        if tables:
            with db.engine.connect() as connection:
                database_copy.refuse_content(connection)


def is_missing(engine: Engine, *, creates: bool) -> bool:
    """Whether an SQLite target does not exist and is left so."""
    if engine.dialect.name != "sqlite":
        return False
    file = Path(str(engine.url.database))
    if creates:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return not file.exists() and not creates


def list_warnings(meanwhile: Marks) -> list[str]:
    sentences = [MEANWHILE.format(meanwhile)] if any(meanwhile) else []
    keys = db.session.scalars(select(SigningKey)).all()
    closed = [key for key in keys if key.state(now()) not in ("retired", "gone") and not cipher.opens(key.private_pem)]
    sentences += [OTHER_SECRET.format(kid=key.kid) for key in closed]
    ids = [demo.client_id for demo in config.DEMO_CLIENTS]
    demos = db.session.scalars(select(ClientRow.client_id).where(ClientRow.client_id.in_(ids))).all()
    if demos and current_settings().is_production:
        sentences.append(DEMO_CLIENTS.format(", ".join(demos)))
    return sentences


def register(app: Flask) -> None:
    """Add Flask-Migrate's group `flask db`, with our commands in it."""
    register_migrations(app)
    group: Any = app.cli.commands["db"]
    for command in (copy, orders_command):
        group.add_command(command)
