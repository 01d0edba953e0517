"""This file is a statement that every token needs: SQLAlchemy writes it, and the driver itself runs it.

Through SQLAlchemy a statement costs several times what the database needs for it. Each thread keeps one
connection, on which every statement stands for itself: without a pool, a transaction or a ping, which on
PostgreSQL are round trips.
"""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from flask import Flask
from sqlalchemy import Engine, Insert, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from app.per_app import PerApp


class Statement:
    """A SELECT or an INSERT whose values and columns need no conversion: numbers, text and bytes.

    Built once, when the module is imported. Its bound parameters are given to `run` by their names.
    """

    def __init__(self, written: Select[*tuple[Any, ...]] | Insert) -> None:
        self.written = written
        self.texts: dict[str, str] = {}
        names = [column.name for column in written.selected_columns] if isinstance(written, Select) else []
        self.found: Any = namedtuple("Found", names)  # type: ignore[misc]

    def run(self, **values: Any) -> Sequence[Any]:
        """Run it: what it writes is there when this returns.

        Returns:
            The rows that it finds, with their columns by name; none if it writes.

        Raises:
            DBAPIError: If the database does not do it.
        """
        return [self.found._make(row) for row in current_connections().execute(self, values)]

    def text(self, engine: Engine) -> str:
        """The SQL for this database; both drivers take parameters by name."""
        name = engine.dialect.name
        if name not in self.texts:
            dialect: Any = type(engine.dialect)
            style = "named" if name == "sqlite" else "pyformat"
            self.texts[name] = str(self.written.compile(dialect=dialect(paramstyle=style)))
        return self.texts[name]


class Connections:
    """One per app: a connection for each thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept = threading.local()

    def execute(self, statement: Statement, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        driver: Any = self._engine.dialect.loaded_dbapi
        text = statement.text(self._engine)
        try:
            try:
                return self._rows(text, values)
            except driver.Error as error:
                # The server had dropped the connection since its last statement: to read again does no harm.
                if not self._forget(error) or isinstance(statement.written, Insert):
                    raise
                return self._rows(text, values)
        except driver.Error as error:
            raise DBAPIError(None, None, error) from error

    def _forget(self, error: Any) -> bool:
        """Let the next statement have a new connection, whatever is wrong with this one: was it dropped?"""
        kept: PoolProxiedConnection | None = self._kept.__dict__.pop("pooled", None)
        if kept is None:
            return False
        driver_connection: Any = kept.driver_connection
        dropped = self._engine.dialect.is_disconnect(error, driver_connection, None)
        kept.invalidate()
        return dropped

    def _rows(self, text: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        kept = self._kept
        if "pooled" not in kept.__dict__:
            kept.pooled = self._engine.raw_connection()
            kept.execute = kept.pooled.driver_connection.execute
        cursor = kept.execute(text, values)
        found: Sequence[Sequence[Any]] = cursor.fetchall() if cursor.description else ()
        return found


current_connections = PerApp[Connections]("connections")


def init_app(app: Flask, engine: Engine) -> None:
    current_connections.set(app, Connections(engine))
