"""The database: one handle, one base class for models, one way to write.

Reads use `db.session` as it is; every write is inside `transaction()`. A token request, and the check of
a token, use neither: each is one `Statement`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    NullPool,
    create_engine,
    delete,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.orm import DeclarativeBase

from app.storage import fast_statement, postgresql, reserved, sqlite
from app.storage.waiting import writers

WRITES = {"keyturn_writes": True}  # execution options: a transaction begins, with its time-outs
ONE_WRITER = 6749  # PostgreSQL names advisory locks by number
POOL_SECONDS = 5
STEP_ROWS = 500

BeginStep = Callable[[], None]


class Base(DeclarativeBase):
    """Every constraint has the same name on both databases, so that a migration can refer to it."""

    # Times outgrow 32 bits in 2038. SQLite's integers are wide enough, and its row ids need the type INTEGER.
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
        # Looking up hstore, which no table of ours has, costs each process a transaction.
        options |= {"connect_args": dict(postgresql.CONNECT_ARGUMENTS), "use_native_hstore": False}
    else:
        # Joined here: Flask-SQLAlchemy would create the folder, and fail where nothing may be written.
        url = url.set(database=str(Path(app.instance_path) / (url.database or "")))
        options["connect_args"] = dict(sqlite.CONNECT_ARGUMENTS)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | {"pool_timeout": POOL_SECONDS}
    db.init_app(app)
    alone = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", **options)
    held = reserved.init_app(app, url, options)
    with app.app_context():
        if url.drivername == "sqlite":
            for engine in (db.engine, held, alone):
                sqlite.configure(engine)
        else:
            postgresql.configure(db.engine)
            postgresql.configure(held)
            postgresql.configure(alone, response_seconds=postgresql.FAST_RESPONSE_SECONDS)
    fast_statement.init_app(app, alone)


@contextmanager
def transaction() -> Iterator[None]:
    """Write in `db.session`: committed at the end, rolled back on any exception.

    There is one at a time, on both databases, and what the session read before is read again: a
    decision is based on the current rows, and no other writer changes them meanwhile.

    Raises:
        TooManyWaitError: If half of this process's threads wait for other writers already.
    """
    db.session.rollback()
    with writers:
        try:
            take_turn(db.session.connection(execution_options=WRITES))
            yield
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise


def take_turn(connection: Connection) -> None:
    """Begin a transaction that writes once no other one is open, until it ends.

    SQLite does so by itself (`BEGIN IMMEDIATE`).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(ONE_WRITER)))


def delete_in_steps(model: type[Base], condition: ColumnElement[bool], *, begin_step: BeginStep = lambda: None) -> int:
    """Delete the rows that meet a condition, in transactions of STEP_ROWS rows between which others can write.

    Args:
        model: The table.
        condition: Which rows.
        begin_step: Called first in each transaction; what it raises ends the deletion.

    Returns:
        How many rows were deleted; not those that another process deleted meanwhile.
    """
    key = inspect(model).primary_key[0]
    some = select(key).where(condition).limit(STEP_ROWS)
    step = delete(model).where(key.in_(some)).execution_options(synchronize_session=False)
    total = 0
    while True:
        begin = time.monotonic()
        with transaction():
            begin_step()
            removed: int = db.session.execute(step).rowcount  # type: ignore[attr-defined]
        total += removed
        if removed < STEP_ROWS:
            return total
        time.sleep(time.monotonic() - begin)  # as long as the step took, so that others get the lock
