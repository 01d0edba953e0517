"""The connections that no request can take: one for the reading of the keys, one for the audit trail.

A worker opens both when it starts, and holds them: when the database or the pool of the requests has no more
connections, the keys are still read again and the trail is still written.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from app.logs import log
from app.per_app import PerApp

CONNECTIONS = 2  # each is used by one thread at a time
WAIT_SECONDS = 5

current_reserved = PerApp[Engine]("reserved")


def init_app(app: Flask, url: URL, options: dict[str, Any]) -> Engine:
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=WAIT_SECONDS, **options)
    current_reserved.set(app, engine)
    return engine


def hold(app: Flask) -> None:
    """Open the connections of this process, after the fork; without a database they are opened by their first use."""
    engine = current_reserved.of(app)
    try:
        with engine.connect(), engine.connect():
            pass  # they go back into the pool, which holds them
    except SQLAlchemyError as error:
        log.warning("no connection could be reserved for the keys and the trail yet: %s", type(error).__name__)
