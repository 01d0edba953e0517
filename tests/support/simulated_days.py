"""Days that pass in a second: the clocks of this process stand still until then, and PostgreSQL's as well.

In PostgreSQL the schema `public` comes before `pg_catalog` for this database, and has a `clock_timestamp` of its own.
SQLite has no clock: the app passes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import NullPool, create_engine, make_url, text

from app import clock
from tests.support import stopped_clock

CLOCK = """
CREATE TABLE simulated_days (moment bigint NOT NULL);
INSERT INTO simulated_days VALUES (:moment);
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT to_timestamp((SELECT moment FROM public.simulated_days))';
"""


@contextmanager
def simulated(database_url: str) -> Iterator[Callable[[int], None]]:
    """Prepare a database and this process, before the app is built; yields what lets seconds pass."""
    with stopped_clock.stopped() as let_pass:
        if database_url.startswith("postgresql"):
            yield with_postgresqls(let_pass, database_url)
        else:
            yield let_pass


def with_postgresqls(let_pass_here: Callable[[int], None], database_url: str) -> Callable[[int], None]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in CLOCK.strip().split(";\n"):
            connection.execute(text(statement), {"moment": clock.now()} if ":moment" in statement else {})
        connection.execute(text(f'ALTER DATABASE "{url.database}" SET search_path = public, pg_catalog'))

    def let_pass(seconds: int) -> None:
        let_pass_here(seconds)
        with engine.begin() as connection:
            connection.execute(text("UPDATE simulated_days SET moment = :moment"), {"moment": clock.now()})

    return let_pass
