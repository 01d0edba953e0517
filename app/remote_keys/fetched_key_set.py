"""What each source of keys sent last, for all workers of all machines, and which of them fetches it now."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Insert, Text, and_, bindparam, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base
from app.storage.fast_statement import Statement


class FetchedKeySet(Base):
    """A source of keys. Times in seconds since the epoch.

    `source` is `KeySource.name`. `jwks` is the last good key set, reduced to the public keys that can be used; it is
    empty, and `fetched_at` and `fresh_until` are 0, if there never was one. A worker that fetches it has written
    `claimed_until`. Nobody fetches it before `next_try_at`. `failures` counts those since the last good set, and
    `failure` is the last one's cause and words, as JSON; it is empty if the last fetch succeeded.
    """

    __tablename__ = "fetched_key_sets"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    jwks: Mapped[str] = mapped_column(Text)
    fetched_at: Mapped[int]
    fresh_until: Mapped[int]
    claimed_until: Mapped[int]
    next_try_at: Mapped[int]
    failures: Mapped[int]
    failure: Mapped[str] = mapped_column(Text)


# In the text of a statement: a parameter would have to be passed each time.
EMPTY: ColumnElement[object] = literal_column("''")
ZERO: ColumnElement[object] = literal_column("0")
NEW = {"jwks": EMPTY, "failure": EMPTY} | dict.fromkeys(
    ("fetched_at", "fresh_until", "claimed_until", "next_try_at", "failures"), ZERO
)
COLUMNS = FetchedKeySet.__table__.columns


def writing(*names: str, only_if: ColumnElement[bool] | None = None) -> Insert:
    """A statement that inserts a row for a source, or changes these columns of it, to the parameters of their names."""
    values: dict[str, ColumnElement[object]] = {name: bindparam(name) for name in ("source", *names)}
    added = insert(FetchedKeySet).values(NEW | values)
    changes = {name: added.excluded[name] for name in names}
    return added.on_conflict_do_update(index_elements=["source"], set_=changes, where=only_if)


FIND = Statement(
    select(*(each for each in COLUMNS if each.name != "source")).where(COLUMNS.source == bindparam("source"))
)
RESULT = ("jwks", "fetched_at", "fresh_until", "claimed_until", "next_try_at", "failures", "failure")
# A worker that was stopped for longer than its claim writes nothing: another may have fetched newer keys meanwhile.
OWN = COLUMNS.claimed_until == bindparam("claim")
STORE = Statement(writing(*RESULT))
STORE_OWN = Statement(writing(*RESULT, only_if=OWN))
FAIL_OWN = Statement(writing("claimed_until", "next_try_at", "failures", "failure", only_if=OWN))


def is_past(column: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a time is past; one that is farther ahead than any that is written is another clock's fault."""
    return or_(column <= bindparam("moment"), column > bindparam("far"))


_claim = insert(FetchedKeySet).values(NEW | {"source": bindparam("source"), "claimed_until": bindparam("until")})
# The row decides which of two workers fetches: a second one finds it claimed. It has a row if it may.
CLAIM = Statement(
    _claim.on_conflict_do_update(
        index_elements=["source"],
        set_={"claimed_until": _claim.excluded.claimed_until},
        where=and_(is_past(COLUMNS.claimed_until), is_past(COLUMNS.next_try_at)),
    ).returning(COLUMNS.source)
)
