"""`flask restore`: a backup becomes the SQLite database again, with what was ordered since then.

All of it is done in a copy of the backup beside the database, which takes its place at the end, in one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import Flask
from sqlalchemy import URL, Connection, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from app.audit import trail
from app.audit.event import AuditEvent, Event
from app.clients import all_tokens
from app.clock import LEEWAY_SECONDS, now
from app.copying import carrying_over, moved_tables, orders, sqlite_file
from app.copying.in_use import InUseError, hold_without_log
from app.copying.sqlite_file import BackupError
from app.keys import cipher
from app.keys.signing_key import SigningKey
from app.operations.command_group import Outcome, changes, operator_command
from app.operations.file_argument import FILE
from app.operations.one_at_a_time import one_at_a_time
from app.operations.other_database import other_database, sqlite_path
from app.operations.prepare import ONE_PREPARES
from app.operations.restore_report import CHOOSE, Restored
from app.operations.schema_upgrade import known_revisions, upgrade
from app.storage.database import db, transaction
from app.storage.failures import cause
from app.upkeep.lease import Lease

WITH_POSTGRESQL = """The database is PostgreSQL's, which has its own tools. Restore the dump to a new database:
  createdb NEW && pg_restore --no-owner --exit-on-error --dbname=NEW {file}
Then set KEYTURN_DATABASE_URL to it. docs/backup.md says what it brings back."""
NEWER = "{file} was written by a newer Keyturn (its schema is {revision}): install that release."
IN_USE = "{}: stop all servers first. Nothing was changed."
OCCUPIED = (
    "The database {database} is not empty: it has {content}. Nothing was changed. "
    "With --replace it is renamed, and the backup takes its place."
)
MISSING = "there is no present database"
EMPTY = "the present database is new"
CANNOT_KEEP = "--keep-orders is not possible, because the present database cannot be compared: {why}."


@operator_command("restore", refusals=(BackupError, InUseError))
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Rename a database that is not empty, and put the backup in its place.")
@click.option("--keep-orders", is_flag=True, help="Carry over what was revoked, ended, disabled, deleted or withdrawn.")
@click.option("--drop-orders", is_flag=True, help="Let what was revoked, ended, disabled or withdrawn work again.")
@click.option("--revoke-tokens", is_flag=True, help="Also revoke all tokens issued to any client so far.")
@click.option("--dry-run", is_flag=True, help="Check the backup and say what it would bring back; change nothing.")
@changes
def restore(
    file: Path,
    replace: bool,
    keep_orders: bool,
    drop_orders: bool,
    revoke_tokens: bool,
    dry_run: bool,
) -> Outcome:
    """Put a backup of `flask backup` in the place of the SQLite database. All servers must be stopped.

    It names what was revoked, ended, disabled, deleted or withdrawn since the backup, and would work again.
    """
    if keep_orders and drop_orders:
        raise click.UsageError("--keep-orders and --drop-orders exclude each other.")
    if db.engine.dialect.name == "postgresql":
        raise BackupError(WITH_POSTGRESQL.format(file=file))
    found = Restored(file=file, revision=sqlite_file.check(file), revokes=revoke_tokens)
    if found.revision not in known_revisions():
        raise BackupError(NEWER.format(file=file, revision=found.revision))
    with (
        one_at_a_time("prepare", number=ONE_PREPARES),
        sqlite_file.partial_copy(file, database := sqlite_path(db.engine.url)) as copy,
    ):
        with other_database(URL.create("sqlite", database=str(copy)).render_as_string()) as restored:
            compare(restored, found, database)
            if not dry_run:
                refuse(found, database, replace=replace, keeps=keep_orders, drops=drop_orders)
                with held(database, found):
                    pass  # before an event says that it is restored
                adapt(restored, found, keeps=keep_orders)
        if not dry_run:
            with held(database, found):
                sqlite_file.put_in_place(copy, database, found.aside)
            found.is_in_place = True
    return Outcome(found.document(), "\n".join(found.sentences()), changed=not dry_run)


def compare(restored: Flask, found: Restored, database: Path) -> None:
    """Find what the backup would bring back, and what it lacks, by the present database if that can be read."""
    moment = now() - LEEWAY_SECONDS
    with restored.app_context():
        upgrade()
        found.last_event_at = db.session.scalar(select(func.max(AuditEvent.at)))
        found.closed_kid = find_closed_key()
        backup = orders.read_contents(db.session.connection(), moment)
        db.session.remove()
    if not database.exists():
        found.why_unknown = MISSING
        return
    try:
        with db.engine.connect() as connection:
            if not moved_tables.find_tables(connection):
                found.why_unknown = MISSING
                return
            found.content = moved_tables.find_content(connection)
            present = orders.read_contents(connection, moment)
    except SQLAlchemyError as error:
        found.why_unknown = cause(error)
        found.content = f"what cannot be read ({found.why_unknown})"
        return
    if found.content:
        found.orders, found.losses = orders.find_orders(present, backup), orders.find_losses(present, backup)
    else:
        found.why_unknown = EMPTY


def find_closed_key() -> str | None:
    """The kid of the key that signs, if none of this command's secret keys decrypts it."""
    active = [key for key in db.session.scalars(select(SigningKey)) if key.state(now()) == "active"]
    return next((key.kid for key in active if not cipher.opens(key.private_pem)), None)


def refuse(found: Restored, database: Path, *, replace: bool, keeps: bool, drops: bool) -> None:
    """Refuse what would lose a database, or bring back what was ended without a word of the operator."""
    if found.content and not replace:
        occupied = OCCUPIED.format(database=database, content=found.content)
        raise BackupError("\n".join([*found.comparison(), occupied]))
    if keeps and found.orders is None:
        raise BackupError(CANNOT_KEEP.format(why=found.why_unknown))
    if found.orders and found.orders.as_dict() and not keeps and not drops:
        raise BackupError("\n".join([*found.comparison(), CHOOSE]))
    if found.content:
        stamp = datetime.fromtimestamp(now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        found.aside = database.with_name(f"{database.name}.before-restore-{stamp}")
    found.keeps = keeps


def adapt(restored: Flask, found: Restored, *, keeps: bool) -> None:
    """Make the copy of the backup what the servers get."""
    with ExitStack() as stack:
        present: Connection | None = None
        if found.orders is not None:
            present = stack.enter_context(db.engine.connect())
        newest = carrying_over.key_generation(present) if present else 0
        stack.enter_context(restored.app_context())
        with transaction():
            connection = db.session.connection()
            if keeps and present:
                carrying_over.carry_over(present, connection, now())
            carrying_over.renew_generation(connection, newest)
            db.session.execute(update(Lease).values(holder=None, expires_at=0))
            what = "kept" if keeps else "unknown" if present is None else "not kept"
            trail.record(Event.DATABASE_RESTORED, reason=f"from {found.file.name}; orders given since: {what}")
        if found.revokes:
            all_tokens.revoke_all()
        found.closed_kid = find_closed_key()
        db.session.remove()


@contextmanager
def held(database: Path, found: Restored) -> Iterator[None]:
    """No process has the database open meanwhile; one that is damaged cannot be used by any."""
    db.session.remove()
    db.engine.dispose()
    with ExitStack() as stack:
        try:
            if database.exists():
                stack.enter_context(hold_without_log(database))
        except InUseError as error:
            raise InUseError(IN_USE.format(str(error)[:1].upper() + str(error)[1:])) from error
        except OSError:
            if found.orders is not None:
                raise
        yield
