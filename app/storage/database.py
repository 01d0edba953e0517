"""This file is the database: one handle, one base class for models, one way to write.

Reading needs no ceremony: `db.session` reads. Whoever writes does it inside `transaction()`.
A request for a token, and the check of one, do neither: each is one `Statement`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    NullPool,
    create_engine,
    delete,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase

from app.logs import one_line
from app.storage import fast_statement

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LOCK_SECONDS = 5
# A server that has gone without a word is noticed by TCP, within STATEMENT_SECONDS or so.
WATCHED = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
WRITES = {"keyturn_writes": True}
ONE_WRITER = 6749  # PostgreSQL names advisory locks by number
STEP_ROWS = 500


class Base(DeclarativeBase):
    """Every constraint has a name that both databases agree on: a migration can refer to it."""

    # Moments outgrow 32 bits in 2038; SQLite's integers are wide enough, and only INTEGER makes its row ids.
    type_annotation_map = {int: BigInteger().with_variant(Integer, "sqlite")}  # noqa: RUF012
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(metadata=Base.metadata)


def init_app(app: Flask, text: str) -> None:
    url = make_url(text)
    # hide_parameters: an error of SQLAlchemy otherwise prints the values of its statement.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        settings = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s"
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS, "options": settings, **WATCHED}
    else:
        # Joined here: Flask-SQLAlchemy would make the folder, and fail where nothing may be written.
        url = url.set(database=str(Path(app.instance_path) / (url.database or "")))
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    # A connection that the server dropped is noticed before it is used, and replaced.
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | {"pool_pre_ping": url.drivername != "sqlite"}
    db.init_app(app)
    alone = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", **options)
    fast_statement.init_app(app, alone)
    with app.app_context():
        if url.drivername == "sqlite":
            prepare_sqlite(db.engine)
            prepare_sqlite(alone)


def prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: object) -> None:
        # Python's sqlite3 begins transactions when it thinks best; `begin` below knows better.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # In WAL mode a transaction that reads and then writes fails at once with "database is
        # locked", whatever the time-out: who writes asks for the lock at the beginning, and waits.
        # Who only reads needs no transaction.
        if connection.get_execution_options().get("keyturn_writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def transaction() -> Iterator[None]:
    """Write in `db.session`: committed at the end, rolled back on any exception.

    There is one at a time, on both databases, and what the session read before is read again: a
    decision is made on what is there now, and nobody else makes another one meanwhile.
    """
    db.session.rollback()
    try:
        connection = db.session.connection(execution_options=WRITES)
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(ONE_WRITER)))
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


def delete_in_steps(model: type[Base], condition: ColumnElement[bool], *, steps: int | None = None) -> int:
    """Delete the rows that meet a condition, in transactions so short that nobody waits for one.

    Args:
        model: Of which table.
        condition: Which rows.
        steps: How many transactions to make at the most, of STEP_ROWS rows each; None for as many as it takes.

    Returns:
        How many there were; those that somebody else deletes meanwhile are not counted.
    """
    key = inspect(model).primary_key[0]
    some = select(key).where(condition).limit(STEP_ROWS)
    step = delete(model).where(key.in_(some)).execution_options(synchronize_session=False)
    total = 0
    for _ in count() if steps is None else range(steps):
        begin = time.monotonic()
        with transaction():
            removed = db.session.execute(step).rowcount  # type: ignore[attr-defined]
        total += removed
        if removed < STEP_ROWS:
            break
        time.sleep(time.monotonic() - begin)  # as long for the others as for us
    return total


def cause(error: Exception) -> str:
    """What a database's driver said, in one line; it names hosts and users, never passwords or values."""
    return one_line(str(getattr(error, "orig", None) or error).strip().partition("\n")[0])
