"""Days that pass in a second: the clocks of this process by `app/clock.py`, and PostgreSQL's by a function of its own.

In PostgreSQL the schema `public` comes before `pg_catalog` for this database, and has a `clock_timestamp` that adds
what has passed. SQLite has no clock: the app passes its own.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from app import clock

FUNCTION = """
CREATE TABLE simulated_days (seconds bigint NOT NULL);
INSERT INTO simulated_days VALUES (0);
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM public.simulated_days) * interval ''1 second''';
"""


def start(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Prepare a database and this process; before the app is built.

    Returns:
        A function that lets this many seconds pass.
    """
    monkeypatch.setattr(clock, "ahead", clock.ahead)  # restored at the end
    monkeypatch.setattr(clock, "passed", clock.passed)
    if not database_url.startswith("postgresql"):
        return clock.let_pass
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(FUNCTION))
        connection.execute(text(f'ALTER DATABASE "{url.database}" SET search_path = public, pg_catalog'))

    def let_pass(seconds: int) -> None:
        clock.let_pass(seconds)
        with engine.begin() as connection:
            connection.execute(text("UPDATE simulated_days SET seconds = seconds + :seconds"), {"seconds": seconds})

    return let_pass
