"""A statement that every token needs: SQLAlchemy compiles it, and the driver itself runs it.

SQLAlchemy Core at its best (one connection in AUTOCOMMIT per thread, compiled statements from its cache) takes
13 µs more on SQLite, 21 instead of 8, with 42 more Python calls; on PostgreSQL some 40 µs more, 100 instead of 60,
with 43 more calls (`python -m benchmarks.statements`). In process a guarded request takes 155 µs, a token 510: on
SQLite they would take a twelfth and a fortieth more.
"""

from __future__ import annotations

import threading
import weakref
from collections import namedtuple
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import Flask
from sqlalchemy import Boolean, Engine, Enum, Insert, Integer, LargeBinary, Select, String
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from app.per_app import PerApp
from app.storage import postgresql
from app.storage.waiting import writers

# What both drivers accept and return unconverted: numbers, text, bytes, and booleans, which SQLite has as 0 and 1.
UNCONVERTED = (Integer, String, LargeBinary, Boolean)


class Statement:
    """A SELECT or an INSERT whose values and columns need no conversion: numbers, text and bytes.

    Built once, when the module is imported. `run` takes its bound parameters by name, JSON as text.

    Raises:
        TypeError: If a column that it selects needs a conversion, which the driver would not do.
        ValueError: If two columns have the same name: `label` one of them.
    """

    def __init__(self, written: Select[*tuple[Any, ...]] | Insert) -> None:
        self.written = written
        self.writes = isinstance(written, Insert)
        self.texts: dict[str, str] = {}
        columns = list(written.exported_columns if isinstance(written, Insert) else written.selected_columns)
        for column in columns:
            refuse_conversion(column.name, column.type)
        self.found: Any = namedtuple("Found", [column.name for column in columns])  # type: ignore[misc]

    def run(self, **values: Any) -> Sequence[Any]:
        """Run it; what it writes is committed when this returns.

        Returns:
            The rows that it selects, or that its RETURNING names, as named tuples of its columns.

        Raises:
            DBAPIError: If the database refuses it or does not respond.
            TooManyWaitError: If too many threads wait for the database already.
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


def refuse_conversion(name: str, kind: TypeEngine[Any]) -> None:
    if not isinstance(kind, UNCONVERTED) or isinstance(kind, Enum):
        raise TypeError(f"the column {name} is {kind!r}, which needs a conversion: `cast` it to Text, say")


class Own:
    """The connection of one thread, with the driver's method that runs a statement on it."""

    __slots__ = ("__weakref__", "connection", "execute", "pooled")

    def __init__(self, engine: Engine) -> None:
        self.pooled = engine.raw_connection()
        connection: Any = self.pooled.driver_connection
        self.connection, self.execute = connection, connection.execute


class Connections:
    """One per app: a connection for each thread, on which every statement commits by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._of_thread = threading.local()
        self._all: weakref.WeakSet[Own] = weakref.WeakSet()  # one whose thread has ended is closed
        self._has_sessions = engine.dialect.name == "postgresql"
        # SQLite has one writer: not all threads may wait for it.
        self._place: AbstractContextManager[None] = nullcontext() if self._has_sessions else writers

    def __len__(self) -> int:
        return len(self._all)

    def execute(self, statement: Statement, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        driver: Any = self._engine.dialect.loaded_dbapi
        text = statement.text(self._engine)
        try:
            if statement.writes:
                with self._place:
                    return self._rows(text, values)
            try:
                return self._rows(text, values)
            except driver.OperationalError as error:
                # The server has just hung up, and a read can be repeated. One that was silent would be so again.
                if isinstance(error, postgresql.NoResponseError) or not self._is_closed():
                    raise
                return self._rows(text, values)
        except driver.Error as error:
            # Whatever is wrong with this connection, the next statement gets another one.
            self._close_own()
            raise DBAPIError(None, None, error) from error

    def close(self) -> None:
        """Close every thread's connection; none of them may be in use."""
        for own in list(self._all):
            own.pooled.close()
        self._all.clear()
        self._of_thread = threading.local()

    def _rows(self, text: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        own: Own | None = self._of_thread.__dict__.get("own")
        if own is None or self._is_closed():
            own = self._new_own()
        cursor = own.execute(text, values)
        found: Sequence[Sequence[Any]] = cursor.fetchall() if cursor.description else ()
        return found

    def _is_closed(self) -> bool:
        own: Own | None = self._of_thread.__dict__.get("own")
        return self._has_sessions and own is not None and postgresql.is_closed(own.connection)

    def _new_own(self) -> Own:
        self._close_own()
        own = self._of_thread.own = Own(self._engine)
        self._all.add(own)
        return own

    def _close_own(self) -> None:
        own: Own | None = self._of_thread.__dict__.pop("own", None)
        if own is not None:
            own.pooled.invalidate()


current_connections = PerApp[Connections]("connections")


def init_app(app: Flask, engine: Engine) -> None:
    current_connections.set(app, Connections(engine))
