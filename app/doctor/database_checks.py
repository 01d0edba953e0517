"""The checks of the database: that it responds, its schema, its connections, what is between, and its time-outs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from app.doctor.finding import Finding, fault, note, warning
from app.doctor.installation import Installation, is_postgresql, sqlite_file
from app.health import conditions
from app.storage import schema_revision
from app.storage.database import WRITES, db
from app.storage.failures import cause, meaning
from app.storage.postgresql import missing_time_outs
from app.storage.reserved import CONNECTIONS

FOR_OTHERS = 10  # commands, backups and PostgreSQL itself, as in docs/deploy.md
LIMITS = text("""
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
             - coalesce(current_setting('reserved_connections', true), '0')::int AS most,
           (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS of_role,
           (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS of_database,
           (SELECT count(*) FROM pg_stat_activity WHERE usename IS NOT NULL) AS used
""")


def check_database(installation: Installation) -> Iterator[Finding]:
    """It responds. A SQLite file that is missing is not created."""
    if not is_postgresql() and not sqlite_file().is_file():
        yield fault(
            f"There is no database: {sqlite_file()} does not exist.",
            "Run `flask prepare`, or correct KEYTURN_DATABASE_URL. Check that this user may read the folder.",
        )
        return
    try:
        db.session.execute(text("SELECT 1"))
        installation.has_database = True
    except SQLAlchemyError as error:
        yield fault(
            f"The database does not respond: {cause(error)}.",
            meaning(error)
            or "Start it, or correct KEYTURN_DATABASE_URL; docs/postgresql.md says what fails meanwhile.",
        )


def check_schema(installation: Installation) -> Iterator[Finding]:
    if sentence := conditions.schema():
        what, _, remedy = sentence.rpartition(": ")
        yield fault(f"{what}.", f"{remedy[:1].upper()}{remedy[1:]}")
        return
    installation.has_schema = True
    found, needed = schema_revision.find_revision(), conditions.needed_revision()
    if found != needed:
        yield warning(
            f"The schema of the database is {found}, of a newer release, which still serves this one ({needed}).",
            "Install the newer release again, once nothing is in the way: docs/upgrading.md.",
        )


def check_connections(installation: Installation) -> Iterator[Finding]:
    """The connections that the servers may open, against those that PostgreSQL allows; behind PgBouncer not."""
    if not is_postgresql() or is_pooled():
        return
    row: Any = db.session.execute(LIMITS).one()
    most = min(limit for limit in (row.most, row.of_role, row.of_database) if limit >= 0)
    if row.used >= most - CONNECTIONS:
        yield fault(
            f"PostgreSQL has {row.used} of {most} connections open: the next ones are refused.",
            "End those that are not Keyturn's (`SELECT * FROM pg_stat_activity`), or raise max_connections.",
        )
    yield from of_need(installation, most)
    yield note(f"{row.used} of {most} connections to PostgreSQL are open.")


def of_need(installation: Installation, most: int) -> Iterator[Finding]:
    """What the servers that were seen may open at most: two for each thread, and those that are reserved."""
    threads = {each.host: each.threads for each in installation.visit.sightings}
    servers = installation.visit.servers()
    need = sum(workers * (2 * threads[host] + CONNECTIONS) for host, workers in servers.items())
    if need + FOR_OTHERS > most:
        yield warning(
            f"{servers.total()} workers ({', '.join(sorted(servers))}) may open {need} connections, {FOR_OTHERS} are "
            f"for others, and PostgreSQL allows {most}.",
            f"Raise max_connections above {need + FOR_OTHERS}, or use PgBouncer: docs/postgresql.md.",
        )


def is_pooled() -> bool:
    """Whether PgBouncer is between: the process that responds is not the one that accepted the connection."""
    with db.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        return bool(connection.scalar(text("SELECT pg_backend_pid()")) != driver.pgconn.backend_pid)


def check_pooler(_: Installation) -> Iterator[Finding]:
    """PgBouncer may share sessions or transactions, but not statements."""
    if not is_postgresql() or not is_pooled():
        return
    try:
        with db.engine.connect().execution_options(**WRITES) as connection:
            connection.execute(select(1))
            connection.rollback()
    except SQLAlchemyError as error:
        yield fault(
            f"PgBouncer lets no transaction pass: {cause(error)}.",
            "Set its pool_mode to transaction or session: docs/postgresql.md.",
        )
    yield note("PgBouncer is between Keyturn and PostgreSQL.")


def check_time_outs(_: Installation) -> Iterator[Finding]:
    if not is_postgresql():
        return
    with db.engine.connect() as connection:
        missing = missing_time_outs(connection)
    if missing:
        yield warning(
            "PostgreSQL never ends a forgotten session of this role, or a statement of one.",
            f"Run in PostgreSQL: {' '.join(missing)}",
        )
