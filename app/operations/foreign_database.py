"""Whose database is it? What `flask prepare` checks before it changes anything.

A command without the servers' environment is in development, and its database may be theirs.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from sqlalchemy import Select, inspect, or_, select

from app.clients.client_row import ClientRow
from app.clock import now
from app.keys import cipher
from app.keys.signing_key import SigningKey
from app.storage import schema_revision
from app.storage.database import db

HERE = "KEYTURN_ENV is development, and the database of KEYTURN_DATABASE_URL"
ELSEWHERE = "set KEYTURN_ENV=production{and_its_keys}, or KEYTURN_DATABASE_URL to a database of your own."
FOREIGN_CLIENTS = (
    f"{HERE} has clients, but no demo client: it looks like a production database. Nothing was changed. "
    f"For that database {ELSEWHERE.format(and_its_keys='')}"
)
FOREIGN_KEYS = (
    f"{HERE} has a signing key that KEYTURN_SECRET_KEYS (or instance/secret-key) does not decrypt: it looks like "
    "another server's. Nothing was changed in it. "
    f"For that database {ELSEWHERE.format(and_its_keys=' and its KEYTURN_SECRET_KEYS')} "
    "If it is your own, and its secret key is lost: `flask keys rotate --now --lost-secret-key`."
)
NOT_SERVED = (
    "the database was created by a newer Keyturn (its schema is {found}), which does not support this one ({newest}): "
    "install the newer release again, or restore a backup from before its `flask prepare`"
)


class ForeignDatabaseError(Exception):
    """A database that this command must not prepare; the message says why, and what to do."""


def refuse_foreign_clients(demos: Set[str]) -> None:
    """Refuse a database that has clients but no demo client: the demo clients would be registered there.

    A production server does not start if a demo client exists.

    Args:
        demos: The ids of the demo clients that would be registered.
    """
    if demos and inspect(db.engine).has_table(ClientRow.__tablename__):
        registered = set(read(select(ClientRow.client_id)))
        if registered and not registered & demos:
            raise ForeignDatabaseError(FOREIGN_CLIENTS)


def refuse_foreign_keys() -> None:
    """Refuse a database whose current or next key this process cannot decrypt: most likely it is another server's."""
    if not inspect(db.engine).has_table(SigningKey.__tablename__):
        return
    in_use = or_(SigningKey.retired_at.is_(None), SigningKey.retired_at > now())
    if not all(map(cipher.opens, read(select(SigningKey.private_pem).where(in_use)))):
        raise ForeignDatabaseError(FOREIGN_KEYS)


def read(query: Select[str]) -> Sequence[str]:
    """Use a connection that is closed at once: the session's would hold a lock for which the migrations wait."""
    with db.engine.connect() as connection:
        return connection.scalars(query).all()


def find_newer_schema(known: Set[str], newest: str) -> str | None:
    """The revision of the database, if it is newer than this code and still serves it; otherwise None.

    Args:
        known: The revisions that this code has.
        newest: The newest of them.

    Raises:
        ForeignDatabaseError: If it is newer than this code and does not serve it.
    """
    found = schema_revision.find_revision()
    if found is None or found in known:
        return None
    oldest = schema_revision.find_oldest_served(found)
    if oldest is None or newest < oldest:
        raise ForeignDatabaseError(NOT_SERVED.format(found=found, newest=newest))
    return found
