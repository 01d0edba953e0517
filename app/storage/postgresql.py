"""PostgreSQL, also behind PgBouncer in transaction mode: nothing here needs a session of its own.

- Connections are in AUTOCOMMIT: a reader needs no transaction, and no connection is left idle in one. A writer
  begins one, with its time-outs (`SET LOCAL`), in one round trip.
- No prepared statements, no session lock, no start-up parameter that PgBouncer refuses.
- Every wait for the server is bounded on this side too: a frozen server still acknowledges packets.

`docs/postgresql.md` says what an operator sees of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection

from app.storage.waiting import on_the_network, patience

CONNECT_SECONDS = 5
# Set at the beginning of a transaction. A writer that freezes loses the lock before those that wait for it
# give up.
IDLE_SECONDS = 4
LOCK_SECONDS = 8
STATEMENT_SECONDS = 10
# On this side, for a server that does not respond: a little longer, so that its own message can arrive.
RESPONSE_SECONDS = 12
# For the statements of `fast_statement`, which find or insert one row by its key.
FAST_RESPONSE_SECONDS = 5
# TCP notices a server that has disappeared.
WATCHED = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
CONNECT_ARGUMENTS = {"connect_timeout": CONNECT_SECONDS, "autocommit": True, "prepare_threshold": None, **WATCHED}
BEGIN = (
    f"BEGIN; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
)
# For whole sessions, so that only the role or the database can set them: PgBouncer shares sessions.
ADVISED = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "10s",
}


RV = TypeVar("RV")


class NoResponseError(psycopg.OperationalError):
    """The server has not responded in time; the connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which every wait is bounded, and so is the number of threads that wait."""

    response_seconds: float | None = RESPONSE_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        on_the_network.enter(always=self.is_in_transaction())
        seconds = patience(self.response_seconds)
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()  # a late response would be read as that of the next statement
            raise NoResponseError(f"PostgreSQL has not responded within {seconds:g} seconds") from error
        finally:
            on_the_network.leave()

    def commit(self) -> None:
        if self.is_in_transaction():  # otherwise there is nothing to wait for, and no place to take
            super().commit()

    def rollback(self) -> None:
        if self.is_in_transaction():
            super().rollback()

    def is_in_transaction(self) -> bool:
        return self.pgconn.transaction_status != TransactionStatus.IDLE


def is_closed(connection: Any) -> bool:
    """Whether the server has closed an idle connection, found without a round trip."""
    try:
        for _ in range(2):  # the first may read the server's last message, and only the second that it hung up
            connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return False


def configure(engine: Engine, *, response_seconds: float = RESPONSE_SECONDS) -> None:
    @event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, arguments: list[Any], named: dict[str, Any]) -> DBAPIConnection:
        on_the_network.enter()
        try:
            named["connect_timeout"] = int(patience(CONNECT_SECONDS) or CONNECT_SECONDS)
            connection: Any = BoundedConnection.connect(*arguments, **named)
        finally:
            on_the_network.leave()
        connection.response_seconds = response_seconds
        return connection  # type: ignore[no-any-return]

    @event.listens_for(engine, "checkout")
    def replace_if_closed(connection: DBAPIConnection, *_: object) -> None:
        if is_closed(connection):
            raise exc.DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("keyturn_writes"):
            connection.exec_driver_sql(BEGIN)


@contextmanager
def without_time_outs(connection: Connection) -> Iterator[None]:
    """Lift the time-outs of a transaction on PostgreSQL, for a migration."""
    driver_connection: Any = connection.connection.driver_connection
    if not isinstance(driver_connection, BoundedConnection):
        yield
        return
    connection.exec_driver_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '10min'"
    )
    driver_connection.response_seconds = None
    try:
        yield
    finally:
        driver_connection.response_seconds = RESPONSE_SECONDS


def missing_time_outs(connection: Connection) -> list[str]:
    """The `ALTER ROLE` statements for the ADVISED time-outs that this role lacks."""
    role = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar_one()
    shown = ", ".join(f"current_setting('{name}', true)" for name in ADVISED)
    found = connection.exec_driver_sql(f"SELECT {shown}").one()
    return [
        f"ALTER ROLE {role} SET {name} = '{value}';"
        for (name, value), now in zip(ADVISED.items(), found, strict=True)
        if now == "0"
    ]
