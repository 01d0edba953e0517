"""This file is the database: one handle, one base class for models, one way to write.

Reading needs no ceremony: `db.session` reads. Whoever writes does it inside `transaction()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Connection, Engine, Integer, MetaData, event, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LOCK_SECONDS = 5
# A server that has gone without a word is noticed by TCP, within STATEMENT_SECONDS or so.
WATCHED = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
WRITES = {"keyturn_writes": True}
ONE_WRITER = 6749  # PostgreSQL names advisory locks by number


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
    options: dict[str, object] = {"hide_parameters": True}
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        settings = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s"
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS, "options": settings, **WATCHED}
        # A connection that the server dropped is noticed before it is used, and replaced.
        options["pool_pre_ping"] = True
    else:
        # Joined here: Flask-SQLAlchemy would make the folder, and fail where nothing may be written.
        url = url.set(database=str(Path(app.instance_path) / (url.database or "")))
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            prepare_sqlite(db.engine)


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
        writes = connection.get_execution_options().get("keyturn_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
