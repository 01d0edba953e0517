"""Which tables are moved, and what is in a database.

The schema is made by the migrations on both sides, so its own tables are not moved, and neither are the counts of
faults, which are forgotten after ten minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import JSON, Connection, MetaData, Table, func, inspect, select

import config
from app.audit.event import AuditEvent, Event
from app.clients.client_row import ClientRow
from app.storage.database import Base
from app.storage.schema_revision import SchemaRevision
from app.tokens.stored_token import IssuedToken, RevokedToken
from app.upkeep.lease import Lease

NOT_MOVED = {"alembic_version", SchemaRevision.__tablename__, "fault_counts"}
# What `flask prepare` writes into a new database.
FIRST_EVENTS = (Event.KEY_CREATED.value, Event.CLIENT_CREATED.value)


def moved_tables() -> Sequence[Table]:
    """The tables that are moved, those that others refer to first; a column of JSON has NULL where it has None."""
    copied = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(copied)
    for table in copied.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
    return [table for table in copied.sorted_tables if table.name not in NOT_MOVED]


def find_tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def count_rows(connection: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """How many rows each table has, by its name."""
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0  # one count after the other
        for table in tables
    }


def find_content(connection: Connection) -> str | None:
    """What a database has beyond what `flask prepare` alone creates, in words; None if it has nothing more.

    The first keys and the demo clients do not count: no server has used them if the trail has no other event.
    """
    demos = [demo.client_id for demo in config.DEMO_CLIENTS]
    found = {
        "clients": select(func.count(ClientRow.id)).where(ClientRow.client_id.not_in(demos)),
        "opaque tokens": select(func.count(IssuedToken.digest)),
        "revocations": select(func.count(RevokedToken.jti)),
        "audit events": select(func.count(AuditEvent.id)).where(AuditEvent.event.not_in(FIRST_EVENTS)),
        "rounds of upkeep": select(func.count(Lease.id)).where(Lease.number > 0),
    }
    counts = {what: connection.scalar(query) for what, query in found.items()}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or None
