"""The copy of a whole database to another one, SQLite or PostgreSQL, in either direction.

The source is read in one snapshot and is never changed. The target is filled in one transaction: a copy that is
interrupted leaves it as it was, and can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import randbits
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Json
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    RowMapping,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from app.audit.event import AuditEvent
from app.copying.moved_tables import count_rows, find_content, moved_tables
from app.storage.database import WRITES, take_turn
from app.storage.postgresql import BoundedConnection, without_time_outs
from app.tokens.stored_token import IssuedToken, RevokedToken
from app.upkeep.lease import Lease

BATCH_ROWS = 2_000
SNAPSHOT = {
    "sqlite": "BEGIN",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0",
}


class CopyError(Exception):
    """A copy that is refused; nothing was changed, and the text says why."""


class Marks(NamedTuple):
    """What grows in a database while a server serves: each change of state also has its audit event."""

    events: int
    opaque_tokens: int
    revocations: int


def read_marks(connection: Connection) -> Marks:
    newest, opaque = select(func.max(AuditEvent.id)), select(func.count(IssuedToken.digest))
    revoked = select(func.count(RevokedToken.jti))
    return Marks(*(connection.scalar(query) or 0 for query in (newest, opaque, revoked)))


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that reads the database as it is now, whatever is written meanwhile."""
    with engine.connect() as connection:
        connection.exec_driver_sql(SNAPSHOT[engine.dialect.name])
        driver_connection = connection.connection.driver_connection
        if isinstance(driver_connection, BoundedConnection):
            driver_connection.response_seconds = None
        try:
            yield connection
        finally:
            connection.exec_driver_sql("ROLLBACK")
            connection.invalidate()


def copy(
    source: Engine, target: Engine, *, is_serving: bool, on_progress: Callable[[str, int], None] = lambda *_: None
) -> tuple[dict[str, int], Marks]:
    """Copy everything from one database to another, whose schema is the same.

    Args:
        source: The database that is read.
        target: A database without content (`find_content`); what `flask prepare` put into it is replaced.
        is_serving: Whether the source may be written meanwhile.
        on_progress: Called with a table and how many of its rows are copied, after each batch.

    Returns:
        How many rows each table has, counted in the target; and what was added to the source meanwhile.

    Raises:
        CopyError: If the target has content, or the counts differ, or a server wrote to the source and
            `is_serving` is False. The target is then as it was.
    """
    tables = moved_tables()
    writer = target.connect().execution_options(**WRITES)
    with writer as connection, connection.begin(), without_time_outs(connection), snapshot(source) as reader:
        take_turn(connection)
        refuse_content(connection)
        before = read_marks(reader)
        for table in reversed(tables):
            connection.execute(delete(table))
        counts = {table.name: copy_table(reader, connection, table, on_progress) for table in tables}
        connection.execute(update(Lease).values(holder=None, expires_at=0))  # no server of the target has it
        set_sequences(connection, tables)
        refuse_difference(counts, count_rows(connection, tables))
        meanwhile = added(source, before)
        if any(meanwhile) and not is_serving:
            raise CopyError("A server wrote to the source during the copy, which was undone: stop all servers.")
    return counts, meanwhile


def refuse_content(connection: Connection) -> None:
    if content := find_content(connection):
        raise CopyError(f"The target is not empty: it has {content}. Nothing was changed; name a new database.")


def copy_table(reader: Connection, writer: Connection, table: Table, on_progress: Callable[[str, int], None]) -> int:
    query = select(table).order_by(*table.primary_key.columns)
    count = 0
    with reader.execute(query, execution_options={"yield_per": BATCH_ROWS}) as result:
        for rows in result.mappings().partitions():
            write_rows(writer, table, rows)
            count += len(rows)
            on_progress(table.name, count)
    return count


def write_rows(connection: Connection, table: Table, rows: Sequence[RowMapping]) -> None:
    """Insert rows; PostgreSQL reads them as a stream, which takes a quarter of the time of statements."""
    driver_connection: Any = connection.connection.driver_connection
    if not isinstance(driver_connection, BoundedConnection):
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    columns = [sql.Identifier(column.name) for column in table.columns]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), sql.SQL(", ").join(columns))
    is_json = [isinstance(column.type, JSON) for column in table.columns]
    with driver_connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            values = zip(row.values(), is_json, strict=True)
            stream.write_row([Json(value) if json and value is not None else value for value, json in values])


def set_sequences(connection: Connection, tables: Sequence[Table]) -> None:
    """Let the ids of PostgreSQL continue after the newest; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        if (column := table.autoincrement_column) is not None:
            newest = connection.scalar(select(func.max(column)))
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, newest or 1, newest is not None)))


def refuse_difference(counts: dict[str, int], found: dict[str, int]) -> None:
    if different := [name for name in counts if counts[name] != found[name]]:
        raise CopyError(f"The counts of {', '.join(different)} differ: the copy was undone.")


def added(source: Engine, before: Marks) -> Marks:
    """What was added since these marks."""
    with source.connect() as connection:
        after = read_marks(connection)
    return Marks(*(max(0, new - old) for new, old in zip(after, before, strict=True)))


def is_same_database(source: Engine, target: Engine) -> bool:
    """Whether both are one database, whatever their URLs: PostgreSQL's advisory locks belong to a database."""
    if source.dialect.name != "postgresql" or target.dialect.name != "postgresql":
        return False
    lock = text("SELECT pg_try_advisory_xact_lock(:number)").bindparams(number=randbits(62))
    with (
        source.connect().execution_options(**WRITES) as one,
        target.connect().execution_options(**WRITES) as other,
    ):
        one.execute(lock)
        return not other.scalar(lock)
