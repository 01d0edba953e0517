"""An SQLite database as one file: a consistent copy while servers write, its check, and how it takes another's place.

A copy is complete or it is not there: it is written under another name that ends with `.partial`, checked and synced,
and then named. A `.partial` file is what a copy that was killed left behind.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SIDES = ("-wal", "-shm", "-journal")


class BackupError(Exception):
    """A file that is refused; nothing was changed, and the text says why."""


@contextmanager
def readable(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads.

    Raises:
        OSError: If SQLite cannot read or copy the database.
    """
    # Without a write-ahead log nobody writes the file now, and `immutable` creates none beside it.
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)) as opened:
            yield opened
    except sqlite3.Error as error:
        raise OSError(f"{file}: {error}") from error


@contextmanager
def partial_copy(source: Path, target: Path) -> Iterator[Path]:
    """A consistent and compact copy of a database, beside the target and not yet under its name.

    Only its owner can read it. It is removed at the end unless it was named meanwhile.

    Args:
        source: The database; servers may write it.
        target: What the copy will be named.
    """
    opened, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    os.close(opened)
    copy = Path(name)
    try:
        # Not the backup API: that starts over when another process writes, and copies what was deleted.
        with readable(source) as connection:
            connection.execute("VACUUM INTO ?", (name,))
        yield copy
    finally:
        for side in ("", *SIDES):
            Path(f"{name}{side}").unlink(missing_ok=True)


def check(file: Path) -> str:
    """Check that a file is an undamaged database of Keyturn.

    Returns:
        The revision of its schema.

    Raises:
        BackupError: If it is not; the text says why.
    """
    if not file.is_file():
        raise BackupError(f"{file} is not a file.")
    try:
        with readable(file) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"alembic_version", "clients", "signing_keys"} <= tables:
                raise BackupError(f"{file} is not a database of Keyturn.")
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except OSError as error:
        raise BackupError(f"{error}. It is no SQLite database, or it is damaged.") from error
    if found != ("ok",) or revision is None:
        raise BackupError(f"{file} is damaged: {found[0]}.")
    return str(revision[0])


def back_up(database: Path, file: Path) -> str:
    """Write a checked copy of a database to a file that does not exist yet.

    Returns:
        The revision of its schema.

    Raises:
        BackupError: If the file exists, or the database is damaged.
        OSError: If it cannot be read or written, as when the disk is full.
    """
    if not database.exists():
        raise BackupError(f"There is no database {database}: was `flask prepare` run?")
    refuse_existing(file)
    with partial_copy(database, file) as copy:
        revision = check(copy)
        sync(copy)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # its name is ours now
        copy.rename(file)
        sync(file.parent)
    return revision


def refuse_existing(file: Path) -> None:
    if os.path.lexists(file):
        raise BackupError(f"{file} exists already, and is not overwritten.")


def put_in_place(copy: Path, database: Path, aside: Path | None) -> None:
    """Let a copy take a database's place in one step, in which no process may have the database open.

    Args:
        copy: A database beside it, in one file.
        database: The place.
        aside: What the database that is there now is named from then on; None if there is none.
    """
    owner = (database if aside else database.parent).stat()
    if os.geteuid() == 0:  # or the servers, which are not root, could not read it
        os.chown(copy, owner.st_uid, owner.st_gid)
    sync(copy)
    if aside:
        os.link(database, aside)
        for side in SIDES:  # of a damaged database: SQLite would merge its write-ahead log into the new one
            if (log := Path(f"{database}{side}")).exists():
                log.rename(f"{aside}{side}")
    copy.rename(database)
    sync(database.parent)


def sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
