"""The database's clock: the one that all machines share. SQLite has none of its own, and uses this machine's."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, cast, extract, func, literal, select

from app.clock import now
from app.storage.database import db


def current_moment() -> ColumnElement[int]:
    """The current time in whole seconds since the epoch, for use in a statement."""
    if db.engine.dialect.name == "postgresql":
        return cast(func.floor(extract("epoch", func.clock_timestamp())), BigInteger)
    return literal(now())


def read() -> int:
    """The current time in whole seconds since the epoch.

    Raises:
        SQLAlchemyError: If the database does not respond.
    """
    return int(db.session.scalar(select(current_moment())) or 0)


def seconds_ahead() -> int:
    """By how many seconds this machine's clock is ahead of the database's; below 0 if it is behind.

    Raises:
        SQLAlchemyError: If the database does not respond.
    """
    return now() - read() if db.engine.dialect.name == "postgresql" else 0
