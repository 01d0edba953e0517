"""What a restored database gets before it is used: the orders given since the backup, and new generations.

The signing keys are the present ones as a whole: exactly one of them signs, those that were withdrawn stay so, and
tokens signed since the backup stay valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, bindparam, case, delete, func, insert, select, update

from app.authentication.replay import UsedAssertion
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import Credential
from app.clients.secret import ClientSecret
from app.copying.moved_tables import moved_tables
from app.copying.orders import by_what_they_are, what, works
from app.keys.signing_key import KeyGeneration, SigningKey
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.tokens.stored_token import IssuedToken, RevokedToken

BATCH_ROWS = 500


def carry_over(present: Connection, restored: Connection, moment: int) -> None:
    """Give a restored database what was ended in the present one; both have the schema of this release.

    Args:
        present: The database that will be replaced.
        restored: The copy of the backup, in a transaction that writes.
        moment: The time at which a secret, key or trust that is missing now counts as ended.
    """
    carry_revocations(present, restored)
    carry_clients(present, restored)
    carry_ends(present, restored, ClientSecret, moment)
    carry_ends(present, restored, ClientKey, moment)
    carry_ends(present, restored, ClientTrust, moment)
    carry_assertions(present, restored)
    carry_key_sets(present, restored)
    if keys := present.execute(select(table_of(SigningKey))).mappings().all():
        restored.execute(delete(SigningKey))
        restored.execute(insert(table_of(SigningKey)), [dict(key) for key in keys])


def carry_revocations(present: Connection, restored: Connection) -> None:
    revoked = select(RevokedToken.jti, RevokedToken.expires_at)
    for rows in in_batches(present, revoked):
        known = set(
            restored.scalars(select(RevokedToken.jti).where(RevokedToken.jti.in_([row["jti"] for row in rows])))
        )
        if new := [dict(row) for row in rows if row["jti"] not in known]:
            restored.execute(insert(RevokedToken), new)
    opaque = select(IssuedToken.digest.label("token"), IssuedToken.revoked_at.label("moment"))
    opaque = opaque.where(IssuedToken.revoked_at.is_not(None))
    tokens = table_of(IssuedToken)
    revoke = update(tokens).where(tokens.columns.digest == bindparam("token"))
    revoke = revoke.values(revoked_at=bindparam("moment"))
    for rows in in_batches(present, opaque):
        restored.execute(revoke, [dict(row) for row in rows])


def in_batches(connection: Connection, query: Select[*tuple[Any, ...]]) -> Iterator[Sequence[RowMapping]]:
    with connection.execute(query, execution_options={"yield_per": BATCH_ROWS}) as result:
        yield from result.mappings().partitions()


def carry_clients(present: Connection, restored: Connection) -> None:
    """A client that was deleted is deleted again; one that was disabled is disabled; no generation moves back."""
    found = {row.client_id: row for row in present.execute(select(table_of(ClientRow)))}
    for old in restored.execute(select(table_of(ClientRow))).all():
        this = ClientRow.client_id == old.client_id
        if (new := found.get(old.client_id)) is None:
            restored.execute(delete(ClientRow).where(this))
            continue
        numbers = ("generation", "ended_until", "tokens_not_before")
        values = {name: max(getattr(old, name), getattr(new, name)) for name in numbers}
        values["disabled_at"] = old.disabled_at if new.disabled_at is None else new.disabled_at
        restored.execute(update(ClientRow).where(this).values(values))


def carry_ends(present: Connection, restored: Connection, model: type[Credential], moment: int) -> None:
    """A credential of a client that has ended or is missing now is ended; an earlier end of it is carried over."""
    table = table_of(model)
    query = select(table, ClientRow.client_id).join(ClientRow, ClientRow.id == table.columns.client_row)
    found = by_what_they_are((row.client_id, row) for row in present.execute(query))
    for old in restored.execute(query).all():
        values: dict[str, int | None]
        if (new := found.get((old.client_id, what(old)))) is None:
            values = {"ended_at": moment, "not_after": moment}
        else:
            ends = [end for end in (old.not_after, new.not_after) if end is not None]
            values = {"ended_at": new.ended_at or old.ended_at, "not_after": min(ends, default=None)}
        if works(old) and any(getattr(old, name) != value for name, value in values.items()):
            restored.execute(update(table).where(table.columns.id == old.id).values(values))


def carry_assertions(present: Connection, restored: Connection) -> None:
    """An assertion that was used is not accepted again."""
    known = set(restored.scalars(select(UsedAssertion.digest)))
    used = [dict(row) for row in present.execute(select(table_of(UsedAssertion))).mappings()]
    if new := [row for row in used if row["digest"] not in known]:
        restored.execute(insert(UsedAssertion), new)


def carry_key_sets(present: Connection, restored: Connection) -> None:
    """A key that its owner has removed from a key set since is not used again."""
    restored.execute(delete(FetchedKeySet))
    if known := [dict(row) for row in present.execute(select(table_of(FetchedKeySet))).mappings()]:
        restored.execute(insert(table_of(FetchedKeySet)), known)


def renew_generation(restored: Connection, newest: int) -> None:
    """Raise the number by which every worker notices that the keys have changed."""
    number = case((KeyGeneration.number > newest, KeyGeneration.number), else_=newest) + 1
    restored.execute(update(KeyGeneration).values(number=number))


def key_generation(connection: Connection) -> int:
    return connection.scalar(select(func.max(KeyGeneration.number))) or 0


def table_of(model: Any) -> Table:
    """The table as it is moved: JSON as it is in the database."""
    tables: Sequence[Table] = moved_tables()
    return next(table for table in tables if table.name == model.__tablename__)
