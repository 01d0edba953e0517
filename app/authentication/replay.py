"""Which assertions were used: each is accepted once, by all workers of all machines (RFC 7523, section 3)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, LargeBinary, bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.clients.secret import digest
from app.clock import LEEWAY_SECONDS, now
from app.storage.database import Base
from app.storage.fast_statement import Statement

# It is accepted for LEEWAY_SECONDS after its end. The clock of a machine that accepts may be as much behind the
# database's, and that of the machine which removes as much ahead: the upkeep does nothing if they differ more.
LONGEST_NEED_SECONDS = 3 * LEEWAY_SECONDS


class UsedAssertion(Base):
    """An assertion that was used: the SHA-256 of its client's id and its `jti`. Times in seconds since the epoch."""

    __tablename__ = "used_assertions"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_at: Mapped[int] = mapped_column(index=True)
    used_at: Mapped[int]

    @classmethod
    def is_of_no_use(cls, moment: int) -> ColumnElement[bool]:
        return cls.expires_at <= moment - LONGEST_NEED_SECONDS


# The primary key decides which of two requests was first. SQLite has the same clause as PostgreSQL.
USE = Statement(
    insert(UsedAssertion)
    .values(digest=bindparam("name"), expires_at=bindparam("expires_at"), used_at=bindparam("used_at"))
    .on_conflict_do_nothing(index_elements=["digest"])
    .returning(UsedAssertion.used_at)
)
FIND_USE = Statement(select(UsedAssertion.used_at).where(UsedAssertion.digest == bindparam("name")))


def use(client_id: str, jti: str, *, expires_at: int) -> int | None:
    """Use an assertion, by one statement.

    Args:
        client_id: The client's id.
        jti: The assertion's.
        expires_at: Its end, in seconds since the epoch.

    Returns:
        None if it was not used before; otherwise when it was first used, in seconds since the epoch.
    """
    moment, name = now(), digest(f"{client_id} {jti}")  # no id has a space
    if USE.run(name=name, expires_at=expires_at, used_at=moment):
        return None
    found = FIND_USE.run(name=name)
    return int(found[0].used_at) if found else moment
