"""Client keys: the public keys by which a client proves who it is (RFC 7523). Private keys are never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.clients.credential import Credential
from app.storage.database import Base

MAX_KEYS = 8


class ClientKey(Credential, Base):
    """One of a client's public keys.

    `kid` is what the headers of its assertions name: that of its JWK, or else the thumbprint of RFC 7638. `jwk` is
    the key as JSON, with the members that it needs and no other.
    """

    __tablename__ = "client_keys"
    __table_args__ = (UniqueConstraint("client_row", "kid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    kid: Mapped[str] = mapped_column(Text)
    alg: Mapped[str] = mapped_column(Text)
    jwk: Mapped[str] = mapped_column(Text)


class KnownKey(NamedTuple):
    """A key as a request reads it."""

    id: int
    kid: str
    alg: str
    jwk: str
    not_after: int | None
    ended_at: int | None


def known_keys(rows: Sequence[Any]) -> list[KnownKey]:
    """The keys in the rows of `registry.FIND_CLIENT`, of which each has one secret, or none, with one key."""
    return [
        KnownKey(
            id=row.key_id,
            kid=row.key_kid,
            alg=row.key_alg,
            jwk=row.key_jwk,
            not_after=row.key_not_after,
            ended_at=row.key_ended_at,
        )
        for row in rows
        if row.secret_id == rows[0].secret_id
    ]
